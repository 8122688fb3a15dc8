"""Sets of key points: the index agrees with the plain reference whatever happened to it."""

import shutil
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.catalogue import Catalogue
from index.live import LiveIndex, LiveOptions
from index.points import CODE_BYTES, NEAR_BITS, NOWHERE, PointQuery
from index.spaces import Neighbor, Space, UnknownSpace
from tests.index.kit import SCHEMA, SPACES, original

SPACE = Space("points", "points", 12)
SMALL = LiveOptions(seal_rows=6, tier_pieces=3)

Points = tuple[np.ndarray, np.ndarray]
"""Words, shape (n,), and codes, shape (n, CODE_BYTES), of one original."""


def points(rng: np.random.Generator, count: int) -> Points:
    """A few words only, so that many points share one; codes near to one of three."""
    middles = np.random.default_rng(0).integers(0, 256, (3, CODE_BYTES), dtype=np.uint8)
    codes = middles[rng.integers(0, 3, count)]
    codes = codes ^ np.packbits(rng.random((count, 8 * CODE_BYTES)) < 0.2, axis=1)
    return rng.integers(0, 5, count).astype(np.uint16), codes


def row(held: Points) -> np.ndarray:
    words = np.full(SPACE.dimension, NOWHERE, "<u2")
    codes = np.zeros((SPACE.dimension, CODE_BYTES), np.uint8)
    words[: len(held[0])], codes[: len(held[1])] = held
    return np.concatenate([words.view(np.uint8), codes.reshape(-1)])


def query(rng: np.random.Generator, count: int = 9) -> PointQuery:
    made = [points(rng, count) for _ in range(2)]
    return PointQuery(*(np.stack(column, axis=1) for column in zip(*made, strict=True)))


def reference(asked: PointQuery, originals: Mapping[int, Points], k: int) -> list[Neighbor]:
    """Everything with everything."""
    votes: dict[int, float] = defaultdict(float)
    for words, codes in zip(*asked, strict=True):
        nearest: dict[int, int] = {}
        for key, held in originals.items():
            for word, code in zip(words, codes, strict=True):
                for other, its in zip(*held, strict=True):
                    bits = int(np.bitwise_count(code ^ its).sum())
                    if word == other and bits <= NEAR_BITS:
                        nearest[key] = min(bits, nearest.get(key, bits))
        ranked = sorted(nearest.values())
        least = ranked[10] if len(ranked) > 10 else NEAR_BITS + 1
        for key, bits in nearest.items():
            votes[key] += max(0, least - bits)
    best = sorted(votes, key=lambda key: (-votes[key], key))
    chance = votes[best[19]] if len(best) > 19 else 0
    return [Neighbor(key, votes[key] / (chance + 1)) for key in best[:k] if votes[key]]


def told(found: Collection[Neighbor]) -> list[tuple[int, float]]:
    return [(key, pytest.approx(score)) for key, score in found]


@given(st.lists(st.sampled_from(["add", "remove", "seal", "compact"]), max_size=14), st.data())
@settings(max_examples=30, deadline=None)
def test_it_agrees_with_the_reference_whatever_happened_to_it(
    steps: list[str], data: st.DataObject
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    live, held = LiveIndex(SPACE, SMALL), dict[int, Points]()
    last = 0
    for step in ["add", *steps]:
        if step == "add":
            keys = np.arange(last + 1, last + 1 + data.draw(st.integers(1, 9)))
            last = int(keys[-1])
            new = {int(key): points(rng, int(rng.integers(1, 13))) for key in keys}
            live.add(keys, (keys % 3).astype(np.int32), np.stack([row(new[int(k)]) for k in keys]))
            held |= new
        elif step == "remove":
            gone = data.draw(st.sets(st.sampled_from(sorted(held)), max_size=5)) if held else set()
            live.remove(gone)
            held = {key: each for key, each in held.items() if key not in gone}
        elif step == "seal":
            live.seal()
        else:
            live.compact(everything=True)
    for brands in (None, {1}, {0, 2}):
        among = {key: each for key, each in held.items() if brands is None or key % 3 in brands}
        for k in (1, 4):
            asked = query(rng)
            assert told(live.most_voted(asked, k, brands)) == reference(asked, among, k)


def test_an_original_that_holds_the_points_has_far_more_than_chance() -> None:
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 256, (60, 12, CODE_BYTES), dtype=np.uint8)
    words = rng.integers(0, 4, (60, 12)).astype(np.uint16)
    live = LiveIndex(SPACE)
    keys = np.arange(1, 61)
    held = np.stack([row(each) for each in zip(words, codes, strict=True)])
    live.add(keys, np.ones(60, np.int32), held)
    best, *rest = live.most_voted(PointQuery(words[7][:, None], codes[7][:, None]), 60)
    assert best.key == 8 and best.score > 100
    assert all(each.score < 3 for each in rest)


def test_what_is_compared_is_bounded_and_rare_words_come_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(4)
    codes = rng.integers(0, 256, (50, 12, CODE_BYTES), dtype=np.uint8)
    words = np.ones((50, 12), np.uint16)  # one word has nearly all
    words[7, :6] = np.arange(20, 26)
    live = LiveIndex(SPACE)
    held = np.stack([row(each) for each in zip(words, codes, strict=True)])
    live.add(np.arange(1, 51), np.ones(50, np.int32), held)
    live.seal()
    asked = PointQuery(words[7][:, None], codes[7][:, None])
    (all_,) = live.most_voted(asked, 1)
    monkeypatch.setattr("index.points.MOST_COMPARED", 100)
    (rare,) = live.most_voted(asked, 1)
    assert rare.key == all_.key == 8
    assert rare.score == pytest.approx(6 * (NEAR_BITS + 1)) and all_.score > 1.5 * rare.score


@pytest.mark.parametrize("source", ["snapshot", "store"])
def test_points_of_a_catalogue_outlast_a_restart(tmp_path: Path, source: str) -> None:
    rng = np.random.default_rng(2)
    held = [points(rng, 12) for _ in range(9)]
    asked = query(rng)
    spaces = [*SPACES, SPACE]
    with Catalogue.open(tmp_path, spaces, SCHEMA) as catalogue:
        for brand in ("a", "b"):
            catalogue.create_brand(brand)
        for number, each in enumerate(held, 1):
            made = original(number, "ab"[number % 2])
            catalogue.register(replace(made, vectors={**made.vectors, "points": row(each)}))
        catalogue.register(original(99, "a"))  # a picture without points
        catalogue.withdraw("b", "photo-00003")
        if source == "snapshot":
            catalogue.snapshot()
        catalogue.update("a", "photo-00004", state="DISPUTED")
    if source == "store":
        shutil.rmtree(tmp_path / "snapshots")
    left = {key: each for key, each in enumerate(held, 1) if key not in (3, 4)}
    with Catalogue.open(tmp_path, spaces, SCHEMA) as catalogue:
        assert catalogue.stats().opened_from == source
        assert told(catalogue.most_voted(asked, 5)) == reference(asked, left, 5)
        mine = {key: each for key, each in left.items() if key % 2}
        assert told(catalogue.most_voted(asked, 5, brands={"b"})) == reference(asked, mine, 5)
        (stats,) = (each for each in catalogue.stats().spaces if each.name == "points")
        assert stats.rows == len(left)


def test_a_catalogue_without_points_says_so(tmp_path: Path) -> None:
    with Catalogue.open(tmp_path, SPACES, SCHEMA) as catalogue:
        with pytest.raises(UnknownSpace, match="points"):
            catalogue.most_voted(query(np.random.default_rng(3)), 1)
