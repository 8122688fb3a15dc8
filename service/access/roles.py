"""Roles, and the caller of a call."""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """What a caller is; what it may call stands in `service.rpc.permissions`."""

    ADMIN = "admin"
    """Everything."""
    PIPELINE = "pipeline"
    """Checks listings and reads and writes labels; sees names, never a registered picture."""
    OWNER = "owner"
    """Its own brands' originals, rights and sweeps, and nothing of anybody else's."""
    ANALYST = "analyst"
    """Reads everything and checks; changes nothing that a brand has registered."""
    METRICS = "metrics"
    """Watches the server."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """How much one key may take of the server; None is what the settings say.

    Attributes:
        requests_per_s: calls and items of streams.
        bytes_per_s: of messages that are received.
        streams: open at once.
        pictures: in work or waiting at once.
    """

    requests_per_s: float | None = None
    bytes_per_s: float | None = None
    streams: int | None = None
    pictures: int | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call.

    Attributes:
        key_id: of the key; goes into logs.
        name: of the key, for people.
        role: what it is.
        brands: ids of the brands that an owner is bound to; empty for the other roles.
        limits: its own.
    """

    key_id: str
    name: str
    role: Role
    brands: frozenset[str] = frozenset()
    limits: KeyLimits = field(default_factory=KeyLimits)

    @property
    def confined(self) -> bool:
        """Whether it sees its own brands only."""
        return self.role is Role.OWNER

    def sees(self, brand: str) -> bool:
        """Return whether a brand exists for this caller, as far as its key says."""
        return not self.confined or brand in self.brands

    def sees_all(self, brands: Collection[str]) -> bool:
        """Return whether all of these brands exist for this caller."""
        return all(self.sees(brand) for brand in brands)


NOBODY_ASKED = Caller("insecure", "everybody", Role.ADMIN)
"""The caller of every call of a server that was told to ask for no keys."""
