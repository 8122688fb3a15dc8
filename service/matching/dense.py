"""Dense verification: lay a listing over an original and compare them place by place.

Key points fail on smooth products and on restyled copies; composition does not. `refine` bends
a pose (`service.matching.poses`) by a small affine map until the edges meet; `measure` says how
well they do, place by place. Two photographs of one product agree nowhere closely:
their edges meet only within a few pixels, and only here and there.

All maps take fractional coordinates of the listing to fractional coordinates of the original.
Pure functions of their arguments: any thread may call them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models import layout
from models.layout import SIDE_PX, FloatArray, Matrix, UInt8Array
from service.matching.poses import CELLS, Canvas, Sheet, cells


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """How well a listing and an original agree where they lie on each other.

    Shares are weighted by the edges of the original, so that a white ground counts little.

    Attributes:
        matrix: the map that was measured.
        edges: mean agreement of edge directions, where the listing covers the original, -1..1.
        edges_all: the same over all of the original; what is not covered counts 0.
        close: share of the covered edges that agree at 0.5 or more.
        tight: share that agree at 0.7 or more.
        signed: like `edges`, but light and dark must not have changed places.
        signed_close: like `close` for `signed`.
        tones: mean correlation of the grey values.
        covered: share of the original's edges that the listing covers, 0..1.
        chance: agreement at places some pixels off: what any two such pictures reach.
        subject_edges: like `edges`, weighed by the edges of the original's subject alone.
        ground_edges: likewise for its background; NaN when the subject fills the picture.
        local: float32, shape (CELLS, CELLS): agreement of each place of the original, 0
            where it is not covered.
    """

    matrix: Matrix
    edges: float
    edges_all: float
    close: float
    tight: float
    signed: float
    signed_close: float
    tones: float
    covered: float
    chance: float
    subject_edges: float
    ground_edges: float
    local: FloatArray


def lay(picture: UInt8Array, matrix: Matrix, side: int = SIDE_PX) -> tuple[UInt8Array, FloatArray]:
    """Draw a listing in the frame of an original.

    Args:
        picture: uint8, shape (h, w) or (h, w, 3).
        matrix: listing to original, fractional.
        side: of the square frame, in pixels.

    Returns:
        uint8, shape (side, side[, 3]), and float32 (side, side): 1 where the listing lies.
    """
    h, w = picture.shape[:2]
    pixels = np.diag([side, side, 1.0]) @ matrix @ np.diag([1 / w, 1 / h, 1.0])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    pixels = np.linalg.inv(half) @ pixels @ half  # coordinates are those of pixel centres
    scale = float(np.sqrt(abs(np.linalg.det(pixels[:2, :2]))))
    if 1e-3 < scale < 0.6:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.45 / scale), dtype=np.uint8)
    drawn = cv2.warpPerspective(
        picture, pixels, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    inside = cv2.warpPerspective(
        np.full((h, w), 1, np.uint8), pixels, (side, side), flags=cv2.INTER_NEAREST
    )
    inside = cv2.erode(inside, np.ones((3, 3), np.uint8), borderValue=0)
    return np.asarray(drawn, dtype=np.uint8), inside.astype(np.float32)


def refine(sheet: Sheet, canvas: Canvas, matrix: Matrix) -> tuple[Matrix, float]:
    """Bend a pose by a small affine map until the edges meet.

    Each place of the original is searched for within six pixels; the shifts found, weighted
    by how sure they are, give the map.

    Returns:
        The better map, and the agreement by chance (see `Agreement.chance`).
    """
    drawn, inside = lay(sheet.luma, matrix)
    ours = layout.pool(layout.gradient_field(drawn)[:2] * inside, 2)
    theirs = layout.pool(canvas.field[:2], 2)
    shifts = [(dy, dx) for dy in range(-3, 4) for dx in range(-3, 4)]
    maps, weight = _agreement(ours, theirs, shifts)
    best = maps.max(axis=0)
    chosen = np.array(shifts, dtype=np.float64)[maps.argmax(axis=0)] * 2
    bend = _affine(chosen, np.maximum(best - 0.25, 0) ** 2 * weight)
    rim = [k for k, (dy, dx) in enumerate(shifts) if max(abs(dy), abs(dx)) == 3]
    chance = float((maps[rim].mean(axis=0) * weight).sum() / (weight.sum() + 1e-6))
    return bend @ matrix, chance


def measure(sheet: Sheet, canvas: Canvas, matrix: Matrix, chance: float) -> Agreement:
    """Say how well a listing agrees with an original under a map."""
    drawn, inside = lay(sheet.luma, matrix)
    field = layout.gradient_field(drawn) * inside
    shifts = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]
    maps, weight = _agreement(field[:2], canvas.field[:2], shifts)
    edges = maps.max(axis=0)
    signed_maps, _ = _agreement(field[2:], canvas.field[2:], shifts)
    signed = signed_maps.max(axis=0)
    cover = cells(inside)
    seen = weight * cover
    total, visible = float(weight.sum()) + 1e-6, float(seen.sum()) + 1e-6
    return Agreement(
        matrix=matrix,
        edges=float((edges * seen).sum()) / visible,
        edges_all=float((edges * seen).sum()) / total,
        close=float(seen[edges > 0.5].sum()) / visible,
        tight=float(seen[edges > 0.7].sum()) / visible,
        signed=float((signed * seen).sum()) / visible,
        signed_close=float(seen[signed > 0.5].sum()) / visible,
        tones=float((_tones(drawn, canvas.luma) * seen).sum()) / visible,
        covered=visible / total,
        chance=chance,
        subject_edges=_mean(edges, seen * canvas.subject),
        ground_edges=_mean(edges, seen * np.maximum(1 - canvas.subject, 0)),
        local=(edges * cover).astype(np.float32),
    )


def _mean(values: FloatArray, weight: FloatArray) -> float:
    """Weighted mean; NaN where there is next to no weight."""
    total = float(weight.sum())
    return float((values * weight).sum()) / total if total > 1.0 else math.nan


def _agreement(
    ours: FloatArray, theirs: FloatArray, shifts: Sequence[tuple[int, int]]
) -> tuple[FloatArray, FloatArray]:
    """Correlate two fields around each place, for several shifts of ours.

    Returns:
        float32, shape (s, CELLS, CELLS), in [-1, 1], and how much edge theirs has there.
    """
    reach = max(max(abs(dy), abs(dx)) for dy, dx in shifts)
    h, w = theirs.shape[1:]
    padded = np.pad(ours, ((0, 0), (reach, reach), (reach, reach)))
    power = np.pad((ours * ours).sum(axis=0), reach)
    products = np.empty((len(shifts), h, w), np.float32)
    powers = np.empty((len(shifts), h, w), np.float32)
    for k, (dy, dx) in enumerate(shifts):
        rows, columns = slice(reach + dy, reach + dy + h), slice(reach + dx, reach + dx + w)
        view = padded[:, rows, columns]
        products[k] = view[0] * theirs[0] + view[1] * theirs[1]
        powers[k] = power[rows, columns]
    weight = cells((theirs * theirs).sum(axis=0))
    score = cells(products) / np.sqrt(np.maximum(cells(powers), 1e-3) * np.maximum(weight, 1e-3))
    return np.clip(score, -1, 1).astype(np.float32), weight


def _tones(ours: UInt8Array, theirs: UInt8Array) -> FloatArray:
    """Correlation of grey values around each place, shape (CELLS, CELLS)."""
    a, b = ours.astype(np.float32), theirs.astype(np.float32)
    mean_a, mean_b, aa, bb, ab = cells(np.stack((a, b, a * a, b * b, a * b)))
    spread = np.maximum(aa - mean_a**2, 4) * np.maximum(bb - mean_b**2, 4)
    return np.asarray((ab - mean_a * mean_b) / np.sqrt(spread), dtype=np.float32)


def _affine(shifts: NDArray[np.float64], weight: FloatArray) -> Matrix:
    """Fit the map that undoes the shifts found at the places; robust, and near to none.

    Args:
        shifts: shape (CELLS, CELLS, 2), dy and dx in pixels of `SIDE_PX`.
        weight: shape (CELLS, CELLS).

    Returns:
        float64, shape (3, 3), fractional.
    """
    at = (np.arange(CELLS) + 0.5) * (SIDE_PX / CELLS)
    y, x = np.meshgrid(at, at, indexing="ij")
    target = np.stack((x.ravel(), y.ravel()), axis=1)
    moved = target + shifts.reshape(-1, 2)[:, ::-1]
    source = np.concatenate((moved, np.ones((len(moved), 1))), axis=1)
    if weight.sum() <= 1e-6:
        return np.eye(3)
    flat = weight.ravel().astype(np.float64)
    stiff = 1e-3 * flat.sum() * 2 * SIDE_PX**2
    ridge, none = np.diag([stiff, stiff, 1e-6]), np.array([[1.0, 0], [0, 1], [0, 0]])
    trust = flat
    fit = none
    for _ in range(3):
        weighted = trust[:, None] * source
        fit = np.linalg.solve(source.T @ weighted + ridge, weighted.T @ target + ridge @ none)
        off = np.linalg.norm(target - source @ fit, axis=1)
        trust = flat / (1 + (off / 2) ** 2)
    bend = np.eye(3)
    bend[:2] = fit.T
    return np.diag([1 / SIDE_PX, 1 / SIDE_PX, 1]) @ bend @ np.diag([SIDE_PX, SIDE_PX, 1.0])
