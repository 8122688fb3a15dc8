"""How a catalogue gets its indexes at start: a snapshot and the changes since, or the store.

The store is always right. A snapshot only saves time, and whatever is wrong with it is
logged and leads to the next older one, or to reading every record.
"""

import json
import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from index import ledger
from index.ids import number
from index.live import DuplicateKey, LiveIndex, LiveOptions
from index.pieces import Batch, Sealed
from index.records import OriginalRecord, decode_change, decode_original
from index.snapshot import Origin, SnapshotCorrupt, SnapshotMismatch, Snapshots
from index.spaces import Rows, Space
from index.store import Store
from index.tables import Transaction

log = logging.getLogger(__name__)

_CHUNK = 2000  # records per read: the store can not grow while a read is open


@dataclass(frozen=True, slots=True)
class Schema:
    """What the fingerprints of a catalogue are made by.

    Attributes:
        id: stands for all that decides a vector.
        spaces: of each kind of vector its name, kind and dimension.
    """

    id: str
    spaces: tuple[tuple[str, str, int], ...]

    @staticmethod
    def of(id: str, spaces: Sequence[Space]) -> "Schema":
        """The schema that a caller brings."""
        return Schema(id, tuple((space.name, space.kind, space.dimension) for space in spaces))

    @staticmethod
    def from_json(text: str) -> "Schema":
        """Read what `to_json` wrote."""
        made_by, spaces = json.loads(text)
        return Schema(made_by, tuple((name, kind, size) for name, kind, size in spaces))

    def to_json(self) -> str:
        """The form in which a catalogue keeps it."""
        return json.dumps([self.id, [list(space) for space in self.spaces]])


class SchemaMismatch(RuntimeError):
    """The catalogue was filled with another fingerprint schema.

    Attributes:
        path: of the catalogue.
        stored, wanted: the schemas.
        originals: how many it holds.
    """

    reason: ClassVar[str] = "SCHEMA_MISMATCH"

    def __init__(
        self,
        path: Path,
        stored: Schema,
        wanted: Schema,
        originals: int,
        remedy: str = "go back to the configuration that made them",
    ) -> None:
        """Say what can be done; `remedy` is how to use the catalogue as it is."""
        super().__init__(
            f"catalogue {path} holds {originals} originals with fingerprints of another kind than "
            "this configuration makes. The two can not be compared, and the pictures are not kept, "
            f"so they can not be converted. Either {remedy}; or open a catalogue at another path "
            "and register the pictures again. The old one still lists its brands, ids, digests "
            "and annotations"
        )
        self.path, self.stored, self.wanted, self.originals = path, stored, wanted, originals


@dataclass(frozen=True, slots=True)
class Opened:
    """The indexes of a catalogue and how they came to be.

    Attributes:
        sequence: the last change that they hold.
        source: where most rows came from.
        because: why not from a snapshot, or which one and how many changes were replayed.
        seconds: how long it took.
    """

    indexes: dict[str, LiveIndex]
    snapshots: Snapshots
    origin: Origin
    sequence: int
    source: Literal["snapshot", "store"]
    because: str
    seconds: float


def adopt_schema(txn: Transaction, path: Path, schema: str, spaces: Sequence[Space]) -> None:
    """Hold an empty catalogue to this schema, and a filled one to its own.

    Raises:
        SchemaMismatch
    """
    txn.put("meta", b"schema", check_schema(txn, path, schema, spaces).encode())
    if txn.get("meta", b"store_id") is None:
        txn.put("meta", b"store_id", uuid.uuid4().bytes)


def check_schema(txn: Transaction, path: Path, schema: str, spaces: Sequence[Space]) -> str:
    """Return what a catalogue of this schema keeps as its own.

    Raises:
        SchemaMismatch: it is filled, with another one.
    """
    wanted = Schema.of(schema, spaces)
    stored = (txn.get("meta", b"schema") or b"").decode()
    originals = txn.count("originals")
    if stored != wanted.to_json() and originals:
        raise SchemaMismatch(path, Schema.from_json(stored), wanted, originals)
    return wanted.to_json()


def open_indexes(
    store: Store,
    snapshots: Snapshots,
    spaces: Sequence[Space],
    schema: str,
    options: LiveOptions,
) -> Opened:
    """The indexes of what the store holds; nobody may write meanwhile."""
    start = time.perf_counter()
    with store.read() as txn:
        store_id = uuid.UUID(bytes=txn.get("meta", b"store_id") or b"").hex
        sequence = ledger.counter(txn, "log")
        rows = {space.name: ledger.rows_in_space(txn, space.name) for space in spaces}
    origin = Origin(store_id, schema, tuple(spaces))
    why = "there is no snapshot"
    for name in snapshots.found():
        try:
            info, pieces = snapshots.load(name, origin, options.index)
            indexes = {s.name: LiveIndex(s, options, pieces[s.name]) for s in spaces}
            if info.sequence > sequence:
                raise SnapshotMismatch(snapshots.folder / name, "it is ahead of the store")
            replayed = _replay(store, indexes, info.sequence)
            found = {name: len(index) for name, index in indexes.items()}
            if found != rows:
                raise SnapshotMismatch(
                    snapshots.folder / name, f"with the changes since it has {found}, not {rows}"
                )
        except (SnapshotCorrupt, SnapshotMismatch, DuplicateKey) as error:
            why = str(error)
            log.warning("snapshot refused: %s", why)
            continue
        snapshots.newest = info
        why = f"snapshot {name} and {replayed} changes since"
        seconds = time.perf_counter() - start
        return Opened(indexes, snapshots, origin, sequence, "snapshot", why, seconds)
    log.info("reading %d changes from the store: %s", sequence, why)
    indexes = _rebuilt(store, spaces, options)
    seconds = time.perf_counter() - start
    return Opened(indexes, snapshots, origin, sequence, "store", why, seconds)


def add_records(indexes: Mapping[str, LiveIndex], records: Sequence[OriginalRecord]) -> None:
    """Make registered originals searchable, but for those that may not be matched."""
    active = [record for record in records if record.state == "ACTIVE"]
    for name, batch in _batches(indexes, active).items():
        indexes[name].add(*batch)


def follow_state(indexes: Mapping[str, LiveIndex], record: OriginalRecord) -> None:
    """Make a changed original searchable, or no more, as its state says."""
    for name in record.vectors:
        if name in indexes and record.state != "ACTIVE":
            indexes[name].remove([record.key])
        elif name in indexes and record.key not in indexes[name]:
            add_records({name: indexes[name]}, [record])


def _batches(spaces: Iterable[str], records: Sequence[OriginalRecord]) -> dict[str, Batch]:
    keys: dict[str, list[int]] = defaultdict(list)
    brands: dict[str, list[int]] = defaultdict(list)
    rows: dict[str, list[Rows]] = defaultdict(list)
    for record in records:
        for name, row in record.vectors.items():
            keys[name].append(record.key)
            brands[name].append(record.brand_number)
            rows[name].append(row)
    out = {}
    for name in spaces:
        if name in keys:
            stacked = np.stack(rows[name])
            kept = stacked.astype(np.float16) if stacked.dtype.kind == "f" else stacked
            out[name] = Batch(np.array(keys[name]), np.array(brands[name], np.int32), kept)
    return out


def _replay(store: Store, indexes: dict[str, LiveIndex], sequence: int) -> int:
    """Bring indexes from this change to the newest; how many changes that were."""
    count = 0
    while True:
        with store.read() as txn:
            pairs = txn.scan("log", number(sequence + 1), limit=_CHUNK)
            changes = [decode_change(value) for _, value in pairs]
            new = {c.key for c in changes if c.kind == "REGISTER"}
            changed = {c.key for c in changes if c.kind == "UPDATE"} - new
            found = {key: txn.get("originals", number(key)) for key in sorted(new | changed)}
        if not changes:
            return count
        records = [decode_original(data) for data in found.values() if data is not None]
        add_records(indexes, [record for record in records if record.key in new])
        for record in records:
            if record.key in changed:
                follow_state(indexes, record)
        gone = {change.key for change in changes if change.kind == "WITHDRAW"}
        for index in indexes.values():
            index.remove(gone)
        count += len(changes)
        sequence = changes[-1].sequence


def _rebuilt(store: Store, spaces: Sequence[Space], options: LiveOptions) -> dict[str, LiveIndex]:
    parts: dict[str, list[Batch]] = {space.name: [] for space in spaces}
    key = 0
    while True:
        with store.read() as txn:
            pairs = txn.scan("originals", number(key + 1), limit=_CHUNK)
        if not pairs:
            break
        records = [decode_original(value) for _, value in pairs]
        active = [record for record in records if record.state == "ACTIVE"]
        for name, batch in _batches(parts, active).items():
            parts[name].append(batch)
        key = records[-1].key
    indexes = {}
    for space in spaces:
        sealed = []
        if parts[space.name]:
            columns = zip(*parts.pop(space.name), strict=True)
            whole = Batch(*(np.concatenate(column) for column in columns))
            sealed = [Sealed.of(space, whole, options.index)]
        indexes[space.name] = LiveIndex(space, options, sealed)
    return indexes
