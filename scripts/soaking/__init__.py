"""Parts of `scripts/soak.py`: what is known, the load, the server, its faults, the report."""
