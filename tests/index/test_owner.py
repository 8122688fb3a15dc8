"""The owner thread: everybody's own rows, everybody's own error, one thread."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from index.candidates import Found
from index.owner import Owner


def doubling(seen: list[int]) -> Callable[[NDArray[np.float32], int], Found]:
    """A search that answers 2 x query in each of k columns, and notes the size of each batch."""

    def search(queries: NDArray[np.float32], k: int) -> Found:
        seen.append(len(queries))
        columns = np.arange(k)
        return queries[:, :1] * 2 + columns, np.broadcast_to(columns, (len(queries), k))

    return search


def test_searches_that_wait_run_as_one_and_each_gets_its_own_rows_and_columns() -> None:
    owner, seen, start = Owner("test"), list[int](), threading.Event()
    search = doubling(seen)
    owner.post(lambda: None if start.wait() else None)
    with ThreadPoolExecutor(20) as pool:
        jobs = [
            pool.submit(owner.search, "a", search, np.full((i % 3 + 1, 4), i, np.float32), i + 1)
            for i in range(20)
        ]
        while owner._queue.qsize() < 20:
            pass
        start.set()
        for i, job in enumerate(jobs):
            values, positions = job.result()
            assert values.shape == positions.shape == (i % 3 + 1, i + 1)
            assert (values == 2 * i + np.arange(i + 1)).all()
    assert seen == [sum(i % 3 + 1 for i in range(20))]


def test_searches_of_different_indexes_do_not_mix() -> None:
    owner, first, second = Owner("test"), list[int](), list[int]()
    searches = {0: doubling(first), 1: doubling(second)}
    with ThreadPoolExecutor(8) as pool:
        jobs = [
            pool.submit(owner.search, i % 2, searches[i % 2], np.full((1, 1), i, np.float32), 1)
            for i in range(100)
        ]
        assert [job.result()[0][0, 0] for job in jobs] == [2 * i for i in range(100)]
    assert sum(first) == sum(second) == 50


def test_an_error_reaches_its_caller_and_the_owner_goes_on() -> None:
    owner = Owner("test")

    def broken(queries: NDArray[np.float32], k: int) -> Found:
        raise MemoryError("device")

    with pytest.raises(MemoryError, match="device"):
        owner.search("broken", broken, np.zeros((1, 1), np.float32), 1)
    with pytest.raises(ZeroDivisionError):
        owner.call(lambda: 1 / 0)
    assert owner.call(threading.current_thread).name == "test"
