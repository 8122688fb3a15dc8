"""What passes between a caller and its servicer: messages in, answers out, each in its time.

A caller that sends its message slowly or never, or takes no answers, would hold a place of
the server for as long as its connection lives. Here it is given so many seconds.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from service.access.limits import Allowance


class CallerSilent(RuntimeError):
    """The caller did not send its message, or the next one of its stream, in time.

    Attributes:
        limit_s: the seconds that it had.
    """

    reason: ClassVar[str] = "CALLER_SILENT"

    def __init__(self, limit_s: float) -> None:
        super().__init__(f"no message came within {limit_s:g} s")
        self.limit_s = limit_s

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.limit_s,)


class CallerStalled(RuntimeError):
    """The caller did not take an answer in time.

    Attributes:
        limit_s: the seconds that it had.
    """

    reason: ClassVar[str] = "CALLER_STALLED"

    def __init__(self, limit_s: float) -> None:
        super().__init__(f"an answer was not taken within {limit_s:g} s")
        self.limit_s = limit_s

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.limit_s,)


class CallEnded(Exception):  # not an error of anybody's
    """The caller has hung up, or the transport has refused its message."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message and the bytes that it had on the wire."""

    message: Any
    byte_count: int


def counting(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Received]:
    """Return a deserializer that also tells the size."""
    return lambda data: Received(deserialize(data), len(data))


@dataclass(frozen=True, slots=True)
class Patience:
    """How long callers may take.

    Attributes:
        message_s: for the one message of a call, and to take an answer.
        idle_s: for the next message of a stream, while the server is ready for one.
    """

    message_s: float
    idle_s: float


async def one_message(
    messages: AsyncIterator[Received], allowance: Allowance, patience: Patience
) -> Any:
    """Return the message of a call that has one.

    Raises:
        CallerSilent: it did not come.
        CallEnded: it will never come.
    """
    received = await _next(messages, patience.message_s)
    if received is None:
        raise CallEnded
    allowance.received(received.byte_count, item=False)
    return received.message


async def many_messages(
    messages: AsyncIterator[Received],
    allowance: Allowance,
    patience: Patience,
    check: Callable[[], None],
) -> AsyncIterator[Any]:
    """Yield the messages of a stream, as fast as the allowance lets them come.

    Args:
        check: raises when the caller may not go on.

    Raises:
        CallerSilent: the next one did not come.
        what `check` raises.
    """
    while True:
        await allowance.turn()
        received = await _next(messages, patience.idle_s)
        if received is None:
            return
        check()
        allowance.received(received.byte_count, item=True)
        yield received.message


async def answer(write: Callable[[Any], Any], message: Any, patience: Patience) -> None:
    """Send an answer.

    Raises:
        CallerStalled: the caller does not take it.
    """
    try:
        async with asyncio.timeout(patience.message_s):
            await write(message)
    except TimeoutError as error:
        raise CallerStalled(patience.message_s) from error


async def _next(messages: AsyncIterator[Received], limit_s: float) -> Received | None:
    try:
        async with asyncio.timeout(limit_s):
            return await anext(messages)
    except StopAsyncIteration:
        return None
    except TimeoutError as error:
        raise CallerSilent(limit_s) from error
