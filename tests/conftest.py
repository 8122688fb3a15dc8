"""For all tests: servers within the tests' own process look at pictures in their own threads.

Processes of their own, as servers have them otherwise, are for `tests/service/test_helpers.py` and
for all tests that start a server in a process: a hundred servers need not start three hundred.
"""

import os

# First, and for the workers too: its settings are read when NumPy and OpenCV are loaded.
import service as service

os.environ.setdefault("COPYCATCH_MATCHING", "threads")
