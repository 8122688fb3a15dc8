"""Threads for blocking work, with a bounded queue in front of them.

The event loop never blocks: whatever decodes, encodes, searches or writes runs here. Work is
admitted before it is queued, so that a full server says so at once instead of growing; and
work whose deadline passed while it waited is not begun.

Work that takes too long can not be stopped: it is in a decoder's C code. Its caller is answered,
another thread takes over from the one that hangs, and the place stays taken.

Everything but the work itself happens on the event loop's thread, so there are no locks.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar

from models.batcher import DeadlineExpired, QueueFull
from service.access.limits import KeyLimitReached, Share

# What one picture takes before anything has been measured; only for the first retry times.
_FIRST_GUESS_S = 0.1
_SMOOTHING = 0.1
_RETRY_S = (0.05, 30.0)


class PictureTimedOut(RuntimeError):
    """Work on the picture took longer than is allowed; it may be made to keep a server busy.

    Attributes:
        limit_s: the seconds that are allowed.
    """

    reason: ClassVar[str] = "PICTURE_TIMED_OUT"

    def __init__(self, limit_s: float) -> None:
        super().__init__(f"work on the picture was given up after {limit_s:g} s; encode it anew")
        self.limit_s = limit_s

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.limit_s,)


@dataclass(slots=True, eq=False)
class _Work:
    """One piece of work.

    Attributes:
        began: `time.monotonic()` when a thread took it; None while it waits.
        given_up: nobody waits for it any more.
    """

    began: float | None = None
    given_up: bool = field(default=False)


class Workers:
    """A named pool of threads and the places in its queue.

    Args:
        name: of the threads and the metrics.
        threads: how many pieces of work run at once.
        places: most pieces admitted at a time, those that run included. Streams take at
            most half of them (`wait_for_room`), so that they can not shut out single calls.
        waited: told of each piece of work, in its thread, how many seconds it waited.
        limit_s: seconds after which work that runs is given up; 0 waits for ever.
    """

    def __init__(
        self,
        name: str,
        threads: int,
        places: int,
        waited: Callable[[float], None] = lambda seconds: None,
        limit_s: float = 0.0,
    ) -> None:
        self.name, self.threads, self.places, self.limit_s = name, threads, places, limit_s
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"copycatch-{name}")
        self._waited = waited
        self._taken = 0
        self._hanging = 0
        self._task_s = _FIRST_GUESS_S
        self._waiting: deque[tuple[int, Share, asyncio.Future[None]]] = deque()
        self.idle = threading.Event()
        """Set while no place is taken. What nobody waits for, on other threads, waits for that."""
        self.idle.set()

    @property
    def taken(self) -> int:
        """Places that are taken now."""
        return self._taken

    @property
    def hanging(self) -> int:
        """Threads whose work was given up and has not ended; as many others stand in for them."""
        return self._hanging

    def admit(self, count: int, share: Share | None = None) -> "Places":
        """Take `count` places at once or none.

        Args:
            share: of whoever asks; bounds what it takes for itself.

        Raises:
            QueueFull: fewer are free. `retry_after_s` is when they should be.
            KeyLimitReached: the share is used up.
        """
        share = share or _unshared()
        if self._taken + count > self.places:
            over = self._taken + count - self.places
            raise QueueFull(self._retry_s(over), self._taken)
        if not share.has_room(count):
            raise KeyLimitReached("pictures", self._retry_s(share.taken + count - share.at_most))
        return self._take(count, share)

    async def wait_for_room(self, count: int, share: Share | None = None) -> "Places":
        """Take `count` places, waiting in line while streams hold half of all places or more.

        `count` may be more than that half: it then waits until nothing else is in work. Whoever
        waits for room in its own share is passed by the others.
        """
        share = share or _unshared()
        if self._waiting or not self._has_room(count) or not share.has_room(count):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append((count, share, turn))
            self._call_up()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._release(count, share)  # the places were handed over just before
                raise
            return Places(self, count, share)
        return self._take(count, share)

    def close(self) -> None:
        """Wait for what runs and end the threads; what still waits is cancelled.

        Threads that hang are not waited for.
        """
        self._pool.shutdown(wait=not self._hanging, cancel_futures=True)

    def _retry_s(self, too_many: int) -> float:
        ahead_s = too_many * self._task_s / self.threads
        return round(min(max(ahead_s, _RETRY_S[0]), _RETRY_S[1]), 3)

    def _has_room(self, count: int) -> bool:
        return self._taken == 0 or self._taken + count <= max(self.places // 2, 1)

    def _take(self, count: int, share: Share) -> "Places":
        self._taken += count
        self.idle.clear()
        share.taken += count
        return Places(self, count, share)

    def _release(self, count: int, share: Share) -> None:
        self._taken -= count
        share.taken -= count
        self._call_up()
        if self._taken == 0:
            self.idle.set()

    def _call_up(self) -> None:
        """Hand free places to those that wait, in their order."""
        still: deque[tuple[int, Share, asyncio.Future[None]]] = deque()
        while self._waiting:
            wanted, share, turn = self._waiting.popleft()
            if turn.done():
                continue  # its stream has gone away
            if not share.has_room(wanted):
                still.append((wanted, share, turn))
                continue
            if not self._has_room(wanted):
                self._waiting.appendleft((wanted, share, turn))
                break
            self._take(wanted, share)
            turn.set_result(None)
        self._waiting.extendleft(reversed(still))

    def _start[T](self, piece: _Work, work: Callable[[], T], deadline: float | None) -> "Future[T]":
        queued = time.monotonic()

        def timed() -> T:
            piece.began = began = time.monotonic()
            self._waited(began - queued)
            if deadline is not None and began >= deadline:
                raise DeadlineExpired(began - deadline)
            try:
                return work()
            finally:
                # A torn update from two threads would only blur an estimate.
                self._task_s += _SMOOTHING * (time.monotonic() - began - self._task_s)

        return self._pool.submit(timed)

    def _give_up(self, piece: _Work) -> None:
        """Let another thread take over from the one that works on this."""
        piece.given_up = True
        self._hanging += 1
        if self._hanging <= self.threads:  # a server that hangs in everything is not mended so
            self._pool._max_workers += 1
            self._pool.submit(lambda: None)  # a thread is begun when something is handed in

    def _ended(self, piece: _Work, share: Share) -> None:
        if piece.given_up:
            if self._hanging <= self.threads:
                self._pool._max_workers -= 1
            self._hanging -= 1
        self._release(1, share)


class Places:
    """Admitted places; each runs one piece of work. Use as a context manager.

    A place whose work was begun is given back when the thread is done with it, also when
    nobody waits for it any more; the others when the block ends.
    """

    def __init__(self, workers: Workers, count: int, share: Share) -> None:
        self._workers, self._unused, self._share = workers, count, share

    def __enter__(self) -> "Places":
        return self

    def __exit__(self, *error: object) -> None:
        unused, self._unused = self._unused, 0
        if unused:
            self._workers._release(unused, self._share)

    async def run[T](self, work: Callable[[], T], deadline: float | None = None) -> T:
        """Run `work` in a thread and return what it returns, or raise what it raises.

        Cancelling the wait keeps work that has not begun from being done at all.

        Args:
            work: takes one place.
            deadline: `time.monotonic()` after which the work is not begun any more.

        Raises:
            DeadlineExpired: it was not begun in time.
            PictureTimedOut: it was begun, and takes too long.
        """
        assert self._unused > 0, "more work than places"
        loop, workers, share = asyncio.get_running_loop(), self._workers, self._share
        piece = _Work()
        future = workers._start(piece, work, deadline)
        self._unused -= 1
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(workers._ended, piece, share))
        waiting = asyncio.wrap_future(future)
        if not workers.limit_s:
            return await waiting
        try:
            left_s = workers.limit_s
            while not waiting.done() and left_s > 0:
                await asyncio.wait({waiting}, timeout=left_s)
                if piece.began is not None:
                    left_s = piece.began + workers.limit_s - time.monotonic()
        except asyncio.CancelledError:
            waiting.cancel()
            raise
        if not waiting.done():
            workers._give_up(piece)
            waiting.add_done_callback(lambda late: late.cancelled() or late.exception())
            raise PictureTimedOut(workers.limit_s)
        return waiting.result()


def _unshared() -> Share:
    return Share(2**63)
