"""What opening a data folder would meet, found out without opening it for writing.

Nothing is made, locked or migrated, so that it can be asked of a folder that a server works in.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from index import ledger, memory, ring
from index.disk import StoreMissing, StoreReadOnly, StoreTooNew
from index.reader import open_view
from index.recovery import check_schema
from index.spaces import Space
from index.store import StoredView

_FILES = ("data.mdb", "lock.mdb", "owner.lock")


@dataclass(frozen=True, slots=True)
class Stored:
    """What a data folder holds.

    Attributes:
        version: of its tables; 0 when there is no store yet.
    """

    version: int = 0
    originals: int = 0
    brands: int = 0

    @property
    def will_migrate(self) -> bool:
        """Whether the next start changes its tables; an older release can not read it then."""
        return 0 < self.version < ledger.STORE_VERSION


def check_writable(folder: Path) -> None:
    """See that a store could be made or written in a folder, by this user.

    Raises:
        StoreReadOnly: the folder or a file in it, or where it would be made.
    """
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise StoreReadOnly(folder, f"{there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise StoreReadOnly(folder, f"this user may not write {there}")
    for name in _FILES:
        file = folder / name
        if file.exists() and not os.access(file, os.R_OK | os.W_OK):
            raise StoreReadOnly(folder, f"this user may not write {file}")


def examine(path: Path, schema: str, spaces: Sequence[Space]) -> Stored:
    """Look into the store of a catalogue, in use or not.

    Raises:
        SchemaMismatch: it was filled with another schema.
        StoreTooNew, StoreCorrupt, StoreFailed.
    """
    try:
        view = open_view(path)
    except StoreMissing:
        return Stored()
    with view, view.read() as txn:
        version = int(txn.get("meta", b"store_version") or 0)
        if version > ledger.STORE_VERSION:
            why = f"it has version {version}, this one reads {ledger.STORE_VERSION}"
            raise StoreTooNew(path, why)
        check_schema(txn, path, schema, spaces)
        return Stored(version, txn.count("originals"), txn.count("brands"))


def examine_memory(path: Path, schema: str, spaces: Sequence[Space]) -> int:
    """Look into a memory of listings, in use or not; how many it holds.

    Raises:
        MemoryMismatch: it was filled with another schema.
        StoreCorrupt, StoreFailed.
    """
    try:
        view = StoredView(path, ring.TABLES)
    except StoreMissing:
        return 0
    with view, view.read() as txn:
        memory.check_schema(txn, path, schema, spaces)
        return txn.count("entries")
