"""The two kinds of pieces that a live index is made of, each one a value that never changes.

A `Sealed` piece is a faiss index with the keys and brand numbers of its rows, and a mask of
those that are still live. The `Delta` piece holds the newest rows in NumPy arrays with room
at the end: a later delta shares the arrays and sees more of them, so that adding copies
nothing and no reader ever sees a row move.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from index.candidates import Proposal
from index.points import Hits, PointIndex, PointQuery, hits_of
from index.selection import AllBut
from index.spaces import ROUGH_ERROR, BoolArray, Keys, Positions, Rows, Space, scores
from index.vectors import IndexOptions, Saved, VectorIndex, inner_products

Numbers = NDArray[np.int32]


class Batch(NamedTuple):
    """Rows with their keys and brand numbers, of shapes (n,), (n,), (n, width)."""

    keys: Keys
    brands: Numbers
    rows: Rows


class Piece(Protocol):
    """A part of an index as one search sees it."""

    @property
    def error(self) -> float:
        """Bound on |proposed - exact score|."""

    @property
    def size(self) -> int:
        """Live rows."""

    def propose(self, queries: NDArray[Any], k: int, brands: Collection[int] | None) -> Proposal:
        """Candidates among the live rows of these brands; see `VectorIndex.propose`."""

    def hits(self, query: PointQuery, brands: Collection[int] | None) -> Hits:
        """Near points of the live rows of these brands, with their keys for positions."""

    def at(self, positions: Positions) -> Batch:
        """The rows at these positions."""

    def live(self) -> Batch:
        """All live rows, copied."""

    def find(self, key: int) -> int:
        """Position of a live row, or -1."""


def _of_brands(numbers: Numbers, brands: Collection[int]) -> BoolArray:
    named: BoolArray = np.isin(numbers, np.fromiter(brands, np.int32, len(brands)))
    return ~named if isinstance(brands, AllBut) else named


def made_of(
    space: Space, rows: Rows, options: IndexOptions, saved: Saved | None = None
) -> VectorIndex | PointIndex:
    """The index of some rows, by the kind of the space; `saved` is what `VectorIndex` takes."""
    if space.kind == "points":
        return PointIndex(space, rows)
    return VectorIndex(space, rows, options, saved)


def _kept(hits: Hits, keys: Keys, allowed: BoolArray | None) -> Hits:
    """The hits of rows that are allowed, with their keys."""
    if allowed is not None:
        kept = allowed[hits.at]
        hits = Hits(hits.points[kept], hits.at[kept], hits.bits[kept])
    return hits._replace(at=keys[hits.at])


@dataclass(frozen=True, slots=True, eq=False)
class Sealed:
    """A faiss index and what is left of it.

    Attributes:
        keys: int64, shape (n,), ascending.
        brands: int32, shape (n,).
        dead: mask of withdrawn rows, shape (n,); None when there are none.
    """

    keys: Keys
    brands: Numbers
    index: VectorIndex | PointIndex
    dead: BoolArray | None = None

    @classmethod
    def of(cls, space: Space, batch: Batch, options: IndexOptions) -> "Sealed":
        """Build from rows in any order."""
        order = np.argsort(batch.keys, kind="stable")
        index = made_of(space, batch.rows[order], options)
        return cls(batch.keys[order], batch.brands[order], index)

    @property
    def error(self) -> float:
        return self.index.error

    @property
    def size(self) -> int:
        return len(self.keys) - self.dead_count

    @property
    def dead_count(self) -> int:
        """Withdrawn rows that still take memory."""
        return 0 if self.dead is None else int(np.count_nonzero(self.dead))

    def propose(self, queries: NDArray[Any], k: int, brands: Collection[int] | None) -> Proposal:
        assert isinstance(self.index, VectorIndex)
        return self.index.propose(queries, k, self._allowed(brands))

    def hits(self, query: PointQuery, brands: Collection[int] | None) -> Hits:
        assert isinstance(self.index, PointIndex)
        return _kept(self.index.hits(query), self.keys, self._allowed(brands))

    def at(self, positions: Positions) -> Batch:
        return Batch(self.keys[positions], self.brands[positions], self.index.rows[positions])

    def live(self) -> Batch:
        kept = np.arange(len(self.keys)) if self.dead is None else np.flatnonzero(~self.dead)
        return self.at(kept)

    def find(self, key: int) -> int:
        place = int(np.searchsorted(self.keys, key))
        found = place < len(self.keys) and self.keys[place] == key
        return place if found and (self.dead is None or not self.dead[place]) else -1

    def of_brand(self, number: int) -> list[int]:
        """Positions of the live rows of a brand."""
        mine = self.brands == number
        places: list[int] = np.flatnonzero(
            mine if self.dead is None else mine & ~self.dead
        ).tolist()
        return places

    def _allowed(self, brands: Collection[int] | None) -> BoolArray | None:
        """A mask of the live rows of these brands; None: all."""
        allowed = None if self.dead is None else ~self.dead
        if brands is None:
            return allowed
        wanted = _of_brands(self.brands, brands)
        return wanted if allowed is None else wanted & allowed

    def without(self, positions: Collection[int]) -> "Sealed":
        """The same piece with these rows withdrawn too."""
        dead = np.zeros(len(self.keys), np.bool_) if self.dead is None else self.dead.copy()
        dead[list(positions)] = True
        return replace(self, dead=dead)


@dataclass(frozen=True, slots=True, eq=False)
class Delta:
    """The newest rows, compared with one by one.

    Attributes:
        count: how many rows of the arrays belong to this delta.
        dead: positions of withdrawn rows.
    """

    space: Space
    keys: Keys
    brands: Numbers
    rows: NDArray[Any]  # float32 (twice as fast to multiply as float16) or uint8
    count: int = 0
    dead: frozenset[int] = frozenset()

    @classmethod
    def empty(cls, space: Space, room: int) -> "Delta":
        """No rows, and room for some without copying.

        The room is written to, so that its memory is taken now and not row by row: what a
        server needs is seen when it starts.
        """
        dtype = np.float32 if space.kind == "float" else np.uint8
        rows: NDArray[Any] = np.full((room, space.width), 0, dtype=dtype)
        return cls(space, np.empty(room, np.int64), np.empty(room, np.int32), rows)

    @property
    def error(self) -> float:
        return ROUGH_ERROR if self.space.kind == "float" else 1e-6

    @property
    def size(self) -> int:
        return self.count - len(self.dead)

    def propose(self, queries: NDArray[Any], k: int, brands: Collection[int] | None) -> Proposal:
        """Every live row of these brands, whatever k is."""
        rows, positions = self.rows[: self.count], np.flatnonzero(self._allowed(brands))
        if self.space.kind == "float":
            rough = inner_products(queries, rows)
        else:
            each = [scores(self.space, query, rows) for query in queries]
            rough = np.array(each, np.float32).reshape(len(queries), len(rows))
        return Proposal(
            rough[:, positions],
            np.broadcast_to(positions, (len(queries), len(positions))),
            complete=True,
        )

    def hits(self, query: PointQuery, brands: Collection[int] | None) -> Hits:
        found = hits_of(self.space, self.rows[: self.count], query)
        return _kept(found, self.keys, self._allowed(brands))

    def at(self, positions: Positions) -> Batch:
        rows = self.rows[positions].astype(self.space.dtype, copy=False)
        return Batch(self.keys[positions], self.brands[positions], rows)

    def live(self) -> Batch:
        return self.at(np.flatnonzero(self._alive()))

    def find(self, key: int) -> int:
        places = np.flatnonzero(self.keys[: self.count] == key)
        return next((int(p) for p in places if int(p) not in self.dead), -1)

    def with_rows(self, batch: Batch) -> "Delta":
        """The same delta and these rows; the newest delta only may be extended."""
        end = self.count + len(batch.keys)
        grown = self if end <= len(self.keys) else self._moved(max(end, 2 * len(self.keys)))
        grown.keys[self.count : end] = batch.keys
        grown.brands[self.count : end] = batch.brands
        grown.rows[self.count : end] = batch.rows
        return replace(grown, count=end)

    def of_brand(self, number: int) -> list[int]:
        """Positions of the live rows of a brand."""
        mine = (self.brands[: self.count] == number) & self._alive()
        places: list[int] = np.flatnonzero(mine).tolist()
        return places

    def without(self, positions: Collection[int]) -> "Delta":
        """The same delta with these rows withdrawn too."""
        return replace(self, dead=self.dead | frozenset(positions))

    def after(self, count: int, room: int) -> "Delta":
        """A new delta of the live rows from position `count` on."""
        places = np.flatnonzero(self._alive())
        return Delta.empty(self.space, room).with_rows(self.at(places[places >= count]))

    def _allowed(self, brands: Collection[int] | None) -> BoolArray:
        alive = self._alive()
        return alive if brands is None else alive & _of_brands(self.brands[: self.count], brands)

    def _alive(self) -> BoolArray:
        alive = np.ones(self.count, np.bool_)
        alive[list(self.dead)] = False
        return alive

    def _moved(self, room: int) -> "Delta":
        bigger = Delta.empty(self.space, room)
        bigger.keys[: self.count] = self.keys[: self.count]
        bigger.brands[: self.count] = self.brands[: self.count]
        bigger.rows[: self.count] = self.rows[: self.count]
        return replace(bigger, count=self.count, dead=self.dead)
