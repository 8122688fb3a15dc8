"""Rows in one byte a number: how vectors are kept that are many, and read rarely and all at once.

A float row becomes signed bytes, scaled by its own largest value; the scale is not kept, for a
cosine does not depend on it. At 512 dimensions that moves a cosine by 3e-4, rarely by 2e-3,
far less than JPEG does, and takes half of float16. Bits stay bits.

Comparing is one matrix product for many queries and many rows. A process that searches once a
day needs no index in memory for that: reading all rows from the disk costs less than keeping
them (`scripts/bench_memory.py` has the figures).

Pure functions of their arguments: any thread may call them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.spaces import Rows, Space

Codes = NDArray[np.uint8]
"""Shape (n, code_width): signed bytes of a float space (viewed as unsigned), or packed bits."""

_MOST = 127


def code_width(space: Space) -> int:
    """Bytes of one row."""
    return space.width


def encode(space: Space, rows: NDArray[Any]) -> Codes:
    """The codes of rows.

    Raises:
        DimensionMismatch, NotFinite, NotUnit: the rows do not fit the space.
    """
    checked = space.checked(rows)
    if space.kind == "binary":
        return checked
    largest = np.abs(checked).max(axis=1, keepdims=True)
    return np.asarray(np.rint(checked * (_MOST / largest)), dtype=np.int8).view(np.uint8)


def decode(space: Space, codes: Codes) -> Rows:
    """The rows that codes stand for: float32 of length 1, or bits."""
    if space.kind == "binary":
        return codes
    wide = codes.view(np.int8).astype(np.float32)
    return np.asarray(wide / np.linalg.norm(wide, axis=1, keepdims=True), dtype=np.float32)


def prepared(space: Space, queries: NDArray[Any]) -> NDArray[np.float32]:
    """Queries in the form that `compared` takes.

    Raises:
        DimensionMismatch, NotFinite, NotUnit: the queries do not fit the space.
    """
    checked = space.checked(queries)
    if space.kind == "float":
        return np.asarray(checked, dtype=np.float32)
    return _signs(checked) / np.float32(space.dimension)


def compared(space: Space, queries: NDArray[np.float32], codes: Codes) -> NDArray[np.float32]:
    """Score many queries against many rows at the speed of BLAS.

    Args:
        queries: as `prepared` returns them, shape (n, dimension).
        codes: shape (m, code_width).

    Returns:
        float32, shape (n, m): cosines or shares of equal bits, within 1e-5 of
        `index.spaces.scores` over the decoded rows.
    """
    if space.kind == "binary":
        alike: NDArray[np.float32] = queries @ _signs(codes).T
        return alike * np.float32(0.5) + np.float32(0.5)
    wide = codes.view(np.int8).astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    alike = queries @ wide.T
    alike /= lengths[None]
    return alike


def _signs(bits: NDArray[np.uint8]) -> NDArray[np.float32]:
    """1 for a set bit and -1 for the others, shape (n, dimension)."""
    return np.unpackbits(bits, axis=1).astype(np.float32) * 2 - 1
