"""Let many callers share the forward passes of one encoder.

Callers put prepared rows into a bounded queue and get a future each. A worker takes what waits,
groups rows of one shape, and encodes them at once: while one pass runs the next batch gathers,
so batches grow with the load and a lone caller waits for nobody. Rows whose caller has given up
or whose deadline has passed are skipped before the pass. When a pass fails, its rows are tried
one by one, so that a bad one fails alone. Whatever happens, every future ends.

Any thread may call any method.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar, Self

import numpy as np

from models.encoders import Encoder, FloatArray, Row
from models.waiting import BatcherStopped, DeadlineExpired, QueueFull, WaitingLine, WaitingRow

__all__ = [
    "BatchReport",
    "Batcher",
    "BatcherStopped",
    "DeadlineExpired",
    "EncodingFailed",
    "QueueFull",
]

_log = logging.getLogger(__name__)


class EncodingFailed(RuntimeError):
    """An encoder gave something that is no vector: a wrong shape, or numbers that are not finite.

    Attributes:
        detail: what it gave.
    """

    reason: ClassVar[str] = "ENCODING_FAILED"

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(f"The encoder gave no vector for this picture: {detail}.")


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What one forward pass did, for metrics.

    Attributes:
        rows: how many rows were encoded together.
        queue_wait_s: how long the oldest of them had waited.
        forward_s: how long the pass took, retries included.
        failed: how many rows ended in an error.
    """

    rows: int
    queue_wait_s: float
    forward_s: float
    failed: int


class Batcher:
    """Wraps one encoder; see the module."""

    def __init__(
        self,
        encoder: Encoder,
        *,
        max_batch: int = 8,
        max_queue: int = 256,
        workers: int = 1,
        linger_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        observe: Callable[[BatchReport], None] | None = None,
    ) -> None:
        """Set up; nothing runs until `start`.

        Args:
            encoder: must be safe to call from `workers` threads at once.
            max_batch: most rows in one pass. On a CPU more than a few gain little.
            max_queue: most rows that wait; one more raises `QueueFull`.
            workers: passes that may run at once; they share what waits evenly.
            linger_s: how long a worker waits for company when a batch is not full. Zero for
                a CPU; a few milliseconds pay on a GPU.
            clock: seconds, of the same clock as the deadlines.
            observe: called after each pass, from the worker.
        """
        assert max_batch >= 1 and max_queue >= 1 and workers >= 1
        self._encoder = encoder
        self._max_batch = max_batch
        self._linger_s = linger_s
        self._clock = clock
        self._observe = observe
        self._line = WaitingLine(max_queue, clock)
        self._row_s = 0.05
        self._workers = workers
        self._threads: list[threading.Thread] = []

    @property
    def encoder(self) -> Encoder:
        return self._encoder

    @property
    def waiting(self) -> int:
        """How many rows wait in the queue."""
        return len(self._line)

    # --- life cycle ------------------------------------------------------------------

    def start(self) -> Self:
        """Start the workers; a second call changes nothing."""
        if self._line.open():
            name = f"encode-{self._encoder.info.name}"
            self._threads = [
                threading.Thread(target=self._work, name=f"{name}-{n}", daemon=True)
                for n in range(self._workers)
            ]
            for thread in self._threads:
                thread.start()
        return self

    def stop(self, *, drain: bool = True, timeout_s: float = 30.0) -> None:
        """Take no more rows and end the workers.

        Args:
            drain: encode what waits; otherwise it fails with `BatcherStopped`.
            timeout_s: how long to wait for the workers; what waits then fails likewise.
        """
        self._line.close()
        if not drain:
            self._line.fail_all()
        ends = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, ends - time.monotonic()))
        self._line.fail_all()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop(drain=error is None)

    # --- callers ---------------------------------------------------------------------

    def submit(self, prepared: Row, *, deadline: float | None = None) -> "Future[FloatArray]":
        """Queue one row.

        Args:
            prepared: what the encoder's `prepare` returned. Not modified; leave it alone
                until the future ends.
            deadline: when the answer is of no more use, in seconds of the batcher's clock
                (`time.monotonic`).

        Returns:
            A future of the unit vector, float32, shape (d,). Cancelling it takes the row out
            of the queue, unless its pass has begun. It may raise `DeadlineExpired`,
            `EncodingFailed`, `BatcherStopped`, or what the encoder raised for this row.

        Raises:
            BatcherStopped: not running.
            QueueFull: no room.
            DeadlineExpired: the deadline has passed already.
        """
        return self._line.put(prepared, deadline, self._row_s / self._workers)

    def encode(self, rows: Sequence[Row], *, deadline: float | None = None) -> FloatArray:
        """Queue rows and wait for all of them.

        More rows than the queue takes go in as others come out.

        Returns:
            float32, shape (n, d), in the order of the rows.

        Raises:
            As `submit` and its future do; the rows that still wait are withdrawn.
        """
        futures: list[Future[FloatArray]] = []
        done = 0
        try:
            for row in rows:
                while (future := self._try_submit(row, deadline, done == len(futures))) is None:
                    self._wait(futures[done], deadline)
                    done += 1
                futures.append(future)
            vectors = [self._wait(future, deadline) for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise
        if not vectors:
            return np.empty((0, self._encoder.info.dimension), np.float32)
        return np.stack(vectors)

    def _try_submit(
        self, row: Row, deadline: float | None, alone: bool
    ) -> "Future[FloatArray] | None":
        """Queue a row; None when there is no room, `QueueFull` when nothing of ours waits."""
        try:
            return self.submit(row, deadline=deadline)
        except QueueFull:
            if alone:
                raise
            return None

    def _wait(self, future: "Future[FloatArray]", deadline: float | None) -> FloatArray:
        timeout_s = None if deadline is None else max(0.0, deadline - self._clock())
        try:
            return future.result(timeout_s)
        except TimeoutError as error:
            if future.done() and not future.cancelled() and future.exception() is error:
                raise  # the encoder's own
            late_s = 0.0 if deadline is None else max(0.0, self._clock() - deadline)
            raise DeadlineExpired(late_s) from None
        except CancelledError:
            raise BatcherStopped from None

    # --- workers ---------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            batch = self._line.take(self._max_batch, self._linger_s, self._workers)
            if batch is None:
                return
            try:
                self._run(batch)
            except BaseException as error:  # a fault here must not leave anybody waiting
                _log.exception("the batcher failed on a batch of %d rows", len(batch))
                for item in batch:
                    if not item.future.done():
                        item.future.set_exception(error)

    def _run(self, batch: list[WaitingRow]) -> None:
        begin = time.perf_counter()
        waited_s = self._clock() - batch[0].since
        failed = self._encode(batch)
        forward_s = time.perf_counter() - begin
        self._row_s = 0.8 * self._row_s + 0.2 * forward_s / len(batch)
        if self._observe is not None:
            try:
                self._observe(BatchReport(len(batch), waited_s, forward_s, failed))
            except Exception:
                _log.exception("observing a batch failed")

    def _encode(self, batch: list[WaitingRow]) -> int:
        """Encode a batch and end its futures; return how many failed."""
        try:
            vectors = self._encoder.encode(np.stack([item.row for item in batch]))
            expected = (len(batch), self._encoder.info.dimension)
            if vectors.shape != expected:
                raise EncodingFailed(f"a shape of {vectors.shape} in place of {expected}")
        except BaseException as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return 1
            _log.warning("a batch of %d rows failed, trying them singly: %r", len(batch), error)
            return sum(self._encode([item]) for item in batch)
        failed = 0
        for item, vector in zip(batch, vectors, strict=True):
            if math.isfinite(float(vector.sum())):
                item.future.set_result(np.array(vector, dtype=np.float32))
            else:
                item.future.set_exception(EncodingFailed("numbers that are not finite"))
                failed += 1
        return failed
