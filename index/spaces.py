"""The kinds of vectors that are searched, and the one way in which two of them are scored.

A space is declared by the caller: unit vectors compared by their cosine, or bit strings
compared by the share of equal bits. Every index of this folder, the NumPy reference
included, orders by the scores of `scores()` below and breaks ties by key, so that the
answer does not depend on the library, the device or the number of segments that proposed
the candidates.

Float rows are kept as float16 everywhere (store, segments, snapshots): half the memory,
and one set of values for all of them. Rounding moves a cosine by about 1e-4.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]
"""float16, shape (n, dimension), or uint8, shape (n, dimension / 8), big end first."""

Keys = NDArray[np.int64]
Positions = NDArray[np.int64]
Scores = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

Kind = Literal["float", "binary", "points"]

CODE_BYTES = 16
POINT_BYTES = CODE_BYTES + 2
"""A key point takes a word of two bytes and a code."""
UNIT_TOLERANCE = 1e-3


class DimensionMismatch(ValueError):
    """The vectors do not have the shape or the type of the space."""

    reason: ClassVar[str] = "DIMENSION_MISMATCH"

    def __init__(self, space: str, expected: str, got: str) -> None:
        super().__init__(f"space {space!r} takes {expected}, not {got}")
        self.space, self.expected, self.got = space, expected, got


class NotFinite(ValueError):
    """A vector holds NaN or an infinity."""

    reason: ClassVar[str] = "NOT_FINITE"

    def __init__(self, space: str, row: int) -> None:
        super().__init__(f"vector {row} for space {space!r} holds NaN or an infinite value")
        self.space, self.row = space, row


class NotUnit(ValueError):
    """A float vector is not of length 1 within 1e-3."""

    reason: ClassVar[str] = "NOT_UNIT"

    def __init__(self, space: str, row: int, length: float) -> None:
        super().__init__(f"vector {row} for space {space!r} has length {length:.6g}, not 1")
        self.space, self.row, self.length = space, row, length


class UnknownSpace(LookupError):
    """No space of this name was declared."""

    reason: ClassVar[str] = "UNKNOWN_SPACE"

    def __init__(self, space: str, known: tuple[str, ...]) -> None:
        super().__init__(f"no space {space!r}; declared are {', '.join(known) or 'none'}")
        self.space, self.known = space, known


class Query(NamedTuple):
    """What is searched for.

    Attributes:
        space: name of the space.
        rows: of its kind, shape (m, width).
        k: most neighbours of each row.
    """

    space: str
    rows: NDArray[Any]
    k: int


class Neighbor(NamedTuple):
    """One row near a query.

    Attributes:
        key: the original's key.
        score: cosine in [-1, 1], or the share of equal bits in [0, 1]; higher is more alike.
    """

    key: int
    score: float


@dataclass(frozen=True, slots=True)
class Space:
    """A named set of comparable vectors.

    Attributes:
        name: short and lower case, e.g. `sscd`; it names files too.
        kind: `float` (unit vectors), `binary` (packed bits) or `points` (sets of key points, see
            `index.points`).
        dimension: numbers in a float vector; bits in a binary one, a multiple of 8; most points.
    """

    name: str
    kind: Kind
    dimension: int

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or not self.name.isascii():
            raise ValueError(f"a space's name is an identifier, not {self.name!r}")
        if self.dimension < 1 or (self.kind == "binary" and self.dimension % 8):
            raise ValueError(f"space {self.name!r} cannot have dimension {self.dimension}")

    @property
    def width(self) -> int:
        """Columns of a row: the dimension, or the bytes that hold that many bits or points."""
        if self.kind == "points":
            return self.dimension * POINT_BYTES
        return self.dimension if self.kind == "float" else self.dimension // 8

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the rows that are kept."""
        return np.dtype(np.float16 if self.kind == "float" else np.uint8)

    def checked(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Check rows from outside and bring them to the form that is compared.

        Args:
            rows: shape (n, width); any float type with rows of length 1 within 1e-3, or
                uint8 for a binary space. Not modified.

        Returns:
            C-contiguous float32 rows of length 1 (to rounding), or uint8 rows.

        Raises:
            DimensionMismatch: the shape or the type is wrong.
            NotFinite: a value is NaN or infinite.
            NotUnit: a float row is not of length 1.
        """
        rows = np.asarray(rows)
        wanted = "f" if self.kind == "float" else "u"
        if rows.ndim != 2 or rows.shape[1] != self.width or rows.dtype.kind != wanted:
            expected = f"{'float' if wanted == 'f' else 'uint8'} (n, {self.width})"
            raise DimensionMismatch(self.name, expected, f"{rows.dtype} {rows.shape}")
        if self.kind != "float":
            return np.ascontiguousarray(rows, dtype=np.uint8)
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            raise NotFinite(self.name, int(np.argmin(finite)))
        lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
        wrong = np.abs(lengths - 1) > UNIT_TOLERANCE
        if wrong.any():
            row = int(np.argmax(wrong))
            raise NotUnit(self.name, row, float(lengths[row]))
        return np.ascontiguousarray(rows / lengths[:, None], dtype=np.float32)

    def kept(self, rows: NDArray[Any]) -> Rows:
        """Check rows and round them to the type in which they are kept.

        Rows of that type already are taken as they are: rounding twice would move them.
        """
        checked = self.checked(rows)
        if rows.dtype == self.dtype:
            return np.ascontiguousarray(rows)
        return checked.astype(self.dtype)

    def empty(self, n: int = 0) -> Rows:
        """Room for `n` rows, in the type in which they are kept."""
        return np.zeros((n, self.width), dtype=self.dtype)


def scores(space: Space, query: NDArray[Any], rows: Rows) -> Scores:
    """Score one checked query against kept rows; the order of all answers rests on this.

    Each row is summed by itself, in float64, so that its score depends neither on its
    neighbours in memory nor on the BLAS in use.

    Args:
        query: shape (width,), as `Space.checked` returns it.
        rows: shape (n, width), as `Space.kept` returns them.

    Returns:
        float64, shape (n,): cosines in [-1, 1] or shares of equal bits in [0, 1].
    """
    if space.kind == "binary":
        if space.width % 8 == 0:  # eight bytes at a time
            rows, query = np.ascontiguousarray(rows).view(np.uint64), query.view(np.uint64)
        different = np.bitwise_count(np.bitwise_xor(rows, query)).sum(axis=1, dtype=np.int64)
        return np.asarray(1 - different / space.dimension, dtype=np.float64)
    exact = np.ascontiguousarray(rows, dtype=np.float64)
    wide = query.astype(np.float64)
    lengths = np.sqrt((exact * exact).sum(axis=1) * (wide * wide).sum())
    return np.clip((exact * wide).sum(axis=1) / lengths, -1, 1)


ROUGH_ERROR = 1e-3
"""Bound on |float32 inner product - score|: float16 rounding moves a row's length by at most
2**-11, float32 sums add less than 2e-4 up to 3,000 dimensions."""
