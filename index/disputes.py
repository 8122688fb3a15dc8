"""Conflicting registrations: an original that copies an earlier one of another brand.

Such an original is kept with the state DISPUTED: it is not searchable, so it flags nobody. A
dispute holds both originals and the match that was found, as evidence for a person who
decides. What becomes of an original follows from all disputes that it is part of, and is
worked out again with each decision, so that a decision may be replaced by a better one.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from index import dispute_rows, ledger
from index.dispute_rows import (
    Decision,
    Dispute,
    DisputeNotFound,
    DisputeWithdrawn,
    RivalAppeared,
)
from index.follower import Outcome, Written
from index.ids import key_of, number
from index.records import (
    Brand,
    ChangeKind,
    NewOriginal,
    OriginalRecord,
    Screening,
    decode_brand,
    decode_original,
)
from index.store import Store
from index.tables import Transaction

PAGE_LIMIT = 1000
_MOST_RIVALS = 512
_AT_ONCE = 500


class Disputes:
    """Reads and decides disputes; safe from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, dispute: str, brand: str = "") -> Dispute:
        """A dispute by its id.

        Args:
            brand: one of the two parties; empty: whoever they are.

        Raises:
            DisputeNotFound
        """
        value = dispute_rows.number_in(dispute)
        with self._store.read() as txn:
            found = dispute_rows.find(txn, value)
            side = dispute_rows.brand_side(brand) + number(value) if brand else b""
            if found is None or (side and txn.get("sides", side) is None):
                raise DisputeNotFound(dispute)
        return found

    def list(
        self, brand: str = "", state: str = "", page_size: int = 100, after: int = 0
    ) -> Sequence[Dispute]:
        """A page of the disputes of a brand, or of all; in the order of their numbers.

        Args:
            brand: one of the two parties; empty: all.
            state: only those in this state; empty: in any.
            page_size: at most this many, at most 1,000; a shorter page is the last one.
            after: the number after which the page begins.

        Raises:
            BrandNotFound
        """
        limit, found = min(page_size, PAGE_LIMIT), list[Dispute]()
        while True:
            numbers = self._numbers(brand, after)
            with self._store.read() as txn:
                some = [dispute_rows.find(txn, value) for value in numbers]
            found += [one for one in some if one is not None and state in ("", one.state)]
            if len(numbers) < _AT_ONCE or len(found) >= limit:
                return found[:limit]
            after = numbers[-1]

    def resolve(
        self, dispute: str, decision: Decision, reason: str, now_ns: int, etag: str | None = None
    ) -> Dispute:
        """Decide a dispute, or decide it anew; both originals follow in the same commit.

        A decision that was made may be replaced for as long as one of the originals is there.

        Raises:
            DisputeNotFound, DisputeWithdrawn, EtagMismatch.
        """

        def write(txn: Transaction) -> Outcome[Dispute]:
            before = dispute_rows.find(txn, dispute_rows.number_in(dispute))
            if before is None:
                raise DisputeNotFound(dispute)
            if etag and etag != before.etag:
                raise ledger.EtagMismatch(etag, before.etag)
            sides = (number(before.newcomer_key), number(before.earlier_key))
            left = any(txn.get("originals", key) is not None for key in sides)
            if before.state == "WITHDRAWN" or not left:
                raise DisputeWithdrawn(dispute)
            after = replace(
                before,
                state="RESOLVED",
                decision=decision,
                reason=reason,
                resolve_time_ns=now_ns,
                revision=before.revision + 1,
            )
            dispute_rows.put(txn, before, after)
            written = [_noted(txn, "RESOLVE", after, now_ns)]
            for key in (before.newcomer_key, before.earlier_key):
                written += _settled(txn, key, now_ns)
            return Outcome(after, tuple(written))

        return self._store.write(write).value

    def open_count(self) -> int:
        """Disputes that wait for a decision."""
        with self._store.read() as txn:
            return ledger.counter(txn, dispute_rows.OPEN_COUNTER)

    def _numbers(self, brand: str, after: int) -> Sequence[int]:
        with self._store.read() as txn:
            if not brand:
                pairs = txn.scan("disputes", number(after + 1), limit=_AT_ONCE)
            else:
                ledger.find_brand(txn, brand)
                prefix = dispute_rows.brand_side(brand)
                start = prefix + number(after + 1)
                pairs = txn.scan("sides", start, prefix=prefix, limit=_AT_ONCE)
        return [int.from_bytes(key[-8:]) for key, _ in pairs]


def register(
    txn: Transaction, new: NewOriginal, schema: str, now_ns: int
) -> Outcome[OriginalRecord]:
    """`ledger.add_original`, DISPUTED where it was found to copy an earlier original.

    Raises:
        RivalAppeared: nothing is written; the newcomer has to be compared again.
        what `ledger.add_original` raises.
    """
    screening = new.screening or Screening()
    conflicts = []
    for conflict in screening.conflicts:
        data = txn.get("originals", number(conflict.key))
        if data is not None and _stands(txn, earlier := decode_original(data)):
            conflicts.append((earlier, conflict))
    state = "DISPUTED" if conflicts else "ACTIVE"
    record, change = ledger.add_original(txn, new, schema, now_ns, state)
    if change is None:  # a retry: it is there as it is
        return Outcome(record, (Written(record, None),))
    if screening.rival is not None:
        _check_rivals(txn, record, screening, screening.rival)
    written = [Written(record, change)]
    for earlier, conflict in conflicts:
        opened = Dispute(
            number=ledger.take_number(txn, "disputes"),
            state="OPEN",
            newcomer_key=record.key,
            newcomer_brand=record.brand,
            newcomer_original=record.original,
            earlier_key=earlier.key,
            earlier_brand=earlier.brand,
            earlier_original=earlier.original,
            match=conflict.match,
            provenance=conflict.provenance,
            create_time_ns=now_ns,
        )
        dispute_rows.put(txn, None, opened)
        for side in dispute_rows.sides_of(opened):
            txn.put("sides", side, b"")
        written.append(_noted(txn, "DISPUTE", opened, now_ns))
    return Outcome(record, tuple(written))


def withdraw(
    txn: Transaction, brand: str, original: str, now_ns: int, etag: str | None
) -> Outcome[OriginalRecord]:
    """`ledger.remove_original`; open disputes about it end, and who was disputed is free."""
    record, change = ledger.remove_original(txn, brand, original, now_ns, etag)
    written = [Written(record, change)]
    for dispute in dispute_rows.of_original(txn, record.key):
        if dispute.state == "OPEN":
            written += _ended(txn, dispute, brand, now_ns)
    return Outcome(record, tuple(written))


def end_all(txn: Transaction, brand: str, now_ns: int) -> tuple[Written, ...]:
    """End the open disputes of a brand that is being deleted; who was disputed is free."""
    written: list[Written] = []
    for side, _ in txn.scan("sides", prefix=dispute_rows.brand_side(brand), limit=dispute_rows.ANY):
        dispute = dispute_rows.find(txn, int.from_bytes(side[-8:]))
        if dispute is not None and dispute.state == "OPEN":
            written += _ended(txn, dispute, brand, now_ns)
    return tuple(written)


def purge_sides(txn: Transaction, brand: Brand, limit: int, now_ns: int) -> int:
    """Remove the way from a deleted brand to its disputes, which are the other brands' too."""
    pairs = txn.scan("sides", prefix=dispute_rows.brand_side(brand.brand), limit=limit)
    for side, _ in pairs:
        txn.remove("sides", side)
    return len(pairs)


def _ended(txn: Transaction, dispute: Dispute, by: str, now_ns: int) -> list[Written]:
    """End a dispute in which a brand has withdrawn its original."""
    ended = replace(
        dispute, state="WITHDRAWN", resolve_time_ns=now_ns, revision=dispute.revision + 1
    )
    dispute_rows.put(txn, dispute, ended)
    written = [_noted(txn, "END_DISPUTE", ended, now_ns)]
    if dispute.newcomer_brand != by:
        written += _settled(txn, dispute.newcomer_key, now_ns)
    return written


def _stands(txn: Transaction, record: OriginalRecord) -> bool:
    """Whether others can copy an original: it is searchable, and its brand is not leaving."""
    return record.state == "ACTIVE" and txn.get("brands", key_of(record.brand)) is not None


def _noted(txn: Transaction, kind: ChangeKind, dispute: Dispute, now_ns: int) -> Written:
    """A line in the change log and in the audit log, for both brands."""
    newcomer, earlier = (
        f"brands/{brand}/originals/{original}"
        for brand, original in (
            (dispute.newcomer_brand, dispute.newcomer_original),
            (dispute.earlier_brand, dispute.earlier_original),
        )
    )
    details = {
        "newcomer": newcomer,
        "earlier": earlier,
        "score": dispute.match.get("score"),
        "decision": dispute.decision,
        "reason": dispute.reason,
    }
    brands = (dispute.newcomer_brand, dispute.earlier_brand)
    owner = next(
        decode_brand(data)
        for brand in brands
        if (data := txn.get("brands", key_of(brand))) is not None
    )
    also = [brand for brand in brands if brand != owner.brand]
    return Written(None, ledger.note(txn, kind, owner, dispute.id, now_ns, details, also))


def _check_rivals(
    txn: Transaction,
    record: OriginalRecord,
    screening: Screening,
    rival: Callable[[OriginalRecord], bool],
) -> None:
    """Raise RivalAppeared when the newcomer may copy what it was not compared with."""
    known = {conflict.key for conflict in screening.conflicts}
    since = txn.scan("originals", number(screening.until_key + 1), limit=_MOST_RIVALS)
    if len(since) == _MOST_RIVALS:
        raise RivalAppeared(int.from_bytes(since[-1][0]))
    for key, data in since:
        other = decode_original(data)
        mine = other.key == record.key or other.brand == record.brand or other.key in known
        if not mine and _stands(txn, other) and rival(other):
            raise RivalAppeared(int.from_bytes(key))


def _settled(txn: Transaction, key: int, now_ns: int) -> list[Written]:
    """Bring an original to the state that follows from its disputes."""
    data = txn.get("originals", number(key))
    if data is None:
        return []  # withdrawn
    record = decode_original(data)
    state = "ACTIVE"
    for dispute in dispute_rows.of_original(txn, key):
        newcomer = dispute.newcomer_key == key
        if dispute.decision == ("REJECT_NEWCOMER" if newcomer else "UPHOLD_NEWCOMER"):
            state = "REJECTED"
            break
        if newcomer and dispute.state == "OPEN":
            state = "DISPUTED"
    if record.state == state:
        return []
    changed = ledger.change_original(
        txn, record.brand, record.original, now_ns, None, {"state": state}
    )
    return [Written(*changed)]
