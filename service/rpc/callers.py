"""What passes between a caller and its servicer: messages in, answers out, each in its time.

A caller that sends its message slowly or never, or takes no answers, would hold a place of
the server for as long as its connection lives. Here it is given so many seconds.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from google.protobuf.message import DecodeError

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


class MessageUndecodable(ValueError):
    """The bytes are no message of the method.

    Attributes:
        byte_count: how many they are.
    """

    reason: ClassVar[str] = "MESSAGE_UNDECODABLE"

    def __init__(self, byte_count: int) -> None:
        super().__init__(f"{byte_count} bytes are no message of this method")
        self.byte_count = byte_count

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.byte_count,)


class CallEnded(Exception):  # not an error of anybody's
    """The caller has hung up, or the transport has refused its message."""


@dataclass(frozen=True, slots=True)
class Received:
    """What came: a message, or None where the bytes are none; and how many they are."""

    decoded: Any
    byte_count: int

    @property
    def message(self) -> Any:
        """The message. Raises MessageUndecodable."""
        if self.decoded is None:
            raise MessageUndecodable(self.byte_count)
        return self.decoded


def receiving(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Received]:
    """Return a deserializer that also tells the size, and never fails.

    Of one that fails gRPC says INTERNAL without a reason, and logs a defect.
    """

    def receive(data: bytes) -> Received:
        try:
            return Received(deserialize(data), len(data))
        except DecodeError:
            return Received(None, len(data))

    return receive


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
        MessageUndecodable: it is none.
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
        MessageUndecodable: it is none.
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
