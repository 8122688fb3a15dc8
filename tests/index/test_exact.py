"""The reference itself, against the definition written out in plain Python."""

import math

import numpy as np
import pytest

from index.exact import ExactIndex
from tests.index.kit import PDQ, SSCD, rows


def test_float_neighbours_are_those_of_the_definition() -> None:
    index, held = ExactIndex(SSCD), rows(SSCD, 30)
    index.add(np.arange(1, 31), np.ones(30, np.int32), held)
    query = rows(SSCD, 1, seed=9)
    found = index.search(query, 30)[0]
    kept = [[float(np.float16(v)) for v in row] for row in held]
    for neighbor in found:
        row = kept[neighbor.key - 1]
        cosine = sum(a * float(b) for a, b in zip(row, query[0], strict=True)) / math.hypot(*row)
        assert neighbor.score == pytest.approx(cosine, abs=1e-6)
    assert [n.score for n in found] == sorted((n.score for n in found), reverse=True)


def test_binary_neighbours_are_those_of_the_definition_and_ties_go_by_key() -> None:
    index, held = ExactIndex(PDQ), rows(PDQ, 40)
    held[7] = held[3]
    index.add(np.arange(40, 0, -1), np.ones(40, np.int32), held)
    found = index.search(held[3:4], 40)[0]
    assert [n.key for n in found[:2]] == [33, 37]
    for neighbor in found:
        row = held[40 - neighbor.key]
        different = sum(bin(a ^ b).count("1") for a, b in zip(row, held[3], strict=True))
        assert neighbor.score == 1 - different / 32


def test_brands_removal_and_emptiness() -> None:
    index = ExactIndex(SSCD)
    assert index.search(rows(SSCD, 2), 3) == [[], []]
    index.add(np.arange(4), np.array([1, 2, 1, 2], np.int32), rows(SSCD, 4))
    index.remove([2])
    assert {n.key for n in index.search(rows(SSCD, 1), 9, [1])[0]} == {0}
    assert index.search(rows(SSCD, 1), 9, [3]) == [[]]
    assert len(index) == 3
