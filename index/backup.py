"""Backups of a data folder: a consistent copy of each store in it, and a manifest.

A backup is made by any process, while a server writes: LMDB gives a reader one state, and the
copy is of that state, without free pages (and so without what was deleted). Stores are copied
one after the other: each is consistent in itself. Snapshots of the indexes are left out, since
the first start makes them from the store; so is the memory of listings, which is a cache.

A backup is written aside, synced and renamed: one that is there is whole. A restore reads every
byte against its digest, and only ever writes into a folder that is empty.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from index import audit, ledger
from index.disk import StoreMissing, digest_of, named, sync, used_bytes
from index.reader import open_view
from index.store import copy_store

FORMAT = 1
MANIFEST = "manifest.json"
_DATA = "data.mdb"
_LEFT_OUT = frozenset({"snapshots", "memory"})
_CHUNK = 1 << 20


class BackupMissing(LookupError):
    """There is no backup in the folder."""

    reason: ClassVar[str] = "BACKUP_MISSING"

    def __init__(self, folder: Path) -> None:
        super().__init__(f"there is no backup in {folder}; name a folder that `backup` made")
        self.folder = folder


class BackupCorrupt(RuntimeError):
    """A file of a backup is damaged or missing."""

    reason: ClassVar[str] = "BACKUP_CORRUPT"

    def __init__(self, file: Path, why: str) -> None:
        super().__init__(f"backup file {file} is damaged: {why}; use another backup")
        self.file, self.why = file, why

    def __reduce__(self) -> tuple[type["BackupCorrupt"], tuple[Path, str]]:
        return type(self), (self.file, self.why)


class FolderNotEmpty(ValueError):
    """A backup or a restore writes into a new or an empty folder only."""

    reason: ClassVar[str] = "FOLDER_NOT_EMPTY"

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} is not empty, and nothing is ever written over; name another")
        self.folder = folder


class FolderUnwritable(RuntimeError):
    """A backup, or a data folder that it is put back into, can not be made where it was asked."""

    reason: ClassVar[str] = "FOLDER_UNWRITABLE"

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(f"{folder} can not be made: {why}; name a place that you may write")
        self.folder, self.why = folder, why

    def __reduce__(self) -> tuple[type["FolderUnwritable"], tuple[Path, str]]:
        return type(self), (self.folder, self.why)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    Attributes:
        create_time_ns: when it was begun.
        store: id of the catalogue's store.
        sequence: the last change in it.
        audit_head: the newest entry of the audit log, as `copycatch audit verify` takes it.
        counts: pairs per table of the catalogue's store.
        files: size and SHA-256 of each file, by its path in the folder.
    """

    create_time_ns: int
    store: str
    sequence: int
    audit_head: str
    counts: Mapping[str, int]
    files: Mapping[str, tuple[int, str]]

    @property
    def byte_count(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self.files.values())


def backup(data_dir: Path, target: Path, now_ns: int) -> Manifest:
    """Copy the stores of a data folder, in use or not, into a new folder.

    Raises:
        FolderNotEmpty, FolderUnwritable, StoreMissing, StoreCorrupt, StoreFull, StoreReadOnly,
            StoreFailed.
    """
    _check_empty(target)
    if not used_bytes(data_dir):
        raise StoreMissing(data_dir)
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with _written_aside(aside, target):
        for folder in _stores(data_dir):
            copy = aside / folder.relative_to(data_dir)
            copy.mkdir(parents=True, exist_ok=True)
            copy_store(folder, copy)
            (copy / _DATA).chmod(0o600)  # hashes of keys may be in it
            sync(copy / _DATA)
        files = {
            str(path.relative_to(aside)): (path.stat().st_size, digest_of(path))
            for path in sorted(aside.rglob(_DATA))
        }
        manifest = _describe(aside, now_ns, files)
        _write_manifest(aside / MANIFEST, manifest)
        _put_in_place(aside, target)
    return manifest


def restore(source: Path, data_dir: Path) -> Manifest:
    """Put a backup into a new data folder; every byte is checked.

    Raises:
        BackupMissing, BackupCorrupt, FolderNotEmpty, FolderUnwritable, StoreFull, StoreReadOnly,
            StoreFailed: nothing is left in the data folder.
    """
    _check_empty(data_dir)
    manifest = read_manifest(source)
    aside = data_dir.with_name(f".{data_dir.name}.{os.getpid()}.tmp")
    with _written_aside(aside, data_dir):
        for name, (size, digest) in manifest.files.items():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            _copy_checked(source / name, aside / name, size, digest)
        found = _describe(aside, manifest.create_time_ns, manifest.files)
        if found != manifest:
            raise BackupCorrupt(source / MANIFEST, "the store does not hold what it says")
        _put_in_place(aside, data_dir)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup. Raises BackupMissing, BackupCorrupt."""
    file = folder / MANIFEST
    if not file.exists():
        raise BackupMissing(folder)
    try:
        digest, _, words = file.read_text(encoding="utf-8").partition("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BackupCorrupt(file, str(error)) from error
    if hashlib.sha256(words.encode()).hexdigest() != digest:
        raise BackupCorrupt(file, "its digest does not fit")
    plain: dict[str, Any] = json.loads(words)
    if plain.pop("format") != FORMAT:
        raise BackupCorrupt(file, "its format is unknown to this release")
    plain["files"] = {name: (size, digest) for name, (size, digest) in plain["files"].items()}
    return Manifest(**plain)


def _stores(data_dir: Path) -> list[Path]:
    """The folders with a store: the catalogue's and those beside it."""
    beside = (
        path
        for path in sorted(data_dir.iterdir())
        if path.is_dir() and path.name not in _LEFT_OUT and used_bytes(path)
    )
    return [data_dir, *beside]


def _describe(folder: Path, now_ns: int, files: Mapping[str, tuple[int, str]]) -> Manifest:
    """What the copied catalogue holds, as it says itself."""
    with open_view(folder) as view, view.read() as txn:
        store_id = txn.get("meta", b"store_id")
        return Manifest(
            create_time_ns=now_ns,
            store=uuid.UUID(bytes=store_id).hex if store_id else "",
            sequence=ledger.counter(txn, "log"),
            audit_head=str(audit.ends(txn).head),
            counts={table: txn.count(table) for table in view.tables},
            files=files,
        )


def _write_manifest(file: Path, manifest: Manifest) -> None:
    plain = {"format": FORMAT} | {
        name: getattr(manifest, name) for name in Manifest.__dataclass_fields__
    }
    words = json.dumps(plain, indent=1) + "\n"
    file.write_text(f"{hashlib.sha256(words.encode()).hexdigest()}\n{words}", encoding="utf-8")
    sync(file)


def _copy_checked(source: Path, target: Path, size: int, digest: str) -> None:
    """Copy a file and hash what was read on the way."""
    try:
        file = source.open("rb")
    except OSError as error:
        raise BackupCorrupt(source, error.strerror or str(error)) from error
    found, count = hashlib.sha256(), 0
    with file, target.open("wb") as out:
        target.chmod(0o600)
        while chunk := file.read(_CHUNK):
            found.update(chunk)
            count += len(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    if count != size:
        raise BackupCorrupt(source, f"it has {count} bytes, not {size}")
    if found.hexdigest() != digest:
        raise BackupCorrupt(source, "its digest does not fit")


@contextmanager
def _written_aside(folder: Path, wanted: Path) -> Iterator[None]:
    """A folder that is gone again when the block fails; errors of the system by name.

    Args:
        wanted: the name that it is to get.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)  # previews, and hashes of keys
    except OSError as error:
        above = folder.parent
        why = f"{above} is no folder" if above.is_file() else error.strerror or str(error)
        raise FolderUnwritable(wanted, why) from error
    try:
        yield
    except OSError as error:
        raise named(folder.parent, error.errno or 0, str(error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # nothing to remove when it was renamed


def _put_in_place(aside: Path, folder: Path) -> None:
    """Give what was written aside its name, once all of it is on the disk."""
    for made in (*(path.parent for path in aside.rglob(_DATA)), aside):
        sync(made)
    if folder.exists():
        folder.rmdir()
    aside.rename(folder)
    sync(folder.parent)


def _check_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FolderNotEmpty(folder)
