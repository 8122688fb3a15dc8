"""Spaces: what rows may be, and that a score depends on nothing but the two rows."""

import importlib
import pkgutil
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import index
from index.spaces import ROUGH_ERROR, DimensionMismatch, NotFinite, NotUnit, Space, scores
from index.vectors import inner_products
from tests.index.kit import PDQ, SSCD, rows


def test_a_wrong_width_or_type_is_named() -> None:
    with pytest.raises(DimensionMismatch, match=r"sscd.*\(n, 16\).*\(1, 15\)"):
        SSCD.checked(rows(Space("x", "float", 15), 1))
    with pytest.raises(DimensionMismatch):
        SSCD.checked(rows(SSCD, 1)[0])
    with pytest.raises(DimensionMismatch):
        SSCD.checked(np.zeros((1, 16), np.uint8))
    with pytest.raises(DimensionMismatch):
        PDQ.checked(np.zeros((1, 4), np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_with_its_row(value: float) -> None:
    bad = rows(SSCD, 3)
    bad[1, 5] = value
    with pytest.raises(NotFinite) as caught:
        SSCD.checked(bad)
    assert caught.value.row == 1


@pytest.mark.parametrize("factor", [0.0, 0.99, 1.01, 2.0])
def test_a_row_that_is_not_of_length_one_is_refused(factor: float) -> None:
    bad = rows(SSCD, 2)
    bad[1] *= np.float32(factor)
    with pytest.raises(NotUnit) as caught:
        SSCD.checked(bad)
    assert caught.value.row == 1
    assert caught.value.length == pytest.approx(factor, abs=1e-5)


def test_rows_are_not_modified_and_any_float_type_and_stride_is_taken() -> None:
    given_rows = np.repeat(rows(SSCD, 4).astype(np.float64), 2, axis=1)[:, ::2]
    before = given_rows.copy()
    assert SSCD.checked(given_rows).flags.c_contiguous
    assert (given_rows == before).all()


def test_rows_that_were_kept_once_are_kept_as_they_are() -> None:
    once = SSCD.kept(rows(SSCD, 50))
    assert once.dtype == np.float16
    assert (SSCD.kept(once) == once).all()


@pytest.mark.parametrize("dimension", [0, -8])
def test_a_space_has_a_positive_dimension(dimension: int) -> None:
    with pytest.raises(ValueError, match="dimension"):
        Space("x", "float", dimension)


def test_a_binary_space_has_whole_bytes_and_a_name_fit_for_a_file() -> None:
    with pytest.raises(ValueError, match="dimension"):
        Space("x", "binary", 12)
    with pytest.raises(ValueError, match="identifier"):
        Space("../x", "binary", 8)


@given(st.integers(0, 10**6), st.sampled_from([3, 16, 512, 700]), st.integers(1, 40))
def test_a_score_depends_on_nothing_but_the_two_rows(seed: int, dimension: int, n: int) -> None:
    for space in (Space("f", "float", dimension), Space("b", "binary", dimension * 8)):
        kept = space.kept(rows(space, n, seed))
        query = space.checked(rows(space, 1, seed + 1))[0]
        together = scores(space, query, kept)
        assert [scores(space, query, kept[i : i + 1])[0] for i in range(n)] == together.tolist()
        assert scores(space, query, kept[::-1])[::-1].tolist() == together.tolist()
        if space.kind == "float":
            rough = inner_products(query[None], kept.astype(np.float32))[0]
            assert np.abs(rough - together).max() < ROUGH_ERROR


def test_scores_are_cosines_and_shares_of_equal_bits() -> None:
    a, b = np.array([[0.6, 0.8, 0]]), np.array([[0.8, 0.6, 0]])
    space = Space("f", "float", 3)
    assert scores(space, space.checked(a)[0], space.kept(b))[0] == pytest.approx(0.96, abs=1e-3)
    assert scores(space, space.checked(a)[0], space.kept(-a))[0] == pytest.approx(-1, abs=1e-6)
    bits = Space("b", "binary", 16)
    kept = np.array([[0b11110000, 0], [0, 0]], np.uint8)
    assert scores(bits, kept[0], kept).tolist() == [1.0, 0.75]


def test_every_error_of_the_folder_has_its_name_as_its_reason() -> None:
    found = {}
    for module in pkgutil.iter_modules(index.__path__, "index."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Exception):
                found[value.__name__] = value
    assert len(found) > 20
    for name, error in found.items():
        assert issubclass(error, ValueError | LookupError | RuntimeError | ImportError)
        assert getattr(error, "reason", None) == re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()
        assert error.__doc__
