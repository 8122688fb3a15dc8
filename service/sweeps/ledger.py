"""What a sweep writes: the tables of the store of sweeps, as functions of a transaction.

The store is an LMDB environment of its own beside the catalogue's: findings of millions of
listings neither grow the catalogue and its backups nor wait for its writer, and can be
thrown away without it.

A sweep of a brand has the id `brand/id`. In keys a NUL stands for the slash, which no id has in
it: so the sweeps of a brand stand together, and nobody else's id is taken by theirs.

Tables (N: number of the sweep, eight bytes; numbers are big-endian):
    sweeps     sweep id                      -> Sweep
    counts     N                             -> Counts
    requests   request id                    -> sweep id
    plan       N, chunk                      -> listings of the chunk, until it is done
    places     N, digest of a listing id     -> position of the listing that is checked
    findings   N, position                   -> Finding
    flagged    N, position                   -> nothing; of the findings to look at
    sellers    N, digest of a seller         -> name, and listings by verdict
    pairs      N, digest of a seller, digest of a family -> its name, and listings by verdict

A chunk of the plan is removed in the transaction that writes its findings. So what is left
of the plan is what is left to do, whatever happened; and a chunk that is done twice, by a
worker that was thought dead, is written once.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, ClassVar

from index.ids import key_of, number
from index.tables import Transaction
from service.sweeps.findings import FLAGGED, Finding, encode_finding
from service.sweeps.listing import LISTING_REPEATED, Listing, encode_listings, refused
from service.sweeps.records import (
    Counts,
    Sweep,
    SweepSpec,
    SweepState,
    decode_counts,
    decode_sweep,
    encode_counts,
    encode_sweep,
)

TABLES: Mapping[str, bool] = {
    "sweeps": False,
    "counts": False,
    "requests": False,
    "plan": False,
    "places": False,
    "findings": False,
    "flagged": False,
    "sellers": False,
    "pairs": False,
}
STORE_VERSION = 1
CHUNK = 8
"""Listings that are done and committed together: what a crash can cost, times the threads."""

BRAND_SWEEPS = 10
"""Sweeps of one brand at a time: all that run share the machine evenly, whoever has many."""

DIGEST_BYTES = 16
_AT_ONCE = 5_000
_EVERY = 1 << 30


class SweepExists(ValueError):
    """The sweep id is taken."""

    reason: ClassVar[str] = "SWEEP_EXISTS"

    def __init__(self, sweep: str) -> None:
        super().__init__(sweep)
        self.sweep = sweep

    def __str__(self) -> str:
        return f"sweep {self.sweep!r} exists already"


class SweepsTooMany(RuntimeError):
    """A brand has as many sweeps as it may have at a time; one of them has to end first."""

    reason: ClassVar[str] = "SWEEPS_TOO_MANY"

    def __init__(self, brand: str) -> None:
        super().__init__(brand)
        self.brand = brand

    def __str__(self) -> str:
        return (
            f"brand {self.brand!r} has {BRAND_SWEEPS} sweeps that have not ended; wait for one, or "
            "cancel it"
        )


class SweepNotFound(LookupError):
    """No such sweep."""

    reason: ClassVar[str] = "SWEEP_NOT_FOUND"

    def __init__(self, sweep: str) -> None:
        super().__init__(sweep)
        self.sweep = sweep

    def __str__(self) -> str:
        return f"no sweep {self.sweep!r}"


class SweepFinished(ValueError):
    """The sweep has ended already."""

    reason: ClassVar[str] = "SWEEP_FINISHED"

    def __init__(self, sweep: str, state: str) -> None:
        super().__init__(sweep, state)
        self.sweep, self.state = sweep, state

    def __str__(self) -> str:
        return f"sweep {self.sweep!r} has ended already: {self.state}"


def digest(text: str) -> bytes:
    """A text of any length as part of a key."""
    return blake2b(text.encode(errors="surrogatepass"), digest_size=DIGEST_BYTES).digest()


def sweep_key(sweep: str) -> bytes:
    """The key of a sweep. Raises IdInvalid."""
    return b"\0".join(key_of(part) for part in sweep.split("/", 1))


def _request_key(spec: SweepSpec) -> bytes:
    """The key of a request id; each brand has its own."""
    own = key_of(spec.brand) + b"\0" if spec.brand else b""
    return own + key_of(spec.request_id)


def find_sweep(txn: Transaction, sweep: str) -> Sweep:
    """Raises SweepNotFound."""
    data = txn.get("sweeps", sweep_key(sweep))
    if data is None:
        raise SweepNotFound(sweep)
    found = decode_sweep(data, None)
    return decode_sweep(data, txn.get("counts", number(found.number)))


def add_sweep(txn: Transaction, spec: SweepSpec, now_ns: int) -> tuple[Sweep, bool]:
    """Keep a new sweep; whether it is new, or a retry found its first answer.

    Raises:
        SweepExists, SweepsTooMany, IdInvalid.
    """
    if spec.request_id and (before := txn.get("requests", _request_key(spec))) is not None:
        return find_sweep(txn, before.decode()), False
    if txn.get("sweeps", sweep_key(spec.sweep)) is not None:
        raise SweepExists(spec.sweep)
    if spec.brand and _unfinished(txn, spec.brand) >= BRAND_SWEEPS:
        raise SweepsTooMany(spec.brand)
    last = int.from_bytes(txn.get("meta", b"sweeps") or b"") + 1
    txn.put("meta", b"sweeps", number(last))
    made = Sweep(last, spec, SweepState.PLANNING, now_ns)
    txn.put("sweeps", sweep_key(spec.sweep), encode_sweep(made))
    if spec.request_id:
        txn.put("requests", _request_key(spec), spec.sweep.encode())
    return made, True


def _unfinished(txn: Transaction, brand: str) -> int:
    """How many sweeps of a brand have not ended."""
    prefix = key_of(brand) + b"\0"
    pairs = txn.scan("sweeps", prefix=prefix, limit=_EVERY)
    return sum(not decode_sweep(data, None).state.final for _, data in pairs)


def change_sweep(txn: Transaction, sweep: str, change: Mapping[str, Any]) -> Sweep:
    """Replace fields of a sweep that has not ended. Raises SweepNotFound, SweepFinished."""
    before = find_sweep(txn, sweep)
    if before.state.final:
        raise SweepFinished(sweep, before.state.value)
    after = replace(before, **change)
    txn.put("sweeps", sweep_key(sweep), encode_sweep(after))
    return after


def add_plan(
    txn: Transaction, sweep: Sweep, first_chunk: int, listings: Sequence[Listing]
) -> Counts:
    """Write down listings to be done; their ids are compared with all that came before.

    Args:
        first_chunk: number of the chunk that begins with the first of them; all chunks but the
            last of a plan are full.

    Raises:
        SweepNotFound, SweepFinished: it was removed or cancelled meanwhile; nothing is written.
    """
    now = find_sweep(txn, sweep.spec.sweep)
    if now.state.final:
        raise SweepFinished(sweep.spec.sweep, now.state.value)
    prefix = number(sweep.number)
    planned = []
    for place, listing in enumerate(listings, start=first_chunk * CHUNK):
        key = prefix + digest(listing.listing_id)
        if listing.problem is None:
            if txn.get("places", key) is not None:
                why = "this listing_id came before in the manifest; the first one was checked"
                listing = refused(listing.listing_id, listing.seller, LISTING_REPEATED, why)
            else:
                txn.put("places", key, number(place))
        planned.append(listing)
    for start in range(0, len(planned), CHUNK):
        chunk = number(first_chunk + start // CHUNK)
        txn.put("plan", prefix + chunk, encode_listings(planned[start : start + CHUNK]))
    counts = decode_counts(txn.get("counts", prefix))
    counts = Counts(counts.planned + len(planned))
    txn.put("counts", prefix, encode_counts(counts))
    return counts


def clear_plan(txn: Transaction, sweep: Sweep) -> bool:
    """Forget some of a plan that was not finished; whether anything is left to forget."""
    prefix, left = number(sweep.number), False
    for table in ("plan", "places"):
        pairs = txn.scan(table, prefix=prefix, limit=_AT_ONCE)
        for key, _ in pairs:
            txn.remove(table, key)
        left = left or len(pairs) == _AT_ONCE
    txn.put("counts", prefix, encode_counts(Counts()))
    return left


def remove_sweep(txn: Transaction, sweep: Sweep) -> bool:
    """Remove a sweep and some of what it found; whether anything is left to remove."""
    prefix = number(sweep.number)
    txn.remove("sweeps", sweep_key(sweep.spec.sweep))
    if sweep.spec.request_id:
        txn.remove("requests", _request_key(sweep.spec))
    left = False
    for table in ("counts", "plan", "places", "findings", "flagged", "sellers", "pairs"):
        pairs = txn.scan(table, prefix=prefix, limit=_AT_ONCE)
        for key, _ in pairs:
            txn.remove(table, key)
        left = left or len(pairs) == _AT_ONCE
    return left


def add_findings(
    txn: Transaction, sweep: Sweep, chunk: int, findings: Sequence[Finding]
) -> Counts | None:
    """Write the findings of one chunk and all that follows from them; None when it was done.

    Raises:
        SweepFinished: it was cancelled meanwhile; nothing is written.
    """
    now = find_sweep(txn, sweep.spec.sweep)
    if now.state.final:
        raise SweepFinished(sweep.spec.sweep, now.state.value)
    prefix = number(sweep.number)
    if not txn.remove("plan", prefix + number(chunk)):
        return None
    for place, finding in enumerate(findings, start=chunk * CHUNK):
        txn.put("findings", prefix + number(place), encode_finding(finding))
        if finding.flagged:
            txn.put("flagged", prefix + number(place), b"")
        if finding.verdict in FLAGGED and finding.matches:
            _count_seller(txn, prefix, finding)
    verdicts = Counter(f.verdict.value if f.verdict else "" for f in findings)
    failed = sum(bool(f.problems) for f in findings)
    counts = now.counts.with_done(sum(f.pictures for f in findings), failed, verdicts)
    txn.put("counts", prefix, encode_counts(counts))
    return counts


def _count_seller(txn: Transaction, prefix: bytes, finding: Finding) -> None:
    """Count a listing for its seller, and for its seller and each family that it copies."""
    assert finding.verdict is not None
    seller = prefix + digest(finding.seller)
    _count(txn, "sellers", seller, finding.seller, finding.verdict.value)
    verdicts: dict[str, str] = {}
    for match in finding.matches:
        if match.verdict in FLAGGED:
            verdicts.setdefault(match.family, match.verdict.value)
    for family, verdict in verdicts.items():
        _count(txn, "pairs", seller + digest(family), family, verdict)


def _count(txn: Transaction, table: str, key: bytes, name: str, verdict: str) -> None:
    data = txn.get(table, key)
    _, counts = (name, {}) if data is None else json.loads(data)
    counts[verdict] = counts.get(verdict, 0) + 1
    txn.put(table, key, json.dumps([name, counts], ensure_ascii=False).encode())
