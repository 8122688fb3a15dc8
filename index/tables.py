"""Tables of bytes, as one read or one write sees them.

A thin coat over an LMDB transaction (which `index.store` passes in), so that the rest of the
folder speaks of tables, keys and values. Valid only inside the call or the `with` block that
it was handed to, on that thread.
"""

from collections.abc import Mapping
from typing import Any

from index.acting import LOCAL, Actor


class Transaction:
    """One consistent state of all tables; changes are seen by later reads of the same one.

    A table that is not there is empty: in a store of an older release that is only read.

    Attributes:
        by: on whose behalf it writes.
    """

    __slots__ = ("_tables", "_txn", "by")

    def __init__(self, txn: Any, tables: Mapping[str, Any], by: Actor = LOCAL) -> None:
        self._txn, self._tables, self.by = txn, tables, by

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        if self._tables[table] is None:
            return None
        value: bytes | None = self._txn.get(key, db=self._tables[table])
        return value

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """Set a key's value; in a table with several values per key, add one."""
        self._txn.put(key, value, db=self._tables[table])

    def remove(self, table: str, key: bytes, value: bytes = b"") -> bool:
        """Remove a key, or only this value of it; whether it was there."""
        return bool(self._txn.delete(key, value, db=self._tables[table]))

    def values(self, table: str, key: bytes) -> list[bytes]:
        """All values of a key, in the order of their bytes."""
        if self._tables[table] is None:
            return []
        with self._txn.cursor(db=self._tables[table]) as cursor:
            return list(cursor.iternext_dup()) if cursor.set_key(key) else []

    def scan(
        self, table: str, start: bytes = b"", *, prefix: bytes = b"", limit: int
    ) -> list[tuple[bytes, bytes]]:
        """At most `limit` pairs in the order of their keys, from `start` on."""
        found: list[tuple[bytes, bytes]] = []
        if self._tables[table] is None:
            return found
        with self._txn.cursor(db=self._tables[table]) as cursor:
            here = cursor.set_range(max(start, prefix)) if start or prefix else cursor.first()
            while here and len(found) < limit and cursor.key().startswith(prefix):
                found.append(cursor.item())
                here = cursor.next()
        return found

    def count(self, table: str) -> int:
        """Pairs in a table."""
        if self._tables[table] is None:
            return 0
        return int(self._txn.stat(self._tables[table])["entries"])
