"""The book of sweeps: what is stored of them, read and written. Owns their store.

Any thread may call any method. Reads of a page look at a bounded number of findings, so that
a filter that fits nothing does not hold the store.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from index.ids import key_of, number
from index.store import Store, StoreOptions
from service.sweeps import ledger
from service.sweeps.filters import FindingFilter
from service.sweeps.findings import Finding, decode_finding
from service.sweeps.groups import Group, GroupBy, Row, grouped
from service.sweeps.ledger import CHUNK
from service.sweeps.listing import Listing, decode_listings
from service.sweeps.records import Counts, Sweep, SweepSpec, SweepState, decode_sweep

_SCAN = 2_000
_SCANS_A_PAGE = 10
_PLAN_AT_ONCE = 64 * CHUNK


class FindingNotFound(LookupError):
    """No such finding; the listing may not have been reached yet."""

    reason: ClassVar[str] = "FINDING_NOT_FOUND"

    def __init__(self, sweep: str, finding: str) -> None:
        super().__init__(sweep, finding)
        self.sweep, self.finding = sweep, finding

    def __str__(self) -> str:
        return f"sweep {self.sweep!r} has no finding {self.finding!r} (yet)"


@dataclass(frozen=True, slots=True)
class Page:
    """Some findings of a sweep.

    Attributes:
        findings: with their positions in the manifest, in that order.
        next: position to go on from; -1 at the end.
    """

    findings: Sequence[tuple[int, Finding]]
    next: int


class SweepBook:
    """Sweeps and their findings. Make one with `open`; `close` it once."""

    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self._store, self._clock = store, clock

    @classmethod
    def open(
        cls,
        path: Path,
        options: StoreOptions | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> "SweepBook":
        """Open or make the book. Raises StoreInUse and the others of `index.store`."""
        store = Store(
            path, ledger.TABLES, version=ledger.STORE_VERSION, migrations={}, options=options
        )
        return cls(store, clock)

    def close(self) -> None:
        """Finish the writes that wait, then close."""
        self._store.close()

    # --- sweeps ------------------------------------------------------------------------

    def create(self, spec: SweepSpec) -> tuple[Sweep, bool]:
        """Keep a new sweep; whether it is new. Raises what `ledger.add_sweep` does, StoreFull."""
        now = self._clock()
        return self._store.write(lambda txn: ledger.add_sweep(txn, spec, now))

    def get(self, sweep: str) -> Sweep:
        """Raises SweepNotFound."""
        with self._store.read() as txn:
            return ledger.find_sweep(txn, sweep)

    def page(self, page_size: int, after: str = "", brand: str = "") -> Sequence[Sweep]:
        """A page of all sweeps, or of a brand's, ordered by id, from the id after `after`."""
        start = ledger.sweep_key(after) + b"\0" if after else b""
        prefix = key_of(brand) + b"\0" if brand else b""
        with self._store.read() as txn:
            pairs = txn.scan("sweeps", start, prefix=prefix, limit=page_size)
            found = [decode_sweep(value, None) for _, value in pairs]
            return [
                decode_sweep(value, txn.get("counts", number(each.number)))
                for (_, value), each in zip(pairs, found, strict=True)
            ]

    def all(self) -> Iterator[Sweep]:
        """Yield all sweeps, ordered by id."""
        after = ""
        while page := self.page(500, after):
            yield from page
            after = page[-1].spec.sweep

    def unfinished(self) -> Sequence[Sweep]:
        """The sweeps that are to go on, oldest first."""
        found = (each for each in self.all() if not each.state.final)
        return sorted(found, key=lambda each: each.number)

    def run(self, sweep: str, provenance: Mapping[str, Any]) -> Sweep:
        """Note that all is planned. Raises SweepNotFound, SweepFinished."""
        return self._change(
            sweep,
            state=SweepState.RUNNING,
            start_time_ns=self._clock(),
            provenance=provenance,
        )

    def end(self, sweep: str, state: SweepState, error: tuple[str, str] = ("", "")) -> Sweep:
        """Note that a sweep has ended. Raises SweepNotFound, SweepFinished."""
        return self._change(sweep, state=state, end_time_ns=self._clock(), error=error)

    def remove(self, sweep: Sweep) -> None:
        """Remove a sweep and all that it found; it is gone from the first write on."""
        while self._store.write(lambda txn: ledger.remove_sweep(txn, sweep)):
            pass

    def _change(self, sweep: str, **change: Any) -> Sweep:
        return self._store.write(lambda txn: ledger.change_sweep(txn, sweep, change))

    # --- the plan ----------------------------------------------------------------------

    def plan(
        self, sweep: Sweep, listings: Iterator[Listing], go_on: Callable[[], bool]
    ) -> Counts | None:
        """Write down all that is to be done; what an earlier try left is forgotten.

        Args:
            listings: of the manifest.
            go_on: asked between blocks; None is returned when it says no.

        Raises:
            SweepNotFound, SweepFinished: it was removed or cancelled meanwhile. StoreFull.
        """
        while self._store.write(lambda txn: ledger.clear_plan(txn, sweep)):
            if not go_on():
                return None
        counts, chunk = Counts(), 0
        block: list[Listing] = []

        def write() -> Counts:
            taken, first = tuple(block), chunk
            return self._store.write(lambda txn: ledger.add_plan(txn, sweep, first, taken))

        for listing in listings:
            block.append(listing)
            if len(block) == _PLAN_AT_ONCE:
                counts = write()
                chunk += len(block) // CHUNK
                block.clear()
                if not go_on():
                    return None
        return write() if block else counts

    def chunks(self, sweep: Sweep, first: int, limit: int) -> Sequence[tuple[int, list[Listing]]]:
        """Chunks of the plan that are not done, from the number `first` on."""
        prefix = number(sweep.number)
        with self._store.read() as txn:
            pairs = txn.scan("plan", prefix + number(first), prefix=prefix, limit=limit)
        return [(int.from_bytes(key[8:]), decode_listings(value)) for key, value in pairs]

    def write_findings(
        self, sweep: Sweep, chunk: int, findings: Sequence[Finding]
    ) -> Counts | None:
        """Keep the findings of a chunk; None when it was done before.

        Raises:
            SweepFinished: it was cancelled. StoreFull.
        """
        return self._store.write(lambda txn: ledger.add_findings(txn, sweep, chunk, findings))

    # --- findings ----------------------------------------------------------------------

    def finding(self, sweep: str, position: int) -> Finding:
        """Raises SweepNotFound, FindingNotFound."""
        with self._store.read() as txn:
            found = ledger.find_sweep(txn, sweep)
            data = txn.get("findings", number(found.number) + number(position))
        if data is None:
            raise FindingNotFound(sweep, str(position))
        return decode_finding(data)

    def place(self, sweep: str, listing_id: str) -> int | None:
        """Position of a listing in the manifest, None when it is not in it.

        Raises:
            SweepNotFound
        """
        with self._store.read() as txn:
            found = ledger.find_sweep(txn, sweep)
            data = txn.get("places", number(found.number) + ledger.digest(listing_id))
        return None if data is None else int.from_bytes(data)

    def findings(self, sweep: str, page_size: int, start: int, wanted: FindingFilter) -> Page:
        """A page of findings from a position on.

        A page may be short, even empty, and not be the last: only `next` tells.

        Raises:
            SweepNotFound
        """
        found: list[tuple[int, Finding]] = []
        table = "flagged" if wanted.only_flagged else "findings"
        for _ in range(_SCANS_A_PAGE):
            with self._store.read() as txn:
                prefix = number(ledger.find_sweep(txn, sweep).number)
                pairs = txn.scan(table, prefix + number(start), prefix=prefix, limit=_SCAN)
                values = [value or txn.get("findings", key) or b"" for key, value in pairs]
            for (key, _), value in zip(pairs, values, strict=True):
                position, finding = int.from_bytes(key[8:]), decode_finding(value)
                start = position + 1
                if wanted.fits(finding):
                    found.append((position, finding))
                    if len(found) == page_size:
                        return Page(found, start)
            if len(pairs) < _SCAN:
                return Page(found, -1)
        return Page(found, start)

    # --- groups ------------------------------------------------------------------------

    def groups(self, sweep: str, by: GroupBy) -> Sequence[Group]:
        """All sellers or all families of a sweep's flagged listings, most listings first.

        Takes memory for each seller and each family.

        Raises:
            SweepNotFound
        """
        with self._store.read() as txn:
            prefix = number(ledger.find_sweep(txn, sweep).number)
        # Sellers first: a pair whose seller came later is left out.
        sellers = dict(self._scanned("sellers", prefix))
        return grouped(sellers, self._scanned("pairs", prefix), by)

    def _scanned(self, table: str, prefix: bytes) -> Iterator[tuple[bytes, Row]]:
        start = prefix
        while True:
            with self._store.read() as txn:
                pairs = txn.scan(table, start, prefix=prefix, limit=_SCAN)
            for key, value in pairs:
                name, counts = json.loads(value)
                yield key, (name, counts)
            if len(pairs) < _SCAN:
                return
            start = pairs[-1][0] + b"\0"
