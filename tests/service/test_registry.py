"""Group commit: originals that are ready together share a commit, each with its own outcome."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from index.ledger import OriginalExists
from index.records import NewOriginal, OriginalRecord
from service.registry import GroupCommit


def new(name: str) -> NewOriginal:
    return NewOriginal("acme", name, b"", b"", 1, 1, "PNG", 1, {})


class Store:
    """Keeps originals like a catalogue whose first commit takes until `go` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.groups: list[list[str]] = []

    def register_many(self, news: Sequence[NewOriginal]) -> list[OriginalRecord | Exception]:
        self.groups.append([one.original for one in news])
        assert self.go.wait(30)
        return [
            OriginalExists("acme", one.original, same_picture=True)
            if one.original == "bad"
            else record(one.original)
            for one in news
        ]


def record(name: str) -> OriginalRecord:
    return OriginalRecord(
        1, "acme", 1, name, "", {}, 0, 0, "ACTIVE", b"", b"", 1, 1, "PNG", 1, "s", {}, {}
    )


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0.001)


def test_what_becomes_ready_during_a_commit_goes_into_the_next_one_together() -> None:
    async def run() -> list[str]:
        store = Store()
        commits = GroupCommit(store.register_many, 3)
        tasks = [asyncio.create_task(commits.commit(new("first")))]
        await settle()
        tasks += [asyncio.create_task(commits.commit(new(f"o{i}"))) for i in range(4)]
        await settle()
        assert commits.waiting == 4
        store.go.set()
        kept = [(await task).original for task in tasks]
        assert store.groups == [["first"], ["o0", "o1", "o2"], ["o3"]]
        await commits.close()
        return kept

    assert asyncio.run(run()) == ["first", "o0", "o1", "o2", "o3"]


def test_an_error_reaches_its_own_caller_and_nobody_else() -> None:
    async def run() -> None:
        store = Store()
        store.go.set()
        commits = GroupCommit(store.register_many, 64)
        outcomes = await asyncio.gather(
            *(commits.commit(new(name)) for name in ("a", "bad", "b")), return_exceptions=True
        )
        assert [type(one) for one in outcomes] == [OriginalRecord, OriginalExists, OriginalRecord]
        await commits.close()

    asyncio.run(run())


def test_a_commit_that_fails_reaches_all_of_its_callers_and_the_next_goes_on() -> None:
    async def run() -> None:
        fail = [True]

        def register_many(news: Sequence[NewOriginal]) -> list[OriginalRecord | Exception]:
            if fail.pop():
                raise OSError("disk on fire")
            return [record(one.original) for one in news]

        commits = GroupCommit(register_many, 64)
        with pytest.raises(OSError, match="fire"):
            await commits.commit(new("a"))
        fail.append(False)
        assert (await commits.commit(new("b"))).original == "b"
        await commits.close()

    asyncio.run(run())


def test_a_caller_that_goes_away_does_not_keep_the_others_waiting() -> None:
    async def run() -> None:
        store = Store()
        commits = GroupCommit(store.register_many, 64)
        gone = asyncio.create_task(commits.commit(new("gone")))
        await settle()
        stays = asyncio.create_task(commits.commit(new("stays")))
        gone.cancel()
        await settle()
        store.go.set()
        assert (await stays).original == "stays"
        await commits.close()
        assert store.groups == [["gone"], ["stays"]]

    asyncio.run(run())
