"""One thread that owns a device: callers queue their searches, the thread runs them.

faiss on a GPU is not safe from several threads, not even for reads. So everything that
touches the device runs here: builds, searches and the release of memory. Searches of the
same index that wait together are run as one.
"""

import queue
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.candidates import Found, Search

_BATCH_LIMIT = 256


@dataclass(slots=True)
class _Job:
    run: Callable[[], Any] | None
    future: "Future[Any]"
    target: Hashable = None
    search: Search | None = None
    queries: NDArray[Any] | None = None
    k: int = 0


class Owner:
    """Runs jobs one after the other on its own thread; safe from any thread."""

    def __init__(self, name: str) -> None:
        self._queue: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call[T](self, run: Callable[[], T]) -> T:
        """Run a job on the owner's thread and wait; what it raises is raised here."""
        future: Future[T] = Future()
        self._queue.put(_Job(run, future))
        return future.result()

    def post(self, run: Callable[[], None]) -> None:
        """Run a job some time later; for releasing what must die on the owner's thread."""
        self._queue.put(_Job(run, Future()))

    def search(self, target: Hashable, search: Search, queries: NDArray[Any], k: int) -> Found:
        """Search an index, together with whoever waits for the same one.

        Args:
            target: equal for searches of the same index.
            search: takes queries of shape (n, width) and k, returns two (n, k) arrays.
        """
        future: Future[Found] = Future()
        self._queue.put(_Job(None, future, target, search, queries, k))
        return future.result()

    def _run(self) -> None:
        kept: _Job | None = None
        while True:
            job = kept or self._queue.get()
            kept = None
            if job.run is not None:
                _settle([job.future], lambda run=job.run: [run()])  # type: ignore[misc]
                continue
            batch = [job]
            while len(batch) < _BATCH_LIMIT:
                try:
                    other = self._queue.get_nowait()
                except queue.Empty:
                    break
                if other.search is None or other.target != job.target:
                    kept = other
                    break
                batch.append(other)
            _settle([each.future for each in batch], lambda batch=batch: _together(batch))  # type: ignore[misc]


def _together(batch: list[_Job]) -> list[Found]:
    """One search with the largest k of the batch; each job gets its own rows and columns."""
    search = batch[0].search
    assert search is not None
    queries = [job.queries for job in batch if job.queries is not None]
    found, places = search(np.concatenate(queries), max(job.k for job in batch))
    out, start = [], 0
    for job, own in zip(batch, queries, strict=True):
        stop = start + len(own)
        out.append((found[start:stop, : job.k], places[start:stop, : job.k]))
        start = stop
    return out


def _settle(futures: "list[Future[Any]]", run: Callable[[], list[Any]]) -> None:
    try:
        results = run()
    except BaseException as error:
        for future in futures:
            future.set_exception(error)
    else:
        for future, result in zip(futures, results, strict=True):
            future.set_result(result)
