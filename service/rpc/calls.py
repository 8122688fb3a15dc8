"""What the servicers share: the parts of the server, deadlines, and errors of single items."""

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from google.rpc import status_pb2

from index.disk import StoreFailed
from models.batcher import DeadlineExpired
from service.access.limits import Allowances
from service.access.roles import Caller
from service.engine import Engine
from service.rpc import errors, permissions
from service.rpc.front import Context
from service.rpc.gate import Gate
from service.telemetry import Metrics, current
from service.workers import Places, Workers

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    """What a servicer needs of the server that it belongs to.

    Attributes:
        gate: holds the engine once it is loaded.
        metrics: of this server.
        pictures: threads for work on pictures, one place for each picture.
        store: threads for short reads and writes of the store.
        stream_window: unanswered items of one stream.
        audit_required: whether a verdict that can not be logged is an error.
        allowances: what each key may take.
    """

    gate: Gate
    metrics: Metrics
    pictures: Workers
    store: ThreadPoolExecutor
    stream_window: int
    audit_required: bool
    allowances: Allowances

    @property
    def engine(self) -> Engine:
        """What answers the calls."""
        return self.gate.engine

    @property
    def caller(self) -> Caller:
        """Who makes the call that this task serves."""
        request = current.get()
        assert request is not None and request.caller is not None, "outside of a call"
        return request.caller

    def admit(self, count: int) -> Places:
        """Take places for so many pictures of this call at once, or none.

        Raises:
            QueueFull: the server has no room.
            KeyLimitReached: the caller's key has no more.
        """
        return self.pictures.admit(count, self.allowances.of(self.caller).pictures)

    async def wait_for_room(self, count: int) -> Places:
        """Take places for so many pictures of an item of a stream, waiting in line."""
        share = self.allowances.of(self.caller).pictures
        return await self.pictures.wait_for_room(count, share)

    def keep_to_own(self, method: str, item: Any) -> None:
        """Raise the error of what does not exist, when an item of a stream names a brand of others.

        Args:
            method: `package.Service/Method`, as in `service.rpc.permissions`.
        """
        permissions.keep_to_own(self.caller, method, item)

    async def read[T](self, work: Callable[[], T], deadline: float | None) -> T:
        """Run a short piece of work on the store, unless it is too late (`DeadlineExpired`)."""

        def timely() -> T:
            check_deadline(deadline)
            return work()

        context = contextvars.copy_context()  # who acts goes along
        return await asyncio.get_running_loop().run_in_executor(self.store, context.run, timely)

    async def logged(self, record: Callable[[], Future[int]]) -> str:
        """Wait until an answer is in the audit log, which it must be before it is given.

        Returns:
            Name of its entry, empty when it could not be logged.

        Raises:
            StoreFull, StoreReadOnly, StoreFailed: the log can not be written, and it is required.
        """
        try:
            sequence = await asyncio.wrap_future(record())
        except StoreFailed as error:
            self.metrics.not_logged()
            if self.audit_required:
                raise
            log.error("a verdict was answered that is not in the audit log: %s", error)
            return ""
        return f"auditEntries/{sequence}"

    def note_steps(self, steps_ms: Mapping[str, float]) -> None:
        """Note the steps of one picture in the metrics and in the log line of the call."""
        self.metrics.stepped(steps_ms)
        if (request := current.get()) is not None:
            request.items += 1
            request.add_steps(steps_ms)

    def item_status(self, error: Exception) -> status_pb2.Status:
        """Return the status of one item that failed while its call goes on, and note it."""
        request = current.get()
        request_id = request.id if request else ""
        status = errors.status_of(error, request_id)
        if request is not None:
            request.failed += 1
            self.metrics.item_failed(request.method, errors.reason_in(status))
        if errors.code_in(status) in errors.FOR_THE_LOG:
            fields = {"request_id": request_id}
            log.error("item failed", exc_info=error, extra={"fields": fields})
        return status


async def together[T](works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all; when one fails, cancel the others and raise its error."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def deadline_of(context: Context) -> float | None:
    """Return the `time.monotonic()` by which the caller wants an answer, None for no limit.

    Raises:
        DeadlineExpired: it has passed.
    """
    left_s = context.time_remaining()
    if left_s is None:
        return None
    if left_s <= 0:
        raise DeadlineExpired(-left_s)
    return time.monotonic() + left_s


def check_deadline(deadline: float | None) -> None:
    """Raise `DeadlineExpired` when it has passed."""
    late_s = time.monotonic() - deadline if deadline is not None else -1.0
    if late_s >= 0:
        raise DeadlineExpired(late_s)
