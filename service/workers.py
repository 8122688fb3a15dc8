"""Threads for blocking work, with a bounded queue in front of them.

The event loop never blocks: whatever decodes, encodes, searches or writes runs here. Work is
admitted before it is queued, so that a full server says so at once instead of growing; and
work whose deadline passed while it waited is not begun.

Everything but the work itself happens on the event loop's thread, so there are no locks.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from models.batcher import DeadlineExpired, QueueFull

# What one picture takes before anything has been measured; only for the first retry times.
_FIRST_GUESS_S = 0.1
_SMOOTHING = 0.1
_RETRY_S = (0.05, 30.0)


class Workers:
    """A named pool of threads and the places in its queue.

    Args:
        name: of the threads and the metrics.
        threads: how many pieces of work run at once.
        places: most pieces admitted at a time, those that run included. Streams take at
            most half of them (`wait_for_room`), so that they can not shut out single calls.
        waited: told of each piece of work, in its thread, how many seconds it waited.
    """

    def __init__(
        self,
        name: str,
        threads: int,
        places: int,
        waited: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self.name, self.threads, self.places = name, threads, places
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"copycatch-{name}")
        self._waited = waited
        self._taken = 0
        self._task_s = _FIRST_GUESS_S
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.idle = threading.Event()
        """Set while no place is taken. What nobody waits for, on other threads, waits for that."""
        self.idle.set()

    @property
    def taken(self) -> int:
        """Places that are taken now."""
        return self._taken

    def admit(self, count: int) -> "Places":
        """Take `count` places at once or none.

        Raises:
            QueueFull: fewer are free. `retry_after_s` is when they should be.
        """
        if self._taken + count > self.places:
            ahead_s = (self._taken + count - self.places) * self._task_s / self.threads
            raise QueueFull(round(min(max(ahead_s, _RETRY_S[0]), _RETRY_S[1]), 3), self._taken)
        self._take(count)
        return Places(self, count)

    async def wait_for_room(self, count: int) -> "Places":
        """Take `count` places, waiting in line while streams hold half of all places or more.

        `count` may be more than that half: it then waits until nothing else is in work.
        """
        if self._waiting or not self._has_room(count):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append((count, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._release(count)  # the places were handed over just before
                raise
        else:
            self._take(count)
        return Places(self, count)

    def close(self) -> None:
        """Wait for what runs and end the threads; what still waits is cancelled."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _has_room(self, count: int) -> bool:
        return self._taken == 0 or self._taken + count <= max(self.places // 2, 1)

    def _take(self, count: int) -> None:
        self._taken += count
        self.idle.clear()

    def _release(self, count: int) -> None:
        self._taken -= count
        while self._waiting:
            wanted, turn = self._waiting[0]
            if turn.done():  # its stream has gone away
                self._waiting.popleft()
            elif self._has_room(wanted):
                self._waiting.popleft()
                self._take(wanted)
                turn.set_result(None)
            else:
                break
        if self._taken == 0:
            self.idle.set()

    def _start[T](self, work: Callable[[], T], deadline: float | None) -> "Future[T]":
        queued = time.monotonic()

        def timed() -> T:
            began = time.monotonic()
            self._waited(began - queued)
            if deadline is not None and began >= deadline:
                raise DeadlineExpired(began - deadline)
            try:
                return work()
            finally:
                # A torn update from two threads would only blur an estimate.
                self._task_s += _SMOOTHING * (time.monotonic() - began - self._task_s)

        return self._pool.submit(timed)


class Places:
    """Admitted places; each runs one piece of work. Use as a context manager.

    A place whose work was begun is given back when the thread is done with it, also when
    nobody waits for it any more; the others when the block ends.
    """

    def __init__(self, workers: Workers, count: int) -> None:
        self._workers, self._unused = workers, count

    def __enter__(self) -> "Places":
        return self

    def __exit__(self, *error: object) -> None:
        unused, self._unused = self._unused, 0
        if unused:
            self._workers._release(unused)

    async def run[T](self, work: Callable[[], T], deadline: float | None = None) -> T:
        """Run `work` in a thread and return what it returns, or raise what it raises.

        Cancelling the wait keeps work that has not begun from being done at all.

        Args:
            work: takes one place.
            deadline: `time.monotonic()` after which the work is not begun any more.

        Raises:
            DeadlineExpired: it was not begun in time.
        """
        assert self._unused > 0, "more work than places"
        loop = asyncio.get_running_loop()
        future = self._workers._start(work, deadline)
        self._unused -= 1
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._workers._release, 1))
        return await asyncio.wrap_future(future)
