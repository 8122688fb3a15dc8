"""Streams: completion order, back-pressure, cancelling, shutting down."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from service.rpc.gate import ShuttingDown
from service.rpc.streams import answers


async def numbers(count: int, read: list[int] | None = None) -> AsyncIterator[int]:
    for number in range(count):
        if read is not None:
            read.append(number)
        yield number


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(50):
        await asyncio.sleep(0)


def test_answers_come_in_the_order_in_which_they_are_done() -> None:
    async def run() -> list[int]:
        gates = [asyncio.Event() for _ in range(3)]

        async def answer(number: int) -> int:
            await gates[number].wait()
            return number

        stream = answers(numbers(3), answer, 3, asyncio.Event())
        got = []
        for number in (2, 0, 1):
            gates[number].set()
            got.append(await anext(stream))
        assert [one async for one in stream] == []
        return got

    assert asyncio.run(run()) == [2, 0, 1]


def test_no_more_is_read_than_the_window_holds_until_answers_are_taken() -> None:
    async def run() -> None:
        read: list[int] = []

        async def answer(number: int) -> int:
            return number

        stream = answers(numbers(100, read), answer, 4, asyncio.Event())
        await anext(stream)
        await settle()
        assert len(read) == 4  # the first is in the caller's hands and not yet done with
        await anext(stream)
        await settle()
        assert len(read) == 5
        assert len([one async for one in stream]) == 98

    asyncio.run(run())


def test_closing_the_stream_cancels_what_is_in_work() -> None:
    async def run() -> None:
        cancelled: list[int] = []

        async def answer(number: int) -> int:
            if number == 0:
                return number
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(number)
                raise
            raise AssertionError

        stream = answers(numbers(100), answer, 4, asyncio.Event())
        assert await anext(stream) == 0
        await settle()
        await stream.aclose()
        assert sorted(cancelled) == [1, 2, 3]
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


def test_a_server_that_closes_answers_what_it_has_read_and_says_so() -> None:
    async def run() -> None:
        closing, gate = asyncio.Event(), asyncio.Event()
        read: list[int] = []

        async def answer(number: int) -> int:
            await gate.wait()
            return number

        async def endless() -> AsyncIterator[int]:
            for number in range(2):
                read.append(number)
                yield number
            await asyncio.Event().wait()

        stream = answers(endless(), answer, 4, closing)
        first = asyncio.ensure_future(anext(stream))
        await settle()
        closing.set()
        await settle()
        gate.set()
        got = [await first]
        with pytest.raises(ShuttingDown):
            async for one in stream:
                got.append(one)
        assert got == read == [0, 1]

    asyncio.run(run())


def test_an_error_of_the_sender_comes_after_the_answers() -> None:
    async def run() -> None:
        async def answer(number: int) -> int:
            return number

        async def breaks() -> AsyncIterator[int]:
            yield 1
            raise ConnectionError("gone")

        got = []
        with pytest.raises(ConnectionError):
            async for one in answers(breaks(), answer, 4, asyncio.Event()):
                got.append(one)
        assert got == [1]

    asyncio.run(run())
