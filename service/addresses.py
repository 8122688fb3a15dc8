"""Addresses: who can reach one, and whether it can be listened on."""

import ipaddress
import socket


def is_local(address: str) -> bool:
    """Return whether an address, `host:port` or `unix:path`, is reached from this machine alone."""
    host = address.rpartition(":")[0].strip("[]")
    if address.startswith("unix:") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name may mean anything


def try_to_listen(address: str) -> None:
    """Take an address `host:port` and let go of it at once.

    Raises:
        OSError: nothing that the host stands for can be taken. Where some of it can, as with a
            `localhost` that has no IPv6, whoever listens decides.
    """
    host, _, port = address.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    failures = []
    for family, kind, protocol, _, place in found:
        try:
            with socket.socket(family, kind, protocol) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind(place)
        except OSError as error:
            failures.append(error)
    if len(failures) == len(found):
        raise failures[0]
