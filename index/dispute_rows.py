"""Disputes as they are kept: their records, their rows, and what can be wrong with them.

Tables:
    disputes    number                        -> Dispute
    sides       `b`, brand NUL number         -> nothing
                `o`, key of an original, number -> nothing
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from index import ledger
from index.ids import key_of, number
from index.records import decode_plain, encode_plain
from index.tables import Transaction

TABLES = {"disputes": False, "sides": False}
OPEN_COUNTER = "open_disputes"
ANY = 1 << 30
"""More than there are."""

State = Literal["OPEN", "RESOLVED", "WITHDRAWN"]
Decision = Literal["", "UPHOLD_NEWCOMER", "REJECT_NEWCOMER", "ACCEPT_BOTH"]


class RivalAppeared(RuntimeError):
    """An original that may conflict was registered since the newcomer was compared.

    Never reaches a caller of the service: the newcomer is compared again.
    """

    reason: ClassVar[str] = "RIVAL_APPEARED"

    def __init__(self, key: int) -> None:
        super().__init__(f"the original with the key {key} was registered meanwhile")
        self.key = key

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return type(self), (self.key,)


class DisputeNotFound(LookupError):
    """No such dispute, or none of this brand."""

    reason: ClassVar[str] = "DISPUTE_NOT_FOUND"

    def __init__(self, dispute: str) -> None:
        super().__init__(f"no dispute {dispute!r}")
        self.dispute = dispute


class DisputeWithdrawn(ValueError):
    """An original of the dispute was withdrawn, so there is nothing left to decide."""

    reason: ClassVar[str] = "DISPUTE_WITHDRAWN"

    def __init__(self, dispute: str) -> None:
        super().__init__(f"an original of dispute {dispute!r} was withdrawn")
        self.dispute = dispute


@dataclass(frozen=True, slots=True)
class Dispute:
    """A conflict between two originals; what it says of them was true when it was found.

    Attributes:
        number: assigned by the store, from 1, never reused.
        newcomer_key, newcomer_brand, newcomer_original: what was registered later.
        earlier_key, earlier_brand, earlier_original: what it is found to copy.
        match: the evidence, as JSON; opaque here. It names no other original than these.
        provenance: what the evidence was computed with, as JSON.
        decision: empty while it is open.
        reason: of the decision, in the words of who decided.
        revision: 1 when opened, one more with each change.
    """

    number: int
    state: State
    newcomer_key: int
    newcomer_brand: str
    newcomer_original: str
    earlier_key: int
    earlier_brand: str
    earlier_original: str
    match: Mapping[str, Any]
    provenance: Mapping[str, Any]
    create_time_ns: int
    decision: Decision = ""
    reason: str = ""
    resolve_time_ns: int | None = None
    revision: int = 1

    @property
    def id(self) -> str:
        """Its id as callers know it."""
        return f"d-{self.number}"

    @property
    def etag(self) -> str:
        """Changes with each change of the dispute."""
        return f"d{self.number:x}-{self.revision}"


def put(txn: Transaction, before: Dispute | None, after: Dispute) -> None:
    """Write a dispute and keep the count of the open ones."""
    txn.put("disputes", number(after.number), encode_plain(after))
    step = (after.state == "OPEN") - (before is not None and before.state == "OPEN")
    if step:
        count = ledger.counter(txn, OPEN_COUNTER) + step
        txn.put("meta", OPEN_COUNTER.encode(), number(count))


def find(txn: Transaction, value: int) -> Dispute | None:
    """The dispute of a number, if there is one."""
    data = txn.get("disputes", number(value))
    return None if data is None else decode_plain(Dispute, data)


def of_original(txn: Transaction, key: int) -> list[Dispute]:
    """All disputes that an original is part of."""
    prefix = b"o" + number(key)
    pairs = txn.scan("sides", prefix=prefix, limit=ANY)
    found = [find(txn, int.from_bytes(side[-8:])) for side, _ in pairs]
    return [one for one in found if one is not None]


def sides_of(dispute: Dispute) -> list[bytes]:
    """The keys of `sides` by which a dispute is found."""
    value = number(dispute.number)
    return [
        brand_side(dispute.newcomer_brand) + value,
        brand_side(dispute.earlier_brand) + value,
        b"o" + number(dispute.newcomer_key) + value,
        b"o" + number(dispute.earlier_key) + value,
    ]


def brand_side(brand: str) -> bytes:
    """How the keys of `sides` begin that lead from a brand to its disputes."""
    return b"b" + key_of(brand) + b"\0"


def number_in(dispute: str) -> int:
    """The number in `d-17`; one that no dispute has when it is written otherwise."""
    digits = dispute.removeprefix("d-")
    known = dispute.startswith("d-") and digits.isascii() and digits.isdigit() and len(digits) < 19
    return int(digits) if known else 0
