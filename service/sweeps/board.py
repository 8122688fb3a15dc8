"""What is to be done, for all sweeps that run: engines take chunks here and hand findings in.

Sweeps share the machine by time: the next chunk is of the one that has had the least. A chunk
that is taken and never handed in is in the plan still, and is done after the next start.
"""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from service.sweeps.book import SweepBook
from service.sweeps.ledger import SweepFinished, SweepNotFound
from service.sweeps.listing import Listing
from service.sweeps.partition import Entry, Inspected
from service.sweeps.records import Sweep, SweepState

log = logging.getLogger(__name__)

Enter = Callable[[Sequence[Entry]], None]

_AHEAD = 32
_RATE_S = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """A chunk of a sweep, to be done."""

    sweep: Sweep
    chunk: int
    listings: Sequence[Listing]


@dataclass(slots=True)
class _Running:
    """A sweep on the board."""

    sweep: Sweep
    spent_s: float
    chunk_s: float = 0.0
    next_chunk: int = 0
    in_work: int = 0
    read_to_end: bool = False
    waiting: deque[Job] = field(default_factory=deque)
    handed_in: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def used_s(self) -> float:
        """Seconds of work that it has had, what is in work included."""
        return self.spent_s + self.in_work * self.chunk_s


class Board:
    """Shares work among engines' threads. Any thread may call it.

    Args:
        book: what is stored of sweeps.
        enter: writes to the audit log, before the findings that it speaks of are kept.
        clock: seconds.
    """

    def __init__(
        self, book: SweepBook, enter: Enter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._book, self._enter, self._clock = book, enter, clock
        self._changed = threading.Condition()
        self._running: dict[int, _Running] = {}
        self._closed = False

    def add(self, sweep: Sweep) -> None:
        """Put a planned sweep on the board."""
        with self._changed:
            least = min((each.spent_s for each in self._running.values()), default=0.0)
            self._running[sweep.number] = _Running(sweep, least)
            self._changed.notify_all()
        self._finish_if_done(sweep.number)  # there may be nothing left to do

    def drop(self, sweep: Sweep) -> None:
        """Take a sweep off the board; what is in work is stopped before its next picture."""
        with self._changed:
            self._running.pop(sweep.number, None)
            self._changed.notify_all()

    def close(self) -> None:
        """Give out nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wanted(self, sweep: Sweep) -> bool:
        """Whether work on a sweep should go on."""
        return not self._closed and sweep.number in self._running

    def runs(self, number: int) -> bool:
        """Whether the sweep of this number is on the board."""
        return number in self._running

    def take(self, most: int) -> list[Job]:
        """Wait for work and take up to `most` chunks of one sweep; none when closed."""
        with self._changed:
            while not self._closed:
                jobs = self._next(most)
                if jobs:
                    return jobs
                self._changed.wait()
            return []

    def hand_in(self, job: Job, made: Inspected, seconds: float) -> None:
        """Keep the findings of a chunk.

        Raises:
            StoreFull and the others of the store; `fail` the job then.
        """
        assert len(made.findings) == len(job.listings)
        self._enter(made.entries)
        try:
            self._book.write_findings(job.sweep, job.chunk, made.findings)
        except (SweepFinished, SweepNotFound):
            self.drop(job.sweep)
            return
        with self._changed:
            running = self._running.get(job.sweep.number)
            if running is None:
                return
            running.in_work -= 1
            running.spent_s += seconds
            running.chunk_s += 0.2 * (seconds - running.chunk_s) if running.chunk_s else seconds
            now = self._clock()
            running.handed_in.append((now, len(made.findings)))
            while now - running.handed_in[0][0] > _RATE_S:
                running.handed_in.popleft()
        self._finish_if_done(job.sweep.number)

    def give_back(self, jobs: Sequence[Job]) -> None:
        """Put back what was taken and not done."""
        with self._changed:
            for job in reversed(jobs):
                running = self._running.get(job.sweep.number)
                if running is not None:
                    running.in_work -= 1
                    running.waiting.appendleft(job)
            self._changed.notify_all()

    def fail(self, sweep: Sweep, error: BaseException) -> None:
        """End a sweep that can not go on."""
        log.error("the sweep %s failed", sweep.spec.sweep, exc_info=error)
        self.drop(sweep)
        reason = str(getattr(error, "reason", "INTERNAL"))
        told = str(error) if reason != "INTERNAL" else "a defect of the server; its log has more"
        try:
            self._book.end(sweep.spec.sweep, SweepState.FAILED, (reason, told))
        except Exception:  # a full store: it is RUNNING there still, and goes on after a start
            log.exception("that the sweep %s failed could not be noted", sweep.spec.sweep)

    def listings_per_s(self, sweep: Sweep) -> float:
        """Listings a second in the last minute; 0 when none was handed in."""
        with self._changed:
            running = self._running.get(sweep.number)
            if running is None or len(running.handed_in) < 2:
                return 0.0
            (first, count), last = running.handed_in[0], self._clock()
            done = sum(listings for _, listings in running.handed_in) - count
            return done / max(last - first, 1e-3)

    def _next(self, most: int) -> list[Job]:
        by_use = sorted(self._running.values(), key=lambda each: (each.used_s, each.in_work))
        for running in by_use:
            self._read_ahead(running, most)
            if running.waiting:
                count = min(most, len(running.waiting))
                running.in_work += count
                return [running.waiting.popleft() for _ in range(count)]
        return []

    def _read_ahead(self, running: _Running, most: int) -> None:
        if running.read_to_end or running.waiting:
            return
        limit = max(_AHEAD, most)
        found = self._book.chunks(running.sweep, running.next_chunk, limit)
        running.waiting.extend(Job(running.sweep, *each) for each in found)
        running.read_to_end = len(found) < limit
        if found:
            running.next_chunk = found[-1][0] + 1

    def _finish_if_done(self, number: int) -> None:
        with self._changed:
            running = self._running.get(number)
            if running is None:
                return
            self._read_ahead(running, 1)
            if running.waiting or running.in_work or not running.read_to_end:
                return
            del self._running[number]
        with contextlib.suppress(SweepFinished, SweepNotFound):  # ended with its last chunk
            self._book.end(running.sweep.spec.sweep, SweepState.SUCCEEDED)
