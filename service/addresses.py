"""What an address says about who can reach it."""

import ipaddress


def is_local(address: str) -> bool:
    """Return whether an address, `host:port` or `unix:path`, is reached from this machine alone."""
    host = address.rpartition(":")[0].strip("[]")
    if address.startswith("unix:") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name may mean anything
