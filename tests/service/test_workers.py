"""Workers: places are bounded, deadlines and cancelling keep work from beginning."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from models.batcher import DeadlineExpired, QueueFull
from service.workers import Workers


@contextmanager
def workers(threads: int = 1, places: int = 4) -> Iterator[Workers]:
    made = Workers("test", threads, places)
    try:
        yield made
    finally:
        made.close()


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_what_work_returns_and_raises_reaches_its_caller() -> None:
    async def run() -> None:
        with workers() as pool, pool.admit(2) as places:
            assert await places.run(lambda: 42) == 42
            with pytest.raises(ZeroDivisionError):
                await places.run(lambda: 1 // 0)

    asyncio.run(run())


def test_more_than_the_places_is_refused_with_a_time_to_come_back() -> None:
    async def run() -> None:
        with workers() as pool:
            with pool.admit(3):
                with pytest.raises(QueueFull) as caught:
                    pool.admit(2)
                assert 0 < caught.value.retry_after_s <= 30
                with pool.admit(1):
                    assert pool.taken == 4
            assert pool.taken == 0

    asyncio.run(run())


def test_a_place_is_taken_until_its_thread_is_done_even_when_nobody_waits() -> None:
    async def run() -> None:
        release = threading.Event()
        with workers() as pool:
            with pool.admit(1) as places:
                task = asyncio.ensure_future(places.run(release.wait))
                await settle()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert pool.taken == 1
            release.set()
            while pool.taken:
                await asyncio.sleep(0.001)

    asyncio.run(run())


def test_cancelled_work_that_has_not_begun_is_never_done() -> None:
    async def run() -> None:
        release, done = threading.Event(), []
        with workers() as pool:
            with pool.admit(2) as places:
                first = asyncio.ensure_future(places.run(release.wait))
                second = asyncio.ensure_future(places.run(lambda: done.append(1)))
                await settle()
                second.cancel()
                await settle()
                assert pool.taken == 1
                release.set()
                await first
        assert done == []

    asyncio.run(run())


def test_work_is_not_begun_after_its_deadline() -> None:
    async def run() -> None:
        done: list[int] = []
        with workers() as pool, pool.admit(1) as places:
            with pytest.raises(DeadlineExpired):
                await places.run(lambda: done.append(1), time.monotonic() - 1)
        assert done == []

    asyncio.run(run())


def test_streams_wait_in_line_and_leave_half_of_the_places_to_calls() -> None:
    async def run() -> None:
        with workers(places=4) as pool:
            first = await pool.wait_for_room(2)
            second = asyncio.ensure_future(pool.wait_for_room(1))
            third = asyncio.ensure_future(pool.wait_for_room(1))
            await settle()
            assert not second.done()
            with pool.admit(2):
                pass
            first.__exit__()
            await settle()
            assert second.done() and third.done()
            for places in (second.result(), third.result()):
                places.__exit__()
            assert pool.taken == 0

    asyncio.run(run())


def test_a_stream_that_goes_away_while_it_waits_is_forgotten() -> None:
    async def run() -> None:
        with workers(places=4) as pool:
            held = await pool.wait_for_room(2)
            gone = asyncio.ensure_future(pool.wait_for_room(2))
            next_ = asyncio.ensure_future(pool.wait_for_room(1))
            await settle()
            gone.cancel()
            await settle()
            held.__exit__()
            (await next_).__exit__()
            assert pool.taken == 0

    asyncio.run(run())


def test_more_than_half_of_the_places_is_given_when_nothing_else_is_in_work() -> None:
    async def run() -> None:
        with workers(places=4) as pool:
            held = pool.admit(1)
            large = asyncio.ensure_future(pool.wait_for_room(4))
            await settle()
            assert not large.done()
            held.__exit__()
            (await large).__exit__()
            assert pool.taken == 0

    asyncio.run(run())
