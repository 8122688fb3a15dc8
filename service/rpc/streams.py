"""Answering a stream of requests: many at a time, in completion order, with back-pressure."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from service.rpc.gate import ShuttingDown


async def answers[Q, A](
    requests: AsyncIterator[Q],
    answer: Callable[[Q], Awaitable[A]],
    window: int,
    closing: asyncio.Event,
) -> AsyncGenerator[A]:
    """Yield the answer to each request as soon as it is there.

    The next request is read only while fewer than `window` are unanswered, and one counts as
    answered when its answer was taken: a sender that is too fast and a receiver that is too slow
    are both held up by the flow control of the connection, and memory stays bounded.
    Closing the iterator cancels what is in work.

    Args:
        answer: must not raise; an error of one item is an answer as well. What it raises
            nevertheless ends the stream.
        closing: when set, no further request is read; those that were read are answered.

    Raises:
        ShuttingDown: after the last answer, when `closing` cut the stream short.
    """
    done: asyncio.Queue[asyncio.Task[A] | None] = asyncio.Queue()
    room = asyncio.Semaphore(window)
    tasks: set[asyncio.Task[A]] = set()

    async def read() -> None:
        iterator = aiter(requests)
        while True:
            await room.acquire()
            try:
                request = await anext(iterator)
            except StopAsyncIteration:
                return
            task = asyncio.ensure_future(answer(request))
            tasks.add(task)
            task.add_done_callback(done.put_nowait)

    async def read_until_closing() -> bool:
        """Return whether all requests were read."""
        reader = asyncio.create_task(read())
        closed = asyncio.create_task(closing.wait())
        try:
            await asyncio.wait({reader, closed}, return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                reader.result()
                return True
            return False
        finally:
            reader.cancel()
            closed.cancel()

    reading = asyncio.create_task(read_until_closing())
    reading.add_done_callback(lambda _: done.put_nowait(None))  # wakes the loop below
    try:
        while True:
            task = await done.get()
            if task is not None:
                tasks.discard(task)
                yield task.result()
                room.release()
            if reading.done() and not tasks and done.empty():
                break
        if not reading.result():
            raise ShuttingDown
    finally:
        reading.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(reading, *tasks, return_exceptions=True)
