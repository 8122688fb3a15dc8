"""Where the places of an original are found in a listing that lies nearly on it.

Around each of `CELLS` x `CELLS` places the edges of both are correlated, for all small shifts.

Pure functions of their arguments: any thread may call them.
"""

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from models.layout import FloatArray, Matrix
from service.matching.poses import CELLS, cells

REACH = 3
"""Places are looked for within so many pixels when a map is measured."""
SHIFTS = [(dy, dx) for dy in range(-REACH, REACH + 1) for dx in range(-REACH, REACH + 1)]
CLOSE = np.array([max(abs(dy), abs(dx)) <= 2 for dy, dx in SHIFTS])
"""The shifts within which edges count as met."""
CLOSELY = 0.7
"""From this correlation on edges agree very closely."""
_ROUNDS = 4


def correlate(ours: FloatArray, theirs: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Correlate two fields around each place, for all of `SHIFTS` of ours.

    Returns:
        float32, shape (len(SHIFTS), CELLS, CELLS), in [-1, 1], and how much edge theirs has there.
    """
    h, w = theirs.shape[1:]
    padded = np.pad(ours, ((0, 0), (REACH, REACH), (REACH, REACH)))
    shifted = sliding_window_view(padded, (h, w), axis=(1, 2))
    n = 2 * REACH + 1
    products, other = np.empty((n, n, h, w), np.float32), np.empty((n, h, w), np.float32)
    # A row of shifts at a time stays in the cache.
    for dy, row in enumerate(products):
        np.multiply(shifted[0, dy], theirs[0], out=row)
        row += np.multiply(shifted[1, dy], theirs[1], out=other)
    # A place is ten times as wide as the shifts, so its power is nearly the same under all.
    power, weight = cells(np.stack(((ours * ours).sum(axis=0), (theirs * theirs).sum(axis=0))))
    score = cells(products.reshape(n * n, h, w))
    score /= np.sqrt(np.maximum(power, 1e-3) * np.maximum(weight, 1e-3))
    return np.clip(score, -1, 1, out=score), weight


def best_shifts(maps: FloatArray) -> tuple[FloatArray, NDArray[np.float64]]:
    """Where each place agrees best, to parts of a pixel by a parabola through its neighbours.

    Args:
        maps: shape (len(SHIFTS), CELLS, CELLS).

    Returns:
        The agreement there, (CELLS, CELLS), and dy and dx, (CELLS, CELLS, 2).
    """
    n = 2 * REACH + 1
    grid = maps.reshape(n, n, CELLS, CELLS)
    best = maps.max(axis=0)
    dy, dx = np.divmod(maps.argmax(axis=0), n)
    i, j = np.indices(best.shape)

    def part(low: FloatArray, high: FloatArray, at: NDArray[np.intp]) -> NDArray[np.float64]:
        bend = (low - 2 * best + high).astype(np.float64)
        off = 0.5 * (low - high) / np.where(np.abs(bend) > 1e-6, bend, -1.0)
        return np.where((at > 0) & (at < n - 1), np.clip(off, -0.5, 0.5), 0.0)

    above, below = grid[np.maximum(dy - 1, 0), dx, i, j], grid[np.minimum(dy + 1, n - 1), dx, i, j]
    left, right = grid[dy, np.maximum(dx - 1, 0), i, j], grid[dy, np.minimum(dx + 1, n - 1), i, j]
    y, x = dy - REACH + part(above, below, dy), dx - REACH + part(left, right, dx)
    return best, np.stack((y, x), axis=-1)


@lru_cache(maxsize=4)
def squares(side: int) -> NDArray[np.float64]:
    """The middles of so many squares a side, x and y in [-1, 1], shape (side, side, 2)."""
    at = (np.arange(side) + 0.5) * (2 / side) - 1
    y, x = np.meshgrid(at, at, indexing="ij")
    return np.stack((x, y), axis=-1)


def robust_fit(
    basis: Matrix, wanted: Matrix, trust: NDArray[np.float64], ridge: Matrix, near: float
) -> tuple[Matrix, NDArray[np.float64]]:
    """Fit what is wanted at some places by least squares, so that those far off count little.

    Args:
        basis: shape (m, k).
        wanted: shape (m, 2).
        trust: shape (m,), what each place weighs at first.
        ridge: shape (k, k), which holds the weights to nothing.
        near: how far off a place may be before it counts half.

    Returns:
        The weights, shape (k, 2), and how far off each place is, shape (m,).
    """
    weight = trust
    for _ in range(_ROUNDS):
        weighted = basis.T * weight
        fit = np.linalg.solve(weighted @ basis + ridge, weighted @ wanted)
        off = np.linalg.norm(wanted - basis @ fit, axis=1)
        weight = trust / (1 + (off / near) ** 2)
    return fit, off
