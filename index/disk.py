"""The disk under the store: what can be wrong with it, by name, and one owner per folder."""

import errno
import fcntl
import hashlib
import os
import resource
from pathlib import Path
from typing import ClassVar

_ROOM_BYTES = 1 << 20


class StoreFailed(RuntimeError):
    """A read or a write failed for a reason that none of the narrower errors names."""

    reason: ClassVar[str] = "STORE_FAILED"
    says: ClassVar[str] = "failed: {why}"

    def __init__(self, path: Path, why: str = "") -> None:
        super().__init__(f"store {path} {self.says.format(why=why)}")
        self.path, self.why = path, why


class StoreInUse(StoreFailed):
    """This process or another one has the store open already."""

    reason = "STORE_IN_USE"
    says = "is in use by process {why}, and only one may open it: stop that one, or ask its server"


class StoreReadOnly(StoreFailed):
    """The disk or the folder can not be written."""

    reason = "STORE_READ_ONLY"
    says = "can not be written: {why}"


class StoreFull(StoreFailed):
    """The disk or the configured limit is full; nothing of the refused write was kept."""

    reason = "STORE_FULL"
    says = "is full: {why}"


class StoreCorrupt(StoreFailed):
    """The file is no LMDB file, or a damaged one."""

    reason = "STORE_CORRUPT"
    says = "is damaged: {why}; restore it from a backup"


class StoreTooNew(StoreFailed):
    """A later release wrote the store."""

    reason = "STORE_TOO_NEW"
    says = "was written by a later release: {why}"


class StoreMissing(StoreFailed):
    """There is no store in the folder."""

    reason = "STORE_MISSING"
    says = "is not there; name the `data_dir` of a server"


class StoreClosed(StoreFailed):
    """The store was closed before this call."""

    reason = "STORE_CLOSED"
    says = "is closed"


PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
"""Modes of what is made: a store holds previews of pictures, and who sells what."""


def take_lock(path: Path, *, shared: bool = False) -> int:
    """Make the folder and lock it for this process; the descriptor that holds the lock.

    LMDB itself lets several processes in. The system drops the lock when a process dies.

    Args:
        shared: others may hold it as well that also say so.

    Raises:
        StoreInUse, StoreReadOnly, StoreFull, StoreFailed.
    """
    try:
        path.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
        handle = os.open(path / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    except OSError as error:
        raise named(path, error.errno or 0, str(error)) from error
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        if not shared:
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
    except BlockingIOError as error:
        owner = os.pread(handle, 32, 0).decode(errors="replace") or "unknown"
        os.close(handle)
        raise StoreInUse(path, owner) from error
    except OSError as error:
        os.close(handle)
        raise named(path, error.errno or 0, str(error)) from error
    return handle


def named(path: Path, code: int, why: str) -> StoreFailed:
    """The error that says what the system meant by this errno."""
    if code in (errno.EROFS, errno.EACCES, errno.EPERM):
        return StoreReadOnly(path, why)
    if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreFull(path, why)
    if code == errno.EIO and _no_room(path):  # a page was cut short, and LMDB says EIO
        return StoreFull(path, "no space left on the disk")
    return StoreFailed(path, why)


def used_bytes(path: Path) -> int:
    """Size of the store's file; 0 when there is none."""
    data = path / "data.mdb"
    return data.stat().st_size if data.exists() else 0


def _no_room(path: Path) -> bool:
    room = os.statvfs(path)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    at_limit = limit != resource.RLIM_INFINITY and used_bytes(path) + _ROOM_BYTES >= limit
    return at_limit or room.f_bavail * room.f_frsize < _ROOM_BYTES


def digest_of(file: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Force a file or the names in a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
