"""The catalogue: what brands have registered, stored and searchable. The door of this folder.

The store is the source of truth; the live indexes follow it in the order of its change log.
A write is on disk and searchable when its call returns. Reads and searches may run on any
thread, also during writes; a search never waits for a write.
"""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index import disputes, ledger, removal
from index.audit import Retention
from index.audit_log import AuditWriter
from index.disputes import Disputes
from index.follower import Follower, Outcome, Written
from index.follower import IndexBehind as IndexBehind
from index.live import LiveOptions
from index.maintenance import Maintenance
from index.migrations import MIGRATIONS
from index.points import POINTS, PointQuery
from index.reader import TABLES, Reader
from index.records import Attribute, Brand, Change, NewOriginal, OriginalRecord
from index.recovery import Opened, adopt_schema, open_indexes
from index.rights import Licences
from index.selection import AllBut
from index.snapshot import SnapshotFailed, SnapshotInfo, Snapshots
from index.spaces import Neighbor, Query, Space
from index.stats import CatalogueStats, space_stats
from index.store import Store, StoreOptions
from index.tables import Transaction

log = logging.getLogger(__name__)

Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class CatalogueConfig:
    """Settings of a catalogue.

    Attributes:
        snapshot_changes: a snapshot is written after so many changes, and at close; 0: only
            when asked.
        snapshots_kept: newest snapshots to keep, at least 1.
        request_days: request ids are remembered at least this long.
        retention: what the audit log keeps.
        background: seal, compact and snapshot on a thread of its own.
    """

    live: LiveOptions = field(default_factory=LiveOptions)
    store: StoreOptions = field(default_factory=StoreOptions)
    snapshot_changes: int = 20_000
    snapshots_kept: int = 2
    request_days: int = 7
    retention: Retention = field(default_factory=Retention)
    background: bool = True


class Catalogue(Reader):
    """Brands, originals and the search over them. Make one with `Catalogue.open`."""

    def __init__(
        self, store: Store, opened: Opened, schema: str, config: CatalogueConfig, clock: Clock
    ) -> None:
        super().__init__(store)
        self.licences, self.disputes = Licences(store), Disputes(store)
        self.schema, self._config, self._clock = schema, config, clock
        self._opened, self._snapshots = opened, opened.snapshots
        with store.read() as txn:
            last = ledger.counter(txn, "originals")
        self._follower = Follower(opened.indexes, opened.sequence, last)
        self.audit = AuditWriter(store, config.retention, clock)
        self.audit.hold_retention()
        log.info("the audit log stands at %s", self.audit.ends.head)
        self._saving = threading.Lock()  # one snapshot at a time
        self._renew = False  # a snapshot is due whatever has changed
        self._maintenance = Maintenance(
            tuple(opened.indexes.values()), self._snapshot_when_due, start=config.background
        )

    @classmethod
    def open(
        cls,
        path: Path,
        spaces: Sequence[Space],
        schema: str,
        config: CatalogueConfig | None = None,
        clock: Clock = time.time_ns,
    ) -> "Catalogue":
        """Open or make a catalogue.

        Args:
            path: its folder; one process may have it open at a time.
            spaces: those in which originals are searched.
            schema: id of the fingerprint that fills them; two never meet in one catalogue.
            config: settings.
            clock: nanoseconds since 1970, for the times that are stored.

        Raises:
            SchemaMismatch: the catalogue was filled with another schema.
            StoreInUse, StoreReadOnly, StoreFull, StoreCorrupt, StoreTooNew: see `index.store`.
        """
        config, made = config or CatalogueConfig(), list[Catalogue]()
        store = Store(
            path,
            TABLES,
            version=ledger.STORE_VERSION,
            migrations=MIGRATIONS,
            committed=lambda results: made[0]._committed(results) if made else None,
            options=config.store,
        )
        try:
            store.write(lambda txn: adopt_schema(txn, path, schema, spaces))
            oldest = clock() - config.request_days * 86_400 * 10**9
            place = store.write(lambda txn: ledger.forget_requests(txn, oldest, b""))
            while place:
                place = store.write(partial(ledger.forget_requests, before_ns=oldest, start=place))
            with store.read() as txn:
                leaving = removal.leaving(txn)
            for brand in leaving:  # a deletion that a crash has cut short
                purge(store, brand, clock)
            snapshots = Snapshots(path / "snapshots", config.snapshots_kept)
            opened = open_indexes(store, snapshots, spaces, schema, config.live)
            made.append(cls(store, opened, schema, config, clock))
        except BaseException:
            store.close()
            raise
        return made[0]

    def close(self) -> None:
        """Finish what runs, write a snapshot when there are changes, close the store.

        A snapshot that can not be written is logged only: the next start takes longer.
        """
        self._maintenance.stop()
        log.info("the audit log ends at %s", self.audit.ends.head)
        try:
            if self._config.snapshot_changes and self._follower.behind is None and self._unsaved():
                self.snapshot()
        except SnapshotFailed:
            log.exception("no snapshot at close; the next start replays or reads the store")
        finally:
            self._store.close()

    def __enter__(self) -> "Catalogue":
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def create_brand(
        self, brand: str, display_name: str = "", annotations: Mapping[str, str] | None = None
    ) -> Brand:
        """Raises BrandExists, IdInvalid."""
        now = self._clock()
        return self._store.write(
            lambda txn: ledger.add_brand(txn, brand, display_name, annotations or {}, now)
        )

    def register(self, new: NewOriginal) -> OriginalRecord:
        """Store an original and make it searchable.

        Raises:
            BrandNotFound, OriginalExists, RequestIdReused, IdInvalid, UnknownSpace,
            DimensionMismatch, NotFinite, NotUnit, StoreFull, StoreReadOnly, IndexBehind.
        """
        return self._submit(new).result().value

    def register_many(self, news: Sequence[NewOriginal]) -> list[OriginalRecord | Exception]:
        """Register with shared commits; each one gets its record or the error of `register`."""
        waiting: list[Future[Outcome[OriginalRecord]] | Exception] = []
        for new in news:
            try:
                waiting.append(self._submit(new))
            except Exception as error:
                waiting.append(error)
        return [_record_or_error(each) for each in waiting]

    def update(
        self,
        brand: str,
        original: str,
        *,
        display_name: str | None = None,
        annotations: Mapping[str, str] | None = None,
        attributes: Mapping[str, Attribute] | None = None,
        state: str | None = None,
        etag: str | None = None,
    ) -> OriginalRecord:
        """Replace what is not None.

        Raises:
            OriginalNotFound, EtagMismatch (an etag is given, and there was a change since).
        """
        given = {
            "display_name": display_name,
            "annotations": None if annotations is None else dict(annotations),
            "attributes": None if attributes is None else dict(attributes),
            "state": state,
        }
        values = {name: value for name, value in given.items() if value is not None}
        return self._write(
            lambda t, now: ledger.change_original(t, brand, original, now, etag, values)
        )

    def withdraw(self, brand: str, original: str, etag: str | None = None) -> OriginalRecord:
        """Remove an original with its preview and features; it no longer matches.

        Raises:
            OriginalNotFound, EtagMismatch
        """
        now = self._clock()
        return self._store.write(
            lambda txn: disputes.withdraw(txn, brand, original, now, etag)
        ).value

    def delete_brand(self, brand: str, *, etag: str | None = None, force: bool = False) -> Brand:
        """Delete a brand: at once out of the index, and on return with everything of its own.

        What lasts is what the audit log says of it. A deletion that is cut short is finished
        when the catalogue is opened again.

        Raises:
            BrandNotFound, EtagMismatch
            BrandNotEmpty: without force.
        """
        now = self._clock()

        def begin(txn: Transaction) -> Outcome[Brand]:
            gone = removal.begin(txn, brand, now, etag, force)
            freed = disputes.end_all(txn, brand, now)
            return Outcome(gone, freed, gone.number)

        gone = self._store.write(begin).value
        purge(self._store, gone, self._clock)
        self._leaving -= {gone.number}
        self._renew = True
        self._maintenance.kick()
        return gone

    def search(
        self,
        space: str,
        queries: NDArray[Any],
        k: int,
        *,
        brands: Collection[str] | None = None,
    ) -> list[list[Neighbor]]:
        """Find the nearest originals of each query; see `LiveIndex.search`.

        Args:
            brands: only originals of these brands, or of `AllBut` these; None: of all.

        Raises:
            UnknownSpace, BrandNotFound, DimensionMismatch, NotFinite, NotUnit.
        """
        return self._follower.index(space).search(queries, k, self._numbers(brands))

    def search_many(
        self, queries: Sequence[Query], *, brands: Collection[str] | None = None
    ) -> list[list[list[Neighbor]]]:
        """Several searches at once: for each what `search` finds, and raises."""
        return [self.search(*query, brands=brands) for query in queries]

    def most_voted(
        self, query: PointQuery, k: int, *, brands: Collection[str] | None = None
    ) -> list[Neighbor]:
        """Find the originals that share the most key points; see `LiveIndex.most_voted`.

        Raises:
            UnknownSpace: the catalogue keeps no points. BrandNotFound.
        """
        return self._follower.index(POINTS).most_voted(query, k, self._numbers(brands))

    def _numbers(self, brands: Collection[str] | None) -> Collection[int] | None:
        if brands is None:
            return None
        numbers = [self.get_brand(brand).number for brand in brands]
        return AllBut(numbers) if isinstance(brands, AllBut) else numbers

    @property
    def searchable_key(self) -> int:
        """Every original up to this key is found by a search that starts now, unless withdrawn."""
        return self._follower.key

    def snapshot(self) -> SnapshotInfo:
        """Write a snapshot of what is searchable now. Raises IndexBehind, SnapshotFailed."""
        with self._saving:
            self._follower.check()
            sequence, states = self._follower.states()
            return self._snapshots.save(self._opened.origin, sequence, states, self._clock())

    def copy_to(self, folder: Path) -> None:
        """Write a copy of the store and a snapshot into a new folder, for `index.frozen`.

        Raises:
            IndexBehind, SnapshotFailed, StoreFull, StoreReadOnly, StoreFailed, OSError.
        """
        newest = self.snapshot()
        folder.mkdir(parents=True)
        try:
            shutil.copytree(self._snapshots.folder / newest.id, folder / "snapshots" / newest.id)
            self._store.copy_to(folder)  # later than the snapshot: changes since are replayed
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def maintain(self) -> None:
        """Seal, compact and snapshot what is due, on the calling thread."""
        self._maintenance.run()

    def stats(self) -> CatalogueStats:
        """Sizes, devices, measured recall, freshness."""
        counts, newest = self.counts(), self._snapshots.newest
        return CatalogueStats(
            schema=self.schema,
            brands=counts["brands"],
            originals=counts["originals"],
            open_disputes=self.disputes.open_count(),
            sequence=self._follower.sequence,
            spaces=tuple(space_stats(index) for index in self._follower.indexes.values()),
            snapshot=newest,
            snapshot_age_s=(self._clock() - newest.create_time_ns) / 1e9 if newest else None,
            opened_from=self._opened.source,
            opened_because=self._opened.because,
            opened_s=self._opened.seconds,
            map_bytes=self._store.map_bytes,
            disk_bytes=self._store.disk_bytes,
            maintenance_failure=self._maintenance.failure,
            behind=self._follower.behind.why if self._follower.behind else "",
        )

    def _submit(self, new: NewOriginal) -> "Future[Outcome[OriginalRecord]]":
        """Check the vectors here, on the caller's thread, then queue the write."""
        self._follower.check()
        kept = {}
        for name, row in new.vectors.items():
            kept[name] = self._follower.index(name).space.kept(np.asarray(row)[None])[0]
        ready, now = replace(new, vectors=kept), self._clock()
        return self._store.submit(
            lambda txn: disputes.register(txn, ready, self.schema, now), new.by
        )

    def _write(
        self, run: Callable[[Transaction, int], tuple[OriginalRecord, Change]]
    ) -> OriginalRecord:
        now = self._clock()
        return self._store.write(lambda txn: _outcome(*run(txn, now))).value

    def _committed(self, results: Sequence[Any]) -> None:
        """The store's hook: what callers wrote becomes searchable before they go on."""
        outcomes = [result for result in results if isinstance(result, Outcome)]
        for outcome in outcomes:
            if outcome.gone:
                self._leaving |= {outcome.gone}
        written = [one for outcome in outcomes for one in outcome.written if one.change]
        if written:
            self._follower.apply(written)
            self._maintenance.kick()
        for outcome in outcomes:
            self._follower.forget(outcome.gone, outcome.reached)
        self.audit.committed(len(results))

    def _unsaved(self) -> int:
        newest = self._snapshots.newest
        return self._follower.sequence - (newest.sequence if newest else 0)

    def _snapshot_when_due(self) -> None:
        due = self._renew or self._config.snapshot_changes <= self._unsaved()
        if self._config.snapshot_changes and due and self._follower.behind is None:
            renew, self._renew = self._renew, False
            self.snapshot()
            if renew:  # older ones hold rows of a brand that was deleted
                self._snapshots.prune(1)


def purge(store: Store, brand: Brand, clock: Clock) -> None:
    """Remove all rows of a brand that was deleted, some in each commit."""
    after: int | None = 0

    def step(txn: Transaction, after: int) -> Outcome[int | None]:
        left = removal.purge(txn, brand, clock(), after)
        return Outcome(left, (), reached=ledger.counter(txn, "log"))

    while after is not None:
        after = store.write(partial(step, after=after)).value


def _outcome(record: OriginalRecord, change: Change | None) -> Outcome[OriginalRecord]:
    return Outcome(record, (Written(record, change),))


def _record_or_error(
    each: "Future[Outcome[OriginalRecord]] | Exception",
) -> OriginalRecord | Exception:
    if isinstance(each, Exception):
        return each
    try:
        return each.result().value
    except Exception as error:
        return error
