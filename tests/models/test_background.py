"""Normalisation by a background set: how ordinary a picture is, against the definition."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.background import NEAREST, Background, BackgroundCorrupt


def unit(rows: np.ndarray) -> np.ndarray:
    wide = rows.astype(np.float32)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def random_rows(seed: int, count: int, dimension: int = 16) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, dimension)))


@settings(deadline=None)
@given(st.integers(0, 100), st.integers(NEAREST, 40), st.integers(1, 6))
def test_it_is_the_mean_of_the_five_highest_cosines(seed: int, count: int, asked: int) -> None:
    rows, vectors = random_rows(seed, count), random_rows(seed + 1000, asked)
    found = Background({"x@1": rows}).ordinariness("x@1", vectors)
    assert found is not None and found.dtype == np.float32 and found.shape == (asked,)
    for value, vector in zip(found, vectors, strict=True):
        cosines = sorted((float(vector @ row) for row in rows), reverse=True)
        assert value == pytest.approx(sum(cosines[:NEAREST]) / NEAREST, abs=1e-5)


@settings(deadline=None)
@given(st.integers(0, 100), st.integers(NEAREST, 20))
def test_of_bits_it_is_the_mean_of_the_five_highest_shares_that_agree(
    seed: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    rows, asked = rng.integers(0, 256, (count, 4), np.uint8), rng.integers(0, 256, (3, 4), np.uint8)
    found = Background({"pdq@1": rows}).ordinariness("pdq@1", asked)
    assert found is not None
    for value, bits in zip(found, asked, strict=True):
        agree = sorted(
            (float((np.unpackbits(bits) == np.unpackbits(row)).mean()) for row in rows),
            reverse=True,
        )
        assert value == pytest.approx(sum(agree[:NEAREST]) / NEAREST, abs=1e-6)


def test_what_the_background_holds_five_times_is_as_ordinary_as_can_be() -> None:
    rows = random_rows(1, 20)
    packshot = rows[:1]
    crowd = np.concatenate([rows, np.repeat(packshot, NEAREST, axis=0)])
    alone = Background({"x@1": rows}).ordinariness("x@1", packshot)
    among = Background({"x@1": crowd}).ordinariness("x@1", packshot)
    assert alone is not None and among is not None
    assert among[0] == pytest.approx(1.0, abs=1e-5) and alone[0] < 0.9


@settings(deadline=None)
@given(st.integers(0, 50))
def test_more_background_never_makes_a_picture_rarer(seed: int) -> None:
    rows, more = random_rows(seed, 10), random_rows(seed + 500, 10)
    asked = random_rows(seed + 900, 4)
    before = Background({"x@1": rows}).ordinariness("x@1", asked)
    after = Background({"x@1": np.concatenate([rows, more])}).ordinariness("x@1", asked)
    assert before is not None and after is not None
    assert (after >= before - 1e-6).all()


def test_another_kind_of_vector_or_too_few_have_no_answer() -> None:
    background = Background({"x@1": random_rows(1, NEAREST - 1)})
    assert background.ordinariness("x@1", random_rows(2, 1)) is None
    assert background.ordinariness("x@2", random_rows(2, 1)) is None


def test_a_background_survives_its_file(tmp_path: Path) -> None:
    rows = {"x@1": random_rows(1, 8), "pdq@1": np.arange(64, dtype=np.uint8).reshape(8, 8)}
    Background(rows, {"pictures": "drawn"}).save(tmp_path / "b.npz")
    again = Background.load(tmp_path / "b.npz")
    assert again.about == {"pictures": "drawn"}
    assert np.array_equal(again.rows["pdq@1"], rows["pdq@1"])
    assert np.allclose(again.rows["x@1"], rows["x@1"], atol=1e-3)
    assert np.allclose(np.linalg.norm(again.rows["x@1"].astype(np.float64), axis=1), 1)


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04 cut"])
def test_a_file_that_is_none_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "b.npz"
    path.write_bytes(content)
    with pytest.raises(BackgroundCorrupt, match=r"b\.npz.*make_background"):
        Background.load(path)


def test_a_file_without_its_story_or_with_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", rows=random_rows(1, 8))
    with pytest.raises(BackgroundCorrupt):
        Background.load(tmp_path / "plain.npz")
    evil = np.array([pickle.dumps("x")], dtype=object)
    np.savez(tmp_path / "evil.npz", allow_pickle=True, about=evil)
    with pytest.raises(BackgroundCorrupt):
        Background.load(tmp_path / "evil.npz")


def test_the_one_of_the_package_has_unit_rows_for_what_is_normalised() -> None:
    background = Background.bundled()
    kinds = {id_.partition("@")[0] for id_ in background.rows}
    assert {"sscd", "sscd_distilled"} & kinds
    for rows in background.rows.values():
        assert len(rows) >= NEAREST
        if rows.dtype != np.uint8:
            lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
            assert np.allclose(lengths, 1, atol=1e-3)
