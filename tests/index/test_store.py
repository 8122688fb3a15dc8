"""The store: group commit, everybody's own error, growth, and the faults of a disk by name."""

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from index.disk import (
    StoreClosed,
    StoreCorrupt,
    StoreFailed,
    StoreFull,
    StoreInUse,
    StoreReadOnly,
    StoreTooNew,
)
from index.store import Store, StoreOptions
from index.tables import Transaction

TABLES = {"a": False, "many": True}


def opened(path: Path, **given: Any) -> Store:
    settings: dict[str, Any] = {"version": 1, "migrations": {}} | given
    return Store(path, TABLES, **settings)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = opened(tmp_path / "store")
    yield made
    made.close()


def putting(key: bytes, value: bytes = b"v") -> Callable[[Transaction], None]:
    return lambda txn: txn.put("a", key, value)


def put(store: Store, key: bytes, value: bytes = b"v") -> None:
    store.write(putting(key, value))


def get(store: Store, key: bytes) -> bytes | None:
    with store.read() as txn:
        return txn.get("a", key)


def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, b"k", b"v1")
    store.close()
    store = opened(tmp_path)
    assert get(store, b"k") == b"v1"
    store.close()


def test_what_it_makes_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)  # as wide as a machine may be set up
    try:
        opened(tmp_path / "store").close()
    finally:
        os.umask(before)
    made = [tmp_path / "store", *(tmp_path / "store").iterdir()]
    assert {"data.mdb", "lock.mdb", "owner.lock"} <= {each.name for each in made}
    assert not any(each.stat().st_mode & 0o077 for each in made)


def test_concurrent_writers_share_commits(store: Store) -> None:
    before, start = store.commit_count, threading.Event()
    store.submit(lambda txn: start.wait())  # the writer is busy while the others queue up
    futures = [store.submit(putting(b"%d" % i)) for i in range(400)]
    start.set()
    for future in futures:
        future.result()
    assert store.commit_count - before <= 2
    assert all(get(store, b"%d" % i) == b"v" for i in range(400))


def test_many_threads_each_get_their_own_result(store: Store) -> None:
    def write(i: int) -> int:
        put(store, b"%d" % i)
        return store.write(lambda txn: i * i)

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(write, range(300))) == [i * i for i in range(300)]
    assert store.commit_count < 600


def test_an_error_undoes_its_own_write_and_no_other(store: Store) -> None:
    start = threading.Event()
    store.submit(lambda txn: start.wait())

    def bad(txn: Transaction) -> None:
        txn.put("a", b"bad", b"v")
        raise KeyError("mine")

    futures = []
    for i in range(20):
        futures.append(store.submit(putting(b"good%d" % i)))
        futures.append(store.submit(bad))
    start.set()
    for i, future in enumerate(futures):
        if i % 2:
            with pytest.raises(KeyError, match="mine"):
                future.result()
        else:
            future.result()
    assert get(store, b"bad") is None
    assert all(get(store, b"good%d" % i) == b"v" for i in range(20))


def test_a_key_that_lmdb_refuses_is_an_error_of_its_own_write(store: Store) -> None:
    start = threading.Event()
    store.submit(lambda txn: start.wait())
    good = store.submit(lambda txn: txn.put("a", b"good", b"v"))
    bad = store.submit(lambda txn: txn.put("a", b"x" * 600, b"v"))
    start.set()
    good.result()
    with pytest.raises(StoreFailed, match="BAD_VALSIZE"):
        bad.result()
    assert get(store, b"good") == b"v"


def test_the_hook_hears_the_results_in_order_before_their_callers_go_on(tmp_path: Path) -> None:
    heard: list[Any] = []
    store = opened(tmp_path, committed=heard.extend)
    heard.clear()
    for i in range(5):
        store.write(partial(lambda i, txn: i, i))
        assert heard[-1] == i
    with pytest.raises(ZeroDivisionError):
        store.write(lambda txn: 1 // 0)
    assert heard == [0, 1, 2, 3, 4]
    store.close()


def test_what_the_hook_raises_reaches_the_caller_and_the_store_goes_on(tmp_path: Path) -> None:
    def hook(results: Any) -> None:
        if "bad" in results:
            raise MemoryError("hook")

    store = opened(tmp_path, committed=hook)
    with pytest.raises(MemoryError, match="hook"):
        store.write(lambda txn: "bad")
    assert store.write(lambda txn: "good") == "good"
    store.close()


def test_a_cancelled_write_is_not_made_and_hurts_nobody(store: Store) -> None:
    start = threading.Event()
    store.submit(lambda txn: start.wait())
    gone = store.submit(lambda txn: txn.put("a", b"gone", b"v"))
    stays = store.submit(lambda txn: txn.put("a", b"stays", b"v"))
    assert gone.cancel()
    start.set()
    stays.result()
    assert get(store, b"gone") is None
    assert get(store, b"stays") == b"v"


def test_the_map_grows_as_needed_while_others_read(tmp_path: Path) -> None:
    store = opened(tmp_path, options=StoreOptions(initial_bytes=1 << 20))
    put(store, b"first", b"f" * 1000)
    stop, wrong = threading.Event(), list[object]()

    def read() -> None:
        while not stop.is_set():
            if get(store, b"first") != b"f" * 1000:
                wrong.append("lost")
            time.sleep(0.001)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    size = store.map_bytes
    futures = [store.submit(putting(b"%d" % i, b"x" * 50_000)) for i in range(80)]
    for future in futures:
        future.result()
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong
    assert store.map_bytes >= 4 * size
    assert all(get(store, b"%d" % i) == b"x" * 50_000 for i in range(80))
    store.close()
    store = opened(tmp_path, options=StoreOptions(initial_bytes=1 << 20))  # smaller than the file
    assert get(store, b"79") == b"x" * 50_000
    store.close()


def test_at_its_limit_the_store_is_full_and_smaller_writes_still_fit(tmp_path: Path) -> None:
    store = opened(tmp_path, options=StoreOptions(initial_bytes=1 << 20, max_bytes=2 << 20))
    start = threading.Event()
    store.submit(lambda txn: start.wait())
    small = store.submit(lambda txn: txn.put("a", b"small", b"v"))
    large = store.submit(lambda txn: txn.put("a", b"large", b"x" * (3 << 20)))
    start.set()
    small.result()
    with pytest.raises(StoreFull, match="limit of 2,097,152 bytes"):
        large.result()
    put(store, b"after")
    assert get(store, b"large") is None
    assert get(store, b"small") == get(store, b"after") == b"v"
    store.close()


def test_a_second_open_in_this_process_is_an_error_that_names_it(store: Store) -> None:
    with pytest.raises(StoreInUse, match=f"process {os.getpid()}"):
        opened(store.path)
    put(store, b"still")


def test_a_second_open_by_another_process_is_an_error(store: Store) -> None:
    code = f"""
from functools import partial
from pathlib import Path
from index.store import Store
Store(Path({str(store.path)!r}), {{}}, version=1, migrations={{}})
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert f"StoreInUse: store {store.path} is in use by process {os.getpid()}" in ran.stderr


def test_after_close_every_call_is_refused_and_what_waited_was_written(tmp_path: Path) -> None:
    store = opened(tmp_path)
    futures = [store.submit(putting(b"%d" % i)) for i in range(50)]
    store.close()
    store.close()
    assert all(future.exception() is None for future in futures)
    with pytest.raises(StoreClosed):
        put(store, b"k")
    with pytest.raises(StoreClosed), store.read():
        pass


def test_migrations_run_once_each_in_order_and_together(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, b"k", b"1")
    store.close()

    def times(factor: int) -> Any:
        def run(txn: Transaction) -> None:
            txn.put("a", b"k", b"%d" % (int(txn.get("a", b"k") or 0) * factor + 1))

        return run

    def broken(txn: Transaction) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        opened(tmp_path, version=3, migrations={1: times(10), 2: broken})
    migrations = {1: times(10), 2: times(100)}
    for _ in range(2):
        store = opened(tmp_path, version=3, migrations=migrations)
        assert get(store, b"k") == b"1101"
        store.close()
    with pytest.raises(StoreTooNew, match="version 3"):
        opened(tmp_path, version=2)


def test_a_file_that_is_no_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"garbage" * 5000)
    with pytest.raises(StoreCorrupt, match=str(tmp_path)):
        opened(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreFailed, match="file"):
        opened(tmp_path / "file" / "store")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(store: Store) -> int:
    """Write until the store is full; how many writes were acknowledged."""
    for i in range(10_000):
        try:
            put(store, b"%06d" % i, b"x" * 15_000)
        except StoreFull:
            return i
    raise AssertionError("the store is never full")


def test_a_full_disk_is_named_and_nothing_acknowledged_is_lost(small_disk: Path) -> None:
    store = opened(small_disk / "store")
    count = fill(store)
    assert count > 50
    assert all(get(store, b"%06d" % i) == b"x" * 15_000 for i in range(count))
    store.close()
    store = opened(small_disk / "store")
    with store.read() as txn:
        assert txn.count("a") == count
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    put(store, b"again", b"x" * 15_000)
    assert get(store, b"again") == b"x" * 15_000
    store.close()


def test_a_disk_that_is_read_only_is_named(small_disk: Path) -> None:
    opened(small_disk / "store").close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for path in (small_disk / "store", small_disk / "new"):
        with pytest.raises(StoreReadOnly, match="Read-only file system"):
            opened(path)


def test_a_limit_on_the_size_of_files_is_named_and_nothing_acknowledged_is_lost(
    tmp_path: Path,
) -> None:
    store = opened(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, before[1]))
    try:
        count = fill(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert count > 50
    put(store, b"again")
    assert all(get(store, b"%06d" % i) == b"x" * 15_000 for i in range(count))
    store.close()


class StoreEqualsDict(RuleBasedStateMachine):
    """Tables behave as dictionaries, across failed writes and reopening."""

    keys = st.binary(min_size=1, max_size=4)

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = opened(Path(self.folder.name), options=StoreOptions(initial_bytes=1 << 17))
        self.plain: dict[bytes, bytes] = {}
        self.many: dict[bytes, set[bytes]] = {}

    @rule(pairs=st.dictionaries(keys, st.binary(max_size=3000), max_size=5), fail=st.booleans())
    def put(self, pairs: dict[bytes, bytes], fail: bool) -> None:
        def run(txn: Transaction) -> None:
            for key, value in pairs.items():
                txn.put("a", key, value)
            if fail:
                raise InterruptedError

        if fail:
            with pytest.raises(InterruptedError):
                self.store.write(run)
        else:
            self.store.write(run)
            self.plain |= pairs

    @rule(key=keys)
    def remove(self, key: bytes) -> None:
        there = self.store.write(lambda txn: txn.remove("a", key))
        assert there == (self.plain.pop(key, None) is not None)

    @rule(key=keys, value=st.binary(min_size=1, max_size=8), remove=st.booleans())
    def many_values(self, key: bytes, value: bytes, remove: bool) -> None:
        held = self.many.setdefault(key, set())
        if remove:
            assert self.store.write(lambda txn: txn.remove("many", key, value)) == (value in held)
            held.discard(value)
        else:
            self.store.write(lambda txn: txn.put("many", key, value))
            held.add(value)

    @rule(prefix=st.binary(max_size=1), start=st.binary(max_size=2), limit=st.integers(0, 9))
    def read(self, prefix: bytes, start: bytes, limit: int) -> None:
        with self.store.read() as txn:
            found = txn.scan("a", start, prefix=prefix, limit=limit)
            assert txn.count("a") == len(self.plain)
            for key, held in self.many.items():
                assert txn.values("many", key) == sorted(held)
            for key, value in self.plain.items():
                assert txn.get("a", key) == value
        wanted = sorted(k for k in self.plain if k >= start and k.startswith(prefix))
        assert found == [(k, self.plain[k]) for k in wanted[:limit]]

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = opened(Path(self.folder.name), options=StoreOptions(initial_bytes=1 << 17))

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


StoreEqualsDict.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStoreEqualsDict = StoreEqualsDict.TestCase
