"""The LMDB environment: tables of bytes, one writer thread, group commit. The one file with lmdb.

A commit costs an fsync, several milliseconds, whatever it holds; so all writes that wait
share one. Each write is a function of a transaction that runs in the writer thread (LMDB's
write lock belongs to a thread), inside a nested transaction of its own: what it raises
reaches its caller, undoes only its own changes, and the others of the group are committed.
A write may run more than once (the map may have to grow under it): it must not have effects
outside the transaction.

Reads may run on any thread, also during commits, and see one consistent state. The map can
grow only while nobody reads (LMDB moves it), so keep reads short.
"""

import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import lmdb

from index.acting import Actor, acting
from index.disk import (
    PRIVATE_FILE,
    StoreClosed,
    StoreCorrupt,
    StoreFailed,
    StoreFull,
    StoreMissing,
    StoreTooNew,
    named,
    take_lock,
    used_bytes,
)
from index.tables import Transaction

log = logging.getLogger(__name__)

Migration = Callable[[Transaction], None]
META = "meta"
_VERSION_KEY = b"store_version"
_GROUP_LIMIT = 512
_PAGE = 4096


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How large the store may become.

    Attributes:
        initial_bytes: size of the memory map to begin with; no disk is taken for it.
        max_bytes: the map is doubled up to this size; then writes are refused.
    """

    initial_bytes: int = 1 << 30
    max_bytes: int = 1 << 40

    @property
    def first_bytes(self) -> int:
        """The map to begin with, in whole pages, which is never larger than it may become."""
        return min(self.initial_bytes, max(self.max_bytes, 1 << 17)) // _PAGE * _PAGE


@dataclass(slots=True)
class _Write:
    run: Callable[[Transaction], Any]
    future: "Future[Any]"
    by: Actor


class Store:
    """Named tables in one LMDB environment; safe from any thread.

    Args:
        path: folder of the store; made when missing.
        tables: names, and whether a key may have several values there.
        version: of the layout of the tables.
        migrations: from a version to the next; run at open, all in one commit.
        committed: called in the writer thread after each commit with the results of its
            writes, in order, before their callers go on. What it raises reaches them.
        shared: other processes may have it open too, as long as they also say so. They must agree
            on `options`, with one size that is never grown (LMDB can not move the map of others);
            `committed` hears of this process's writes alone. Its file is its owner's alone.

    Raises:
        StoreInUse, StoreReadOnly, StoreFull, StoreCorrupt, StoreTooNew.
    """

    def __init__(
        self,
        path: Path,
        tables: Mapping[str, bool],
        *,
        version: int,
        migrations: Mapping[int, Migration],
        committed: Callable[[Sequence[Any]], None] = lambda results: None,
        options: StoreOptions | None = None,
        shared: bool = False,
    ) -> None:
        self.path = path
        self._options = options or StoreOptions()
        self._committed = committed
        self._gate = threading.Condition()
        self._readers = 0
        self._closed = False
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._lock_fd = take_lock(path, shared=shared)
        try:
            with named_errors(path):
                self._env = lmdb.open(
                    str(path),
                    map_size=max(self._options.first_bytes, used_bytes(path)),
                    max_dbs=len(tables) + 1,
                    max_readers=1024,
                    mode=PRIVATE_FILE,
                )
                if shared:
                    self._env.reader_check()  # of processes that were killed
                self._tables = {
                    name: self._env.open_db(name.encode(), dupsort=many)
                    for name, many in {META: False, **tables}.items()
                }
            self._writer = threading.Thread(target=self._run, name="store-writer", daemon=True)
            self._writer.start()
            self.write(lambda txn: self._migrate(txn, version, migrations))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Finish the writes that wait, then close. Later calls raise `StoreClosed`."""
        with self._gate:
            already, self._closed = self._closed, True
        if already:
            return
        if hasattr(self, "_writer"):
            self._queue.put(None)
            self._writer.join()
        with self._gate:
            self._gate.wait_for(lambda: self._readers == 0)
        if hasattr(self, "_env"):
            self._env.close()
        os.close(self._lock_fd)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """One consistent state of all tables, for as short a time as possible."""
        with self._gate:
            if self._closed:
                raise StoreClosed(self.path)
            self._readers += 1
        try:
            with named_errors(self.path), self._env.begin() as txn:
                yield Transaction(txn, self._tables)
        finally:
            with self._gate:
                self._readers -= 1
                self._gate.notify_all()

    def submit[T](self, run: Callable[[Transaction], T], by: Actor | None = None) -> "Future[T]":
        """Queue a write; its future is done when the write is on disk and announced.

        Args:
            by: on whose behalf; None is whoever acts in this context.
        """
        write = _Write(run, Future(), by or acting.get())
        with self._gate:
            if self._closed:
                raise StoreClosed(self.path)
            self._queue.put(write)
        return write.future

    def write[T](self, run: Callable[[Transaction], T]) -> T:
        """Write and wait."""
        return self.submit(run).result()

    def copy_to(self, folder: Path) -> None:
        """Write a consistent copy into an empty folder, without free pages.

        For this process, which can not open its own store a second time; see `copy_store`.
        The map can not grow meanwhile, so that a write may have to wait.

        Raises:
            StoreClosed, StoreFull, StoreReadOnly, StoreFailed.
        """
        with self.read(), named_errors(folder):
            self._env.copy(str(folder), compact=True)

    @property
    def map_bytes(self) -> int:
        """Size of the memory map; the file grows up to it."""
        return int(self._env.info()["map_size"])

    @property
    def commit_count(self) -> int:
        """Commits since the store was made."""
        return int(self._env.info()["last_txnid"])

    @property
    def disk_bytes(self) -> int:
        """What the store takes on disk; the file may have holes."""
        return (self.path / "data.mdb").stat().st_blocks * 512

    def _migrate(self, txn: Transaction, version: int, migrations: Mapping[int, Migration]) -> None:
        stored = txn.get(META, _VERSION_KEY)
        found = int(stored) if stored else version
        if found > version:
            raise StoreTooNew(self.path, f"it has version {found}, this one reads {version}")
        for step in range(found, version):
            log.info("store %s: migrating from version %d", self.path, step)
            migrations[step](txn)
        txn.put(META, _VERSION_KEY, str(version).encode())

    def _run(self) -> None:
        last = False
        while not last:
            group = [self._queue.get()]
            while len(group) < _GROUP_LIMIT and not self._queue.empty():
                group.append(self._queue.get())  # nobody else takes from the queue
            last = group[-1] is None  # nothing is queued behind it
            wanted = [w for w in group if w and w.future.set_running_or_notify_cancel()]
            if wanted:
                self._commit(wanted)

    def _commit(self, group: list[_Write]) -> None:
        """Commit a group; every future is done afterwards, whatever happened."""
        try:
            outcomes = self._attempt(group)
        except lmdb.MapFullError:
            self._grow_then_commit(group)
        except lmdb.TxnFullError:
            self._commit_halves(group, StoreFailed(self.path, "a write is too large"))
        except (lmdb.Error, OSError) as error:
            self._commit_halves(group, _named(self.path, error))
        except BaseException as error:
            self._fail(group, error)
        else:
            self._announce(group, outcomes)

    def _announce(
        self, group: list[_Write], outcomes: list[tuple[Any, BaseException | None]]
    ) -> None:
        try:
            self._committed([value for value, error in outcomes if error is None])
        except BaseException as error:
            self._fail(group, error)
            return
        for write, (value, failure) in zip(group, outcomes, strict=True):
            if failure is not None:
                write.future.set_exception(failure)
            else:
                write.future.set_result(value)

    def _fail(self, group: list[_Write], error: BaseException) -> None:
        for write in group:
            write.future.set_exception(error)

    def _attempt(self, group: list[_Write]) -> list[tuple[Any, BaseException | None]]:
        outcomes: list[tuple[Any, BaseException | None]] = []
        with self._env.begin(write=True) as parent:
            for write in group:
                try:
                    with self._env.begin(parent=parent, write=True) as child:
                        txn = Transaction(child, self._tables, write.by)
                        outcomes.append((write.run(txn), None))
                except (lmdb.MapFullError, lmdb.TxnFullError):
                    raise
                except lmdb.Error as error:
                    outcomes.append((None, _named(self.path, error)))
                except Exception as error:
                    outcomes.append((None, error))
        return outcomes

    def _commit_halves(self, group: list[_Write], error: BaseException) -> None:
        """After a failed commit: what fails alone fails, the others of the group need not."""
        if len(group) == 1:
            self._fail(group, error)
            return
        middle = len(group) // 2
        self._commit(group[:middle])
        self._commit(group[middle:])

    def _grow_then_commit(self, group: list[_Write]) -> None:
        size = self.map_bytes
        if size >= self._options.max_bytes:
            why = f"it has reached its limit of {self._options.max_bytes:,} bytes"
            self._commit_halves(group, StoreFull(self.path, why))
            return
        with self._gate:  # new readers wait at the gate while LMDB moves the map
            self._gate.wait_for(lambda: self._readers == 0)
            self._env.set_mapsize(min(size * 2, self._options.max_bytes))
        log.info("store %s: map grown to %d bytes", self.path, self.map_bytes)
        self._commit(group)


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Raise what LMDB and the system raise in the words of `index.disk`."""
    try:
        yield
    except (lmdb.Error, OSError) as error:
        raise _named(path, error) from error


def _named(path: Path, error: lmdb.Error | OSError) -> StoreFailed:
    code = error.errno if isinstance(error, OSError) else error.code
    damaged = lmdb.InvalidError, lmdb.CorruptedError, lmdb.PageNotFoundError
    if isinstance(error, damaged):
        return StoreCorrupt(path, str(error))
    return named(path, code or 0, str(error))


class StoredView:
    """A store that is only read, also while another process writes to it; safe from any thread.

    It takes no part in ownership. A table that an older release has not made is empty. While a
    read or a copy lasts the owner can not use freed pages again, and its file grows instead.

    Raises:
        StoreMissing: there is no store in the folder.
        StoreCorrupt, StoreFailed.
    """

    def __init__(self, path: Path, tables: Mapping[str, bool]) -> None:
        if not used_bytes(path):
            raise StoreMissing(path)
        self.path, self.tables = path, tuple(tables)
        # Without a lock a store on a disk that can not be written is read as well; nobody can
        # be writing to it.
        lock = os.access(path / "lock.mdb", os.W_OK)
        with named_errors(path):
            self._env = lmdb.open(
                str(path), readonly=True, create=False, lock=lock, max_dbs=len(tables) + 1
            )
            self._tables = {name: self._table(name, many) for name, many in tables.items()}
            self._tables[META] = self._table(META, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._env.close()

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """One consistent state of all tables."""
        with named_errors(self.path), self._env.begin() as txn:
            yield Transaction(txn, self._tables)

    def _table(self, name: str, many: bool) -> Any:
        try:
            return self._env.open_db(name.encode(), dupsort=many, create=False)
        except lmdb.NotFoundError:
            return None


def copy_store(path: Path, folder: Path) -> None:
    """Write a consistent copy of a store, in use or not, into an empty folder.

    Without the pages that are free. While it lasts the owner of the store can not use freed
    pages again, and its file grows instead.

    Raises:
        StoreCorrupt, StoreFull, StoreReadOnly, StoreFailed.
    """
    lock = os.access(path / "lock.mdb", os.W_OK)
    with named_errors(path):
        env = lmdb.open(str(path), readonly=True, create=False, lock=lock)
    try:
        with named_errors(folder):
            env.copy(str(folder), compact=True)
    finally:
        env.close()
