"""Dense verification: lay a listing over an original and compare them place by place.

Key points fail on smooth products and on restyled copies; composition does not. `refine` bends
a pose (`service.matching.poses`) by a small affine map until the edges meet, `standing` says
whether the edges meet at that very place and at no other, and `measure` how well they do,
place by place. Two photographs of one product agree nowhere closely: their edges meet only
within a few pixels, only here and there, and no one map brings them all together.

All maps take fractional coordinates of the listing to fractional coordinates of the original.
Pure functions of their arguments: any thread may call them.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from models import layout
from models.layout import FINE_SIDE_PX, SIDE_PX, FloatArray, Matrix, UInt8Array
from service.matching.places import (
    CLOSE,
    CLOSELY,
    SHIFTS,
    best_shifts,
    correlate,
    robust_fit,
    squares,
)
from service.matching.poses import CELLS, Canvas, Sheet, cells
from service.matching.standing import stands_out

_STEADY_PX = 0.6


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """How well a listing and an original agree where they lie on each other.

    Shares are weighted by the edges of the original, so that a white ground counts little.

    Attributes:
        matrix: the map that was measured.
        edges: mean agreement of edge directions, where the listing covers the original, -1..1.
        edges_all: the same over all of the original; what is not covered counts 0.
        tight: share of the covered edges that agree at 0.7 or more.
        tones: mean correlation of the grey values.
        covered: share of the original's edges that the listing covers, 0..1.
        subject_edges: like `edges`, weighed by the edges of the original's subject alone.
        ground_edges: likewise for its background; NaN when the subject fills the picture.
        residual: by how many pixels of `SIDE_PX` half of the places are off the one map that
            suits them best; NaN where no place agrees. One photograph is off by nothing,
            another shot of a solid thing by its parallax.
        steady: share of the places that are off by less than 0.6 of a pixel; NaN likewise.
        fit: how many standard deviations the edges agree better here than at any shift from
            14 to 60 pixels of `FINE_SIDE_PX`.
        subject_fit: the same for the edges of the original's subject alone.
        local: float32, shape (CELLS, CELLS): agreement of each place of the original, 0
            where it is not covered.
    """

    matrix: Matrix
    edges: float
    edges_all: float
    tight: float
    tones: float
    covered: float
    subject_edges: float
    ground_edges: float
    residual: float
    steady: float
    fit: float
    subject_fit: float
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
    pixels = layout.pixel_map(matrix, (w, h), (side, side))
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


class Laid(NamedTuple):
    """A listing in the frame of an original: by which map, its luma, its edges, where it lies."""

    matrix: Matrix
    drawn: UInt8Array
    field: FloatArray
    inside: FloatArray


def laid(sheet: Sheet, matrix: Matrix, side: int = SIDE_PX) -> Laid:
    """Lay a listing on an original; what follows looks at it in this form."""
    drawn, inside = lay(sheet.level(matrix, side), matrix, side)
    return Laid(matrix, drawn, layout.gradient_field(drawn) * inside, inside)


def refine(laid: Laid, canvas: Canvas) -> Matrix:
    """Bend a pose by a small affine map until the edges meet.

    Each place of the original is searched for within six pixels; the shifts found, weighted
    by how sure they are, give the map.
    """
    ours = layout.pool(laid.field, 2)
    theirs = layout.pool(canvas.field, 2)
    maps, weight = correlate(ours, theirs)
    chosen = np.array(SHIFTS, dtype=np.float64)[maps.argmax(axis=0)] * 2
    best = maps.max(axis=0)
    return _affine(chosen, np.maximum(best - 0.25, 0) ** 2 * weight) @ laid.matrix


def settle(laid: Laid, canvas: Canvas) -> Matrix:
    """Bend a map that is right within three pixels until it is right within parts of one."""
    maps, weight = correlate(laid.field, canvas.field)
    best, shifts = best_shifts(maps)
    trust = np.maximum(best - 0.25, 0) ** 2 * weight * cells(laid.inside)
    return _affine(shifts, trust) @ laid.matrix


def standing(laid: Laid, canvas: Canvas) -> float:
    """How far the agreement of all edges stands out from that at other shifts, in deviations."""
    return stands_out(laid.field, (canvas.field * laid.inside)[None], near=3, ring=(8, 32))[0]


def measure(sheet: Sheet, laid: Laid, canvas: Canvas) -> Agreement:
    """Say how well a listing agrees with an original where it was laid."""
    maps, weight = correlate(laid.field, canvas.field)
    edges = maps[CLOSE].max(axis=0)
    cover = cells(laid.inside)
    seen = weight * cover
    total, visible = float(weight.sum()) + 1e-6, float(seen.sum()) + 1e-6
    residual, steady = _residual(maps, seen)
    fit, subject_fit = _fits(sheet, canvas, laid.matrix)
    return Agreement(
        matrix=laid.matrix,
        edges=float((edges * seen).sum()) / visible,
        edges_all=float((edges * seen).sum()) / total,
        tight=float(seen[edges > CLOSELY].sum()) / visible,
        tones=float((_tones(laid.drawn, canvas.luma) * seen).sum()) / visible,
        covered=visible / total,
        subject_edges=_mean(edges, seen * canvas.share),
        ground_edges=_mean(edges, seen * np.maximum(1 - canvas.share, 0)),
        residual=residual,
        steady=steady,
        fit=fit,
        subject_fit=subject_fit,
        local=(edges * cover).astype(np.float32),
    )


def _fits(sheet: Sheet, canvas: Canvas, matrix: Matrix) -> tuple[float, float]:
    """See `Agreement.fit` and `Agreement.subject_fit`."""
    fine = laid(sheet, matrix, FINE_SIDE_PX)
    theirs = layout.gradient_field(canvas.fine) * fine.inside
    # The outline of the subject belongs to it.
    around = cv2.dilate(canvas.subject.astype(np.uint8), np.ones((5, 5), np.uint8))
    size = (FINE_SIDE_PX, FINE_SIDE_PX)
    subject = cv2.resize(around, size, interpolation=cv2.INTER_NEAREST)
    both = np.stack((theirs, theirs * subject.astype(np.float32)))
    whole, part = stands_out(fine.field, both, near=5, ring=(14, 60))
    return whole, part


def _residual(maps: FloatArray, seen: FloatArray) -> tuple[float, float]:
    """See `Agreement.residual` and `Agreement.steady`."""
    best, shifts = best_shifts(maps)
    trust = (seen * np.maximum(best - 0.3, 0)).ravel().astype(np.float64)
    total = float(trust.sum())
    if total < 1e-3:
        return math.nan, math.nan
    where = np.column_stack((squares(CELLS).reshape(-1, 2), np.ones(CELLS * CELLS)))
    ridge = 1e-5 * total * np.diag([1, 1, 0.01])
    _, off = robust_fit(where, shifts.reshape(-1, 2), trust, ridge, near=0.7)
    order = np.argsort(off)
    half = int(np.searchsorted(np.cumsum(trust[order]), total / 2))
    return float(off[order[min(half, len(off) - 1)]]), float(trust[off < _STEADY_PX].sum()) / total


def _mean(values: FloatArray, weight: FloatArray) -> float:
    """Weighted mean; NaN where there is next to no weight."""
    total = float(weight.sum())
    return float((values * weight).sum()) / total if total > 1.0 else math.nan


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
