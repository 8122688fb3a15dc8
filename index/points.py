"""Sets of key points: which of all originals share points with a picture, whatever surrounds them.

A vector of a whole picture says little of a copy that is pasted small, turned, or cut from a tenth
of its original; single key points are still there. An inverted file with Hamming embedding (Jegou,
Douze and Schmid 2008): every point is a word and a code of 128 bits that tells apart the points of
one word (`models.words` makes both). The words of a picture are looked up, points whose codes are
near vote for their originals, and an original counts by how many more votes it has than chance
gives.

The points of one original are one row, so that they are stored, sealed, withdrawn and rebuilt like
its vectors: all words, uint16, low byte first, and then all codes. `NOWHERE` stands for the words
of places that hold no point.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.spaces import CODE_BYTES, Neighbor, Positions, Rows, Space

POINTS = "points"
"""The name of the space, of which a catalogue has one or none."""
NOWHERE = 0xFFFF
"""No point has this word."""
NEAR_BITS = 40
"""Codes of one point in two pictures differ in fewer bits, as a rule; unrelated ones in half."""
MOST_COMPARED = 150_000
"""Points of a piece that are compared with those of one query, those of rare words first: they say
the most, and what a search takes does not grow with the originals."""
_BURST = 10
"""A point counts by how much nearer it is than the one that comes after so many originals, so that
what every second picture has, letters or a woven pattern, counts for nothing."""
_CHANCE = 19
"""The place of the original whose votes are taken for chance."""

Words = NDArray[np.uint16]
Codes = NDArray[np.uint8]


class PointQuery(NamedTuple):
    """The key points of a picture that is looked for.

    Attributes:
        words: uint16, shape (n, probes): the words that each may have.
        codes: uint8, shape (n, probes, CODE_BYTES): its code with each.
    """

    words: Words
    codes: Codes


class Hits(NamedTuple):
    """Points of originals that are near to points of the query.

    Attributes:
        points: int64, shape (m,): which of the query.
        at: int64, shape (m,): positions of the originals in a piece; later their keys.
        bits: uint8, shape (m,): how many bits of the codes differ.
    """

    points: NDArray[np.int64]
    at: Positions
    bits: NDArray[np.uint8]


class PointIndex:
    """Rows of points, looked up by word; immutable. Any thread may search it.

    Attributes:
        rows: uint8, shape (n, space.width); do not modify.
        kind, device, recall, probes, error: as those of `index.vectors.VectorIndex`.
    """

    kind: Literal["inverted-points"] = "inverted-points"
    device: Literal["cpu"] = "cpu"
    recall: float | None = None
    probes = 0
    error = 0.0

    def __init__(self, space: Space, rows: Rows) -> None:
        self.space, self.rows = space, np.ascontiguousarray(rows)
        words, _ = _split(space, self.rows)
        self._words, self._at = _sorted(words)

    def __len__(self) -> int:
        return len(self.rows)

    def hits(self, query: PointQuery) -> Hits:
        """The points that are near to those of a query."""
        return _hits(self.space, self.rows, self._words, self._at, query)


def hits_of(space: Space, rows: Rows, query: PointQuery) -> Hits:
    """Likewise among rows that have no index: points of other words are passed over first."""
    words, _ = _split(space, rows)
    wanted = np.zeros(NOWHERE + 1, np.bool_)
    wanted[query.words] = True
    return _hits(space, rows, *_sorted(words, wanted[words]), query)


def most_voted(hits: Sequence[Hits], k: int) -> list[Neighbor]:
    """The originals with the most votes.

    Args:
        hits: of all pieces, with keys for positions.
        k: at most this many.

    Returns:
        Best first, ties by key; the score is how many times the votes of chance it has.
    """
    points, keys, bits = (np.concatenate(column) for column in zip(*hits, strict=True))
    order = np.lexsort((bits, keys, points))
    points, keys, bits = points[order], keys[order], bits[order]
    first = np.ones(len(points), np.bool_)  # the nearest point of each original
    first[1:] = (points[1:] != points[:-1]) | (keys[1:] != keys[:-1])
    points, keys, bits = points[first], keys[first], bits[first]
    order = np.lexsort((keys, bits, points))
    points, keys, bits = points[order], keys[order], bits[order]
    begins, ends = np.searchsorted(points, points), np.searchsorted(points, points, "right")
    many = ends - begins > _BURST
    least = np.full(len(points), NEAR_BITS + 1.0)
    least[many] = bits[begins[many] + _BURST]
    weight = np.maximum(least - bits, 0)
    found, which = np.unique(keys, return_inverse=True)
    votes = np.bincount(which, weight, minlength=len(found))
    order = np.lexsort((found, -votes))
    chance = float(votes[order[_CHANCE]]) if len(order) > _CHANCE else 0.0
    return [Neighbor(int(found[i]), float(votes[i]) / (chance + 1)) for i in order[:k] if votes[i]]


def _split(space: Space, rows: Rows) -> tuple[Words, Codes]:
    """Words, shape (n, dimension), and codes, shape (n, dimension, CODE_BYTES), of some rows."""
    ends = 2 * space.dimension
    words = rows[:, :ends].view("<u2")
    return words, rows[:, ends:].reshape(len(rows), space.dimension, CODE_BYTES)


def _sorted(
    words: Words, wanted: NDArray[np.bool_] | None = None
) -> tuple[Words, NDArray[np.integer[Any]]]:
    """The words in their order, and where each stands when all rows are one behind the other."""
    taken = words != NOWHERE
    row, point = np.nonzero(taken if wanted is None else taken & wanted)
    held = words[row, point]
    order = np.argsort(held, kind="stable")
    at = row * words.shape[1] + point
    small = words.size <= 1 << 32  # four bytes a point instead of eight
    return held[order], at[order].astype(np.uint32 if small else np.int64)


def _hits(space: Space, rows: Rows, words: Words, at: NDArray[Any], query: PointQuery) -> Hits:
    asked = query.words.reshape(-1)
    begins, ends = np.searchsorted(words, asked), np.searchsorted(words, asked, "right")
    counts = ends - begins
    if counts.sum() > MOST_COMPARED:
        rare = np.argsort(counts, kind="stable")
        counts[rare[np.cumsum(counts[rare]) > MOST_COMPARED]] = 0
    which = np.repeat(np.arange(len(asked)), counts)
    before = np.concatenate([[0], np.cumsum(counts)[:-1]]) if len(counts) else counts
    places = at[np.repeat(begins - before, counts) + np.arange(len(which))].astype(np.int64)
    row, point = np.divmod(places, space.dimension)
    _, codes = _split(space, rows)
    ours = np.ascontiguousarray(query.codes).reshape(-1, CODE_BYTES).view(np.uint64)
    theirs = codes.view(np.uint64)[row, point]
    bits = np.bitwise_count(ours[which] ^ theirs).sum(axis=1, dtype=np.uint8)
    near = bits <= NEAR_BITS
    return Hits(which[near] // query.words.shape[1], row[near], bits[near])
