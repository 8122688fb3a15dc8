"""The live index agrees with the reference whatever happened to it, also while it happens."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from index.exact import ExactIndex
from index.live import DuplicateKey, LiveIndex, LiveOptions
from index.pieces import Sealed
from index.spaces import DimensionMismatch, NotFinite, Space
from index.vectors import IndexOptions
from tests.index.kit import PDQ, SSCD, every_row_finds_itself, rows

SMALL = LiveOptions(seal_rows=8, tier_pieces=3, index=IndexOptions(fp16_from_rows=12))


class LiveEqualsExact(RuleBasedStateMachine):
    """Any order of adds, withdrawals, seals, compactions and searches."""

    @initialize(
        space=st.sampled_from([SSCD, PDQ, Space("b8", "binary", 8), Space("f2", "float", 2)])
    )
    def start(self, space: Space) -> None:
        self.space = space
        self.live, self.exact = LiveIndex(space, SMALL), ExactIndex(space)
        self.next_key, self.held = 1, list[int]()

    @rule(n=st.integers(1, 20), seed=st.integers(0, 50), equal=st.booleans(), gap=st.integers(1, 3))
    def add(self, n: int, seed: int, equal: bool, gap: int) -> None:
        new = rows(self.space, n, seed)
        if equal:
            new[:] = new[0]
        keys = self.next_key + gap * np.arange(n)
        self.next_key = int(keys[-1]) + 1
        brands = (keys % 3).astype(np.int32)
        self.live.add(keys, brands, new)
        self.exact.add(keys, brands, new)
        self.held.extend(keys.tolist())

    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        gone = data.draw(st.sets(st.sampled_from(self.held), max_size=12)) if self.held else set()
        assert self.live.remove(gone | {10**9}) == len(gone)
        self.exact.remove(gone)
        self.held = [key for key in self.held if key not in gone]

    @rule(data=st.data())
    def register_a_withdrawn_key_again(self, data: st.DataObject) -> None:
        free = sorted(set(range(1, self.next_key)) - set(self.held))
        if free:
            key = np.array([data.draw(st.sampled_from(free))])
            new, brand = rows(self.space, 1, int(key[0])), np.array([1], np.int32)
            self.live.add(key, brand, new)
            self.exact.add(key, brand, new)
            self.held.append(int(key[0]))

    @rule(least=st.integers(1, 9))
    def seal(self, least: int) -> None:
        self.live.seal(least)

    @rule(everything=st.booleans())
    def compact(self, everything: bool) -> None:
        self.live.compact(everything)

    @rule(
        k=st.integers(1, 60),
        seed=st.integers(0, 50),
        n=st.integers(0, 4),
        brands=st.none() | st.sets(st.integers(0, 4)),
    )
    def search(self, k: int, seed: int, n: int, brands: set[int] | None) -> None:
        queries = rows(self.space, n, seed)
        assert self.live.search(queries, k, brands) == self.exact.search(queries, k, brands)

    @invariant()
    def sizes_agree(self) -> None:
        if hasattr(self, "live"):
            assert len(self.live) == len(self.exact) == len(self.held)


LiveEqualsExact.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLiveEqualsExact = LiveEqualsExact.TestCase


@pytest.fixture(params=[SSCD, PDQ], ids=lambda space: space.name)
def filled(request: pytest.FixtureRequest) -> Iterator[LiveIndex]:
    """100 rows: sealed ones, a delta, and some withdrawn of each."""
    index = LiveIndex(request.param, SMALL)
    index.add(np.arange(1, 81), np.ones(80, np.int32), rows(index.space, 80))
    index.seal()
    index.add(np.arange(81, 101), np.full(20, 2, np.int32), rows(index.space, 20, seed=1))
    index.remove([5, 90])
    yield index


def test_every_row_finds_itself_after_each_rebuild(filled: LiveIndex) -> None:
    every_row_finds_itself(filled)
    filled.seal()
    every_row_finds_itself(filled)
    filled.compact(everything=True)
    every_row_finds_itself(filled)
    assert len(filled.state.sealed) == 1
    assert filled.state.sealed[0].dead_count == 0


def test_equal_rows_come_in_the_order_of_their_keys_across_pieces() -> None:
    index, same = LiveIndex(SSCD, SMALL), np.repeat(rows(SSCD, 1), 40, axis=0)
    index.add(np.arange(60, 20, -1), np.ones(40, np.int32), same)
    index.seal()
    index.add(np.arange(61, 101), np.ones(40, np.int32), same)
    index.add(np.arange(1, 21), np.ones(20, np.int32), same[:20])
    for k in (1, 7, 100):
        assert [n.key for n in index.search(same[:1], k)[0]] == list(range(1, k + 1))


def test_a_key_that_is_there_is_refused_and_nothing_is_added(filled: LiveIndex) -> None:
    new = rows(filled.space, 3, seed=2)
    for keys in ([200, 201, 7], [200, 201, 95], [200, 201, 200]):
        with pytest.raises(DuplicateKey):
            filled.add(np.array(keys), np.ones(3, np.int32), new)
        assert len(filled) == 98
        assert 200 not in filled
    filled.add(np.array([200, 201, 5]), np.ones(3, np.int32), new)
    assert len(filled) == 101


def test_wrong_queries_are_named_and_k_is_positive(filled: LiveIndex) -> None:
    with pytest.raises(DimensionMismatch):
        filled.search(rows(Space("x", filled.space.kind, 8), 1), 1)
    if filled.space.kind == "float":
        bad = rows(filled.space, 1)
        bad[0, 0] = np.nan
        with pytest.raises(NotFinite):
            filled.search(bad, 1)
    with pytest.raises(ValueError, match="k is at least 1"):
        filled.search(rows(filled.space, 1), 0)


def test_a_search_keeps_the_state_it_began_with(filled: LiveIndex) -> None:
    before = filled.state
    sizes = before.size, before.delta.count
    filled.add(np.arange(300, 400), np.ones(100, np.int32), rows(filled.space, 100, seed=3))
    filled.remove([1, 81])
    filled.seal()
    filled.compact(everything=True)
    assert (before.size, before.delta.count) == sizes
    assert before.sealed[0].find(1) >= 0
    assert before.delta.find(81) >= 0


@pytest.mark.parametrize("step", ["seal", "compact"])
def test_what_is_withdrawn_during_a_build_stays_withdrawn(
    filled: LiveIndex, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = Sealed.of

    def withdraw_meanwhile(*args: Any) -> Sealed:
        made = build(*args)
        assert filled.remove([1, 81]) == 2
        filled.add(np.array([500]), np.ones(1, np.int32), rows(filled.space, 1, seed=500))
        return made

    monkeypatch.setattr(Sealed, "of", withdraw_meanwhile)
    assert filled.seal() if step == "seal" else filled.compact(everything=True)
    assert 1 not in filled
    assert 81 not in filled
    assert 500 in filled
    assert len(filled) == 97
    found = {n.key for n in filled.search(rows(filled.space, 1), 200)[0]}
    assert found == set(range(1, 101)) - {1, 5, 81, 90} | {500}


def test_compaction_bounds_the_number_of_pieces_and_drops_the_withdrawn() -> None:
    index = LiveIndex(SSCD, SMALL)
    for i in range(100):
        index.add(np.arange(8) + 8 * i + 1, np.ones(8, np.int32), rows(SSCD, 8, seed=i))
        index.seal(8)
        while index.compact():
            pass
    assert len(index.state.sealed) <= 9
    assert sum(len(piece.keys) for piece in index.state.sealed) == 800
    index.remove(range(1, 401))
    while index.compact():
        pass
    assert sum(len(piece.keys) for piece in index.state.sealed) <= 500
    index.remove(range(1, 801))
    index.compact(everything=True)
    assert index.state.sealed == ()
    assert index.search(rows(SSCD, 1), 5) == [[]]


@pytest.mark.parametrize("space", [SSCD, PDQ], ids=lambda space: space.name)
def test_searches_are_right_while_others_add_withdraw_seal_and_compact(space: Space) -> None:
    """Rows 1 to 200 stay: the nearest of each is always itself. The rest come and go."""
    index = LiveIndex(space, LiveOptions(seal_rows=64, tier_pieces=3))
    stay = rows(space, 200)
    stay[:, -1] = np.arange(200) if space.kind == "binary" else stay[:, -1]
    index.add(np.arange(1, 201), np.zeros(200, np.int32), stay)
    stop, failures = threading.Event(), list[BaseException]()

    def guarded(run: Any) -> threading.Thread:
        def body() -> None:
            try:
                run()
            except BaseException as error:
                failures.append(error)
                stop.set()

        thread = threading.Thread(target=body)
        thread.start()
        return thread

    def searcher() -> None:
        rng = np.random.default_rng(threading.get_ident())
        while not stop.is_set():
            i = int(rng.integers(200))
            found = index.search(stay[i : i + 1], 10, [0])[0]
            assert len(found) == 10
            assert found[0].score >= found[-1].score
            assert i + 1 in [n.key for n in found if n.score == found[0].score]
            assert len({n.key for n in index.search(stay[i : i + 1], 10)[0]}) == 10

    def builder() -> None:
        while not stop.is_set():
            index.seal(64)
            index.compact()

    threads = [guarded(searcher) for _ in range(3)] + [guarded(builder)]
    for i in range(150):
        keys = np.arange(20) + 1000 + 20 * i
        index.add(keys, np.ones(20, np.int32), rows(space, 20, seed=i))
        if i % 3:
            index.remove(keys[::2].tolist())
        if stop.is_set():
            break
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert len(index) == 200 + 50 * 20 + 100 * 10
