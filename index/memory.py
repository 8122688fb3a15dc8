"""The memory: listings that were seen, searchable by originals that come later.

A ring on the disk, with a store of its own beside the catalogue's: it neither grows the
catalogue and its backups nor waits for its writer, and can be thrown away without it. Nothing
of it is held in memory. A search reads all rows from first to last in codes of one byte a number
and compares them with all queries at once (`index.codes`), so it finds exactly the nearest, and
a hundred originals cost hardly more than one.

Writes and reads may run on any thread. A search sees the rows that were there when it began and
are there when it comes to them.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from index import codes, ring
from index.nearest import Best, Hit
from index.seen import Entry, SeenListing, SeenPicture
from index.spaces import Keys, Space, UnknownSpace
from index.store import Store, StoreOptions
from index.tables import Transaction

_ROWS_AT_ONCE = 8192
_TRIM_AT_ONCE = 256


class MemoryMismatch(RuntimeError):
    """The memory was filled with fingerprints of another schema."""

    reason: ClassVar[str] = "MEMORY_MISMATCH"

    def __init__(self, path: Path, listings: int) -> None:
        super().__init__(path, listings)
        self.path, self.listings = path, listings

    def __str__(self) -> str:
        return (
            f"the memory {self.path} holds {self.listings} listings with fingerprints of another "
            "schema, which can not be compared with those of this configuration. Move the folder "
            "away to begin anew, or go back to the configuration that made it"
        )


class MemoryOff(RuntimeError):
    """The server remembers no listings; the setting `memory_listings` switches it on."""

    reason: ClassVar[str] = "MEMORY_OFF"

    def __init__(self) -> None:
        super().__init__("this server remembers no listings: its setting memory_listings is 0")


class ListingNotFound(LookupError):
    """The listing is not remembered: never checked, deleted, or gone by age or count."""

    reason: ClassVar[str] = "LISTING_NOT_FOUND"

    def __init__(self, listing: str) -> None:
        super().__init__(listing)
        self.listing = listing

    def __str__(self) -> str:
        return f"nothing is remembered of listing {self.listing!r}"


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """How much is remembered, and for how long.

    Attributes:
        max_listings: the oldest go when there are more.
        max_age_s: listings go when they are older.
        max_bytes: the oldest go when all take more than three quarters of this on the disk. The
            rest is room for forgetting, which writes too.
        block_rows: rows that are written together once there are so many.
    """

    max_listings: int = 1_000_000
    max_age_s: float = 90 * 86_400.0
    max_bytes: int = 64 << 30
    block_rows: int = 1024


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """A memory as a whole.

    Attributes:
        listings: how many are remembered.
        rows: by space, how many views can be found.
        oldest_ns: when the first of them was seen; 0 when there is none.
        disk_bytes: what the store takes on disk.
    """

    listings: int
    rows: Mapping[str, int]
    oldest_ns: int
    disk_bytes: int


class Memory:
    """Listings that were seen. Make one with `Memory.open`."""

    def __init__(
        self, store: Store, spaces: Sequence[Space], config: MemoryConfig, clock: Callable[[], int]
    ) -> None:
        self._store, self._config, self._clock = store, config, clock
        self.spaces = {space.name: space for space in spaces if space.kind != "points"}
        self._trimming = threading.Lock()

    @classmethod
    def open(
        cls,
        path: Path,
        spaces: Sequence[Space],
        schema: str,
        config: MemoryConfig | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> "Memory":
        """Open or make a memory.

        Args:
            path: its folder; one process may have it open at a time.
            spaces: those in which listings are searched.
            schema: id of the fingerprint that fills them.
            clock: nanoseconds since 1970.

        Raises:
            MemoryMismatch: it was filled with another schema.
            StoreInUse, StoreReadOnly, StoreFull, StoreCorrupt, StoreTooNew: see `index.store`.
        """
        config = config or MemoryConfig()
        options = StoreOptions(min(1 << 30, config.max_bytes), config.max_bytes)
        store = Store(path, ring.TABLES, version=ring.STORE_VERSION, migrations={}, options=options)
        try:
            store.write(lambda txn: _adopt(txn, path, schema, spaces))
        except BaseException:
            store.close()
            raise
        return cls(store, spaces, config, clock)

    def close(self) -> None:
        """Finish the writes that wait, then close."""
        self._store.close()

    def __enter__(self) -> "Memory":
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def remember(self, listings: Sequence[SeenListing]) -> int:
        """Remember listings, on disk when this returns; then forget what is too old or too much.

        All in one commit. Of listings with one id the last stays.

        Returns:
            How many were written; the others are remembered with the same pictures already.

        Raises:
            UnknownSpace, DimensionMismatch, NotFinite, NotUnit: a row does not fit; nothing
                was written.
            StoreFull, StoreReadOnly
        """
        ready = [(seen, [self._encoded(picture) for picture in seen.pictures]) for seen in listings]
        now, block = self._clock(), self._config.block_rows
        spaces = tuple(self.spaces.values())

        def write(txn: Transaction) -> int:
            added = [ring.add(txn, spaces, seen, rows, now, block) for seen, rows in ready]
            return sum(entry is not None for entry in added)

        count = self._store.write(write)
        self.trim()
        return count

    def forget(self, listing_id: str) -> bool:
        """Forget a listing with everything that was kept of it; whether it was there."""

        def write(txn: Transaction) -> bool:
            entry = ring.find(txn, listing_id)
            if entry is not None:
                ring.remove(txn, tuple(self.spaces.values()), [entry])
            return entry is not None

        return self._store.write(write)

    def trim(self) -> int:
        """Forget what is too old or too much; how many listings went."""
        gone = 0
        with self._trimming:
            while True:
                with self._store.read() as txn:
                    due = self._due(txn)
                if not due:
                    return gone
                gone += self._store.write(self._remove_due)

    def get(self, listing_id: str) -> Entry | None:
        """What is remembered of a listing; None when nothing is."""
        with self._store.read() as txn:
            return ring.find(txn, listing_id)

    def described(self, listing_id: str) -> tuple[Entry, int]:
        """What is remembered of a listing, and the bytes of its prints. Raises ListingNotFound."""
        with self._store.read() as txn:
            entry = ring.find(txn, listing_id)
            if entry is None:
                raise ListingNotFound(listing_id)
            places = range(len(entry.views))
            prints = [ring.print_of(txn, entry.number, place) or b"" for place in places]
            return entry, sum(map(len, prints))

    def entry(self, number: int) -> Entry | None:
        """The listing of a hit; None when it went since."""
        with self._store.read() as txn:
            return ring.entry_of(txn, number)

    def print(self, number: int, picture: int) -> bytes | None:
        """What was kept for the verification of a picture; None when it went since."""
        with self._store.read() as txn:
            return ring.print_of(txn, number, picture)

    def search(
        self,
        space: str,
        queries: NDArray[Any],
        k: int,
        *,
        least: float = -1.0,
        turn: Callable[[], None] = lambda: None,
    ) -> list[list[Hit]]:
        """Find the nearest views of each query among all that are remembered.

        Args:
            queries: shape (n, width), as `Space.checked` takes them.
            k: at most this many hits for each query, at least 1.
            least: hits with a lower score are left out.
            turn: called between blocks of rows; may wait, or raise to stop.

        Returns:
            n lists, best first, ties by row.

        Raises:
            UnknownSpace, DimensionMismatch, NotFinite, NotUnit, RecordCorrupt.
        """
        if k < 1:
            raise ValueError(f"k is at least 1, not {k}")
        kind = self._space(space)
        best = Best(kind, queries, k, least)
        for keys, rows in self._all(kind):
            turn()
            best.offer(keys, rows)
        return best.hits()

    def stats(self) -> MemoryStats:
        """Sizes and age."""
        with self._store.read() as txn:
            first = ring.oldest(txn, 1)
            return MemoryStats(
                listings=txn.count("entries"),
                rows={name: ring.row_count(txn, name) for name in self.spaces},
                oldest_ns=first[0].time_ns if first else 0,
                disk_bytes=self._store.disk_bytes,
            )

    def _all(self, space: Space) -> Iterator[tuple[Keys, codes.Codes]]:
        """Yield all rows of a space, in parts of about `_ROWS_AT_ONCE`."""
        after, parts, held = -1, list[tuple[Keys, codes.Codes]](), 0
        while True:
            with self._store.read() as txn:  # short: the store can not grow while one is open
                keys, rows, after = ring.rows_after(txn, space, after)
            if len(keys):
                parts.append((keys, rows))
                held += len(keys)
            if held >= _ROWS_AT_ONCE or (held and not len(keys)):
                yield np.concatenate([k for k, _ in parts]), np.concatenate([r for _, r in parts])
                parts, held = [], 0
            if not len(keys):
                return

    def _space(self, name: str) -> Space:
        if name not in self.spaces:
            raise UnknownSpace(name, tuple(self.spaces))
        return self.spaces[name]

    def _encoded(self, picture: SeenPicture) -> dict[str, dict[int, bytes]]:
        encoded = {}
        for name, rows in picture.rows.items():
            if rows:
                made = codes.encode(self._space(name), np.stack(list(rows.values())))
                encoded[name] = {v: row.tobytes() for v, row in zip(rows, made, strict=True)}
        return encoded

    def _due(self, txn: Transaction) -> list[Entry]:
        """Some of the oldest listings that have to go.

        When the clock was set back, listings from its future stay until it is there; their
        number is bounded all the same.
        """
        too_many = txn.count("entries") - self._config.max_listings
        too_much = ring.byte_count(txn) - self._config.max_bytes * 3 // 4
        before = self._clock() - int(self._config.max_age_s * 1e9)
        found = ring.oldest(txn, 1)
        if max(too_many, too_much) <= 0 and not (found and found[0].time_ns < before):
            return []
        due = []
        for entry in ring.oldest(txn, _TRIM_AT_ONCE):
            if max(too_many, too_much) > 0 or entry.time_ns < before:
                due.append(entry)
                too_many, too_much = too_many - 1, too_much - entry.byte_count
        return due

    def _remove_due(self, txn: Transaction) -> int:
        due = self._due(txn)
        ring.remove(txn, tuple(self.spaces.values()), due)
        return len(due)


def _adopt(txn: Transaction, path: Path, schema: str, spaces: Sequence[Space]) -> None:
    txn.put("meta", b"schema", check_schema(txn, path, schema, spaces).encode())


def check_schema(txn: Transaction, path: Path, schema: str, spaces: Sequence[Space]) -> str:
    """Return what a memory of this schema keeps as its own.

    Raises:
        MemoryMismatch: it is filled, with another one.
    """
    wanted = json.dumps([schema, [[s.name, s.kind, s.dimension] for s in spaces]])
    stored = (txn.get("meta", b"schema") or b"").decode()
    listings = txn.count("entries")
    if stored != wanted and listings:
        raise MemoryMismatch(path, listings)
    return wanted
