"""The bounded line of rows that wait to be encoded.

It knows who still wants an answer: rows whose caller has given up, or whose deadline has
passed, are ended here and never handed out. Any thread may call any method.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import ClassVar

from models.encoders import FloatArray, Row


class QueueFull(RuntimeError):
    """More rows wait than the queue takes; answer the caller at once.

    Attributes:
        retry_after_s: when the queue is likely to have room, in seconds.
        waiting: rows in the queue.
    """

    reason: ClassVar[str] = "QUEUE_FULL"

    def __init__(self, retry_after_s: float, waiting: int) -> None:
        self.retry_after_s = retry_after_s
        self.waiting = waiting
        super().__init__(
            f"{waiting} pictures wait to be encoded already; retry in {retry_after_s:.2f} s."
        )


class DeadlineExpired(RuntimeError):
    """The caller's deadline passed before its row was encoded.

    Attributes:
        late_s: how long after the deadline that was noticed, in seconds.
    """

    reason: ClassVar[str] = "DEADLINE_EXPIRED"

    def __init__(self, late_s: float) -> None:
        self.late_s = late_s
        super().__init__(
            f"The deadline passed {late_s:.3f} s before the picture was encoded; "
            "allow more time or send fewer at once."
        )


class BatcherStopped(RuntimeError):
    """The batcher is not running: not started yet, or stopped."""

    reason: ClassVar[str] = "BATCHER_STOPPED"

    def __init__(self) -> None:
        super().__init__("The encoder is not running; the server starts or shuts down.")


@dataclass(slots=True, eq=False)
class WaitingRow:
    """One row and the future of its vector.

    Attributes:
        row: what the encoder prepared.
        deadline: seconds of the line's clock, or None.
        since: when it came, by the same clock.
        future: how its caller hears of it.
    """

    row: Row
    deadline: float | None
    since: float
    future: "Future[FloatArray]"

    @property
    def form(self) -> tuple[object, ...]:
        return (self.row.shape, self.row.dtype)


class WaitingLine:
    """First come, first served, among rows of one form."""

    def __init__(self, max_rows: int, clock: Callable[[], float]) -> None:
        """Open no line yet: until `open`, rows are refused."""
        self._max_rows = max_rows
        self._clock = clock
        self._rows: deque[WaitingRow] = deque()
        self._changed = threading.Condition()
        self._open = False

    def __len__(self) -> int:
        return len(self._rows)

    def open(self) -> bool:
        """Take rows from now on; False when it did so already."""
        with self._changed:
            was_open, self._open = self._open, True
            return not was_open

    def close(self) -> None:
        """Take no more rows, and let `take` end once the line is empty."""
        with self._changed:
            self._open = False
            self._changed.notify_all()

    def put(self, row: Row, deadline: float | None, row_s: float) -> "Future[FloatArray]":
        """Append a row.

        Args:
            row: what the encoder prepared.
            deadline: see `WaitingRow`.
            row_s: seconds that a row takes at present, for the time to retry after.

        Raises:
            BatcherStopped: the line is not open.
            QueueFull: no room.
            DeadlineExpired: the deadline has passed already.
        """
        now = self._clock()
        if deadline is not None and now >= deadline:
            raise DeadlineExpired(now - deadline)
        waiting = WaitingRow(row, deadline, now, Future())
        with self._changed:
            if not self._open:
                raise BatcherStopped
            if len(self._rows) >= self._max_rows:
                self._drop_cancelled()
            if len(self._rows) >= self._max_rows:
                raise QueueFull(round(max(0.01, len(self._rows) * row_s), 3), len(self._rows))
            self._rows.append(waiting)
            self._changed.notify()
        return waiting.future

    def take(self, max_batch: int, linger_s: float, takers: int = 1) -> list[WaitingRow] | None:
        """Wait for rows and take some of one form that are still wanted.

        Args:
            max_batch: take at most this many.
            linger_s: wait this long for more when there are fewer.
            takers: how many share the line; each leaves the others their part of what waits.

        Returns:
            At least one row, running; None when the line is closed and empty.
        """
        with self._changed:
            while True:
                while not self._rows:
                    if not self._open:
                        return None
                    self._changed.wait()
                if linger_s > 0:
                    self._changed.wait_for(
                        lambda: len(self._rows) >= max_batch or not self._open, linger_s
                    )
                batch = self._pick(min(max_batch, -(-len(self._rows) // takers)))
                if batch:
                    return batch

    def fail_all(self) -> None:
        """End all rows that wait, with `BatcherStopped`."""
        with self._changed:
            abandoned = list(self._rows)
            self._rows.clear()
        for row in abandoned:
            if row.future.set_running_or_notify_cancel():
                row.future.set_exception(BatcherStopped())

    def _pick(self, max_batch: int) -> list[WaitingRow]:
        """Take the oldest wanted row and others of its form; end those nobody wants."""
        batch: list[WaitingRow] = []
        others: deque[WaitingRow] = deque()
        now = self._clock()
        while self._rows and len(batch) < max_batch:
            item = self._rows.popleft()
            if batch and item.form != batch[0].form:
                others.append(item)
            elif item.future.set_running_or_notify_cancel():
                if item.deadline is not None and now >= item.deadline:
                    item.future.set_exception(DeadlineExpired(now - item.deadline))
                else:
                    batch.append(item)
        self._rows.extendleft(reversed(others))
        if self._rows:
            self._changed.notify()  # what is left is another worker's
        return batch

    def _drop_cancelled(self) -> None:
        """Free the places of callers that have given up."""
        for row in self._rows:
            if row.future.cancelled():
                row.future.set_running_or_notify_cancel()
        self._rows = deque(row for row in self._rows if not row.future.cancelled())
