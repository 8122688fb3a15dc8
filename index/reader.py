"""What can be read of a store without its vectors in memory.

`Catalogue` is one of these. Alone it reads any store, one of another fingerprint schema
too: to list what has to be registered again, or to look into a backup.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from index import dispute_rows, ledger, removal, rights
from index.ids import key_of, number, original_id
from index.records import (
    Brand,
    Change,
    OriginalRecord,
    decode_brand,
    decode_change,
    decode_original,
    unseal,
)
from index.store import Store, StoredView

Records = list[OriginalRecord]
_decoded = lru_cache(maxsize=256)(decode_original)
"""By the bytes, so that it can not be out of date. Enough for the ordinary originals, which many
pictures have among their candidates; each takes 8 KB, and a large cache would fill for minutes."""
PAGE_LIMIT = 1000
TABLES: Mapping[str, bool] = {
    **ledger.TABLES,
    **rights.TABLES,
    **dispute_rows.TABLES,
    **removal.TABLES,
}
"""Of a store: names, and whether a key may have several values there."""


def open_view(path: Path) -> StoredView:
    """Open the store of a catalogue only to read it, whether or not a server has it open.

    Raises:
        StoreMissing, StoreCorrupt, StoreFailed.
    """
    return StoredView(path, TABLES)


class KeyNotFound(LookupError):
    """No original has this key; it may have been withdrawn."""

    reason: ClassVar[str] = "KEY_NOT_FOUND"

    def __init__(self, key: int) -> None:
        super().__init__(f"no original has the key {key}")
        self.key = key


class Reader:
    """Reads brands and originals; safe from any thread, also during writes.

    Pages are in the order of ids and start after the id `after`; a page shorter than
    `page_size` (at most 1,000) is the last one.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._leaving: frozenset[int] = frozenset()
        """Numbers of brands that were deleted and of which rows are left."""

    def get_brand(self, brand: str) -> Brand:
        """Raises BrandNotFound."""
        with self._store.read() as txn:
            return ledger.find_brand(txn, brand)

    def list_brands(self, page_size: int = 100, after: str = "") -> Sequence[Brand]:
        """A page of all brands."""
        start = key_of(after) + b"\0" if after else b""
        with self._store.read() as txn:
            pairs = txn.scan("brands", start, limit=min(page_size, PAGE_LIMIT))
        return [decode_brand(value) for _, value in pairs]

    def get(self, brand: str, original: str) -> OriginalRecord:
        """Raises OriginalNotFound."""
        with self._store.read() as txn:
            return ledger.find_original(txn, brand, original)

    def by_key(self, keys: Sequence[int]) -> Sequence[OriginalRecord | None]:
        """The records of search results, in their order; None for one withdrawn since."""
        found = self._values("originals", keys)
        records = (None if data is None else _decoded(data) for data in found)
        return [None if r is None or r.brand_number in self._leaving else r for r in records]

    def preview(self, key: int) -> bytes:
        """The encoded picture to verify against. Raises KeyNotFound, RecordCorrupt."""
        data = self.previews_many([key])[0]
        if data is None:
            raise KeyNotFound(key)
        return data

    def features(self, key: int) -> bytes | None:
        """The preview's local features; None when there are none or it was withdrawn."""
        return self._values("features", [key])[0]

    def previews_many(self, keys: Sequence[int]) -> Sequence[bytes | None]:
        """Previews in the order of the keys, from one state of the store. Raises RecordCorrupt."""
        found = self._values("previews", keys)
        return [None if data is None else unseal(data) for data in found]

    def features_many(self, keys: Sequence[int]) -> Sequence[bytes | None]:
        """Local features in the order of the keys, from one state of the store."""
        return self._values("features", keys)

    def find_digest(
        self, *, sha256: bytes | None = None, pixel_sha256: bytes | None = None
    ) -> Sequence[int]:
        """Keys of the originals with the same bytes or the same pixels, ascending."""
        found: set[int] = set()
        given = {ledger.BYTES_DIGEST: sha256, ledger.PIXEL_DIGEST: pixel_sha256}
        with self._store.read() as txn:
            for kind, digest in given.items():
                if digest is not None:
                    found.update(map(int.from_bytes, txn.values("digests", kind + digest)))
        return sorted(found)

    def find_picture(
        self, brand: str, sha256: bytes, pixel_sha256: bytes | None = None
    ) -> OriginalRecord | None:
        """The original of a brand with the same bytes or pixels, in any state."""
        with self._store.read() as txn:
            return ledger.find_picture(txn, brand, sha256, pixel_sha256)

    def changes(self, after: int = 0, limit: int = 1000) -> Sequence[Change]:
        """The change log from the sequence number after `after`."""
        with self._store.read() as txn:
            pairs = txn.scan("log", number(after + 1), limit=limit)
        return [decode_change(value) for _, value in pairs]

    def newest_key(self, sequence: int) -> int:
        """The largest key that an original could have at this change of the log."""
        while changes := self.changes(sequence):
            for change in changes:
                if change.kind == "REGISTER":
                    return change.key - 1
            sequence = changes[-1].sequence
        with self._store.read() as txn:
            return ledger.counter(txn, "originals")

    def counts(self) -> Mapping[str, int]:
        """Pairs per table of the store."""
        with self._store.read() as txn:
            return {table: txn.count(table) for table in TABLES}

    def list(self, brand: str, page_size: int = 100, after: str = "") -> Records:
        """A page of the originals of a brand. Raises BrandNotFound."""
        prefix = key_of(brand) + b"\0"
        start = original_id(brand, after) + b"\0" if after else prefix
        with self._store.read() as txn:
            ledger.find_brand(txn, brand)
            limit = min(page_size, PAGE_LIMIT)
            keys = [key for _, key in txn.scan("ids", start, prefix=prefix, limit=limit)]
            found = [txn.get("originals", key) for key in keys]
        return [decode_original(data) for data in found if data is not None]

    def _values(self, table: str, keys: Sequence[int]) -> Sequence[bytes | None]:
        with self._store.read() as txn:
            return [txn.get(table, number(key)) for key in keys]
