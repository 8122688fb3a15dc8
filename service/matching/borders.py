"""What a listing shows across the sides of an original that lies in it.

A copy ends where its original ended: beyond is a frame, a page or another picture, and between them
a seam, a step at one line nearly all along the side. Another photograph of the same place has no
seam there; what the original shows goes on, and nobody who had only the original can show that.

All maps take fractional coordinates of the listing to those of the original. Pure functions of
their arguments: any thread may call them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.layout import FloatArray, Matrix, UInt8Array
from service.matching.alignment import project

BoolArray = NDArray[np.bool_]

OUTWARD = ((-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0))
"""The directions out of the four sides of an original: left, right, top, bottom."""
SEAM = 0.6
"""From this share of a side on, steps at one line are a seam."""

_LINES, _STEP = 6, 0.004
"""Lines to both sides of a side, and how far apart they are, as a share of the original: a map may
be off by a few of them."""
_PLACES = 64
_LEVELS, _TIMES = 10.0, 2.0
"""Grey levels that make a step, and how much greater than most others at its place it is."""
_DETAIL_LEVELS = 6.0
"""Grey levels from one place to the next below which nothing tells whether a picture goes on."""
_LEAST, _LEAST_ON_A_SIDE = 16, 12
"""Places that have to be seen."""
_SAME = 0.6
"""Correlation from which the listing shows the original just within its side."""


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """Lines along a side of an original, from within to beyond.

    Attributes:
        at: float64, shape (2 * _LINES + 1, _PLACES, 2), in fractions of the listing.
        within: float64, shape (_PLACES, 2): the first line, in fractions of the original.
        shown: bool, shape (_PLACES,): where all lines lie in the listing.
    """

    at: Matrix
    within: Matrix
    shown: BoolArray

    @staticmethod
    def along(matrix: Matrix, outward: tuple[float, float]) -> "Strip":
        """Draw the lines along the side that lies in a direction."""
        direction = np.array(outward)
        places = np.linspace(0.06, 0.94, _PLACES)
        on = np.full(_PLACES, 0.5 + 0.5 * direction.sum())
        side = np.stack((on, places) if outward[0] else (places, on), axis=1)
        lines = side + np.arange(-_LINES, _LINES + 1)[:, None, None] * _STEP * direction
        there = project(lines.reshape(-1, 2), np.linalg.inv(matrix)).reshape(lines.shape)
        shown = ((there > 0) & (there < 1)).all(axis=(0, 2))
        return Strip(there, lines[0], np.asarray(shown, dtype=np.bool_))


def sampled(picture: UInt8Array, at: Matrix) -> FloatArray:
    """The levels of a picture, uint8, shape (h, w, 3), at fractional coordinates.

    Args:
        at: float64, shape (lines, places, 2).

    Returns:
        float32, shape (lines, places, 3).
    """
    h, w = picture.shape[:2]
    x, y = (np.ascontiguousarray(each) for each in (at * [w, h] - 0.5).astype(np.float32).T)
    drawn = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(drawn.transpose(1, 0, 2), dtype=np.float32)


def seam(levels: FloatArray, where: BoolArray) -> float:
    """The greatest share of some places of a side that have a step between the same lines."""
    most = 0.0
    for apart in (1, 2, 4):  # a blur spreads a seam
        steps = np.abs(levels[apart:] - levels[:-apart]).max(axis=2)
        jumps = (steps > _LEVELS) & (steps > _TIMES * np.median(steps, axis=0))
        if apart == 1:
            jumps = jumps[1:] | jumps[:-1]
        most = max(most, float(jumps[:, where].mean(axis=1).max()))
    return most


def beyond(listing: Callable[[], UInt8Array], original: UInt8Array, matrix: Matrix) -> float:
    """Whether the scene of an original goes on beyond its sides.

    Args:
        listing: gives it when it is looked at, uint8, shape (h, w, 3); most copies end where
            their listing ends.
        original: uint8, shape (H, W, 3), or stretched.
        matrix: listing to original, usable.

    Returns:
        Share of the places along its sides, where both show the same up to there and there is
        detail to tell by, that have no seam, 0..1; NaN where there are too few.
    """
    seen, on = 0, 0.0
    for outward in OUTWARD:
        strip = Strip.along(matrix, outward)
        if strip.shown.sum() < _LEAST_ON_A_SIDE:
            continue
        levels = sampled(listing(), strip.at)
        where = strip.shown & _detailed(levels)
        count = int(where.sum())
        if count < _LEAST_ON_A_SIDE:
            continue
        theirs = sampled(original, strip.within[None])[0].mean(axis=1)[where]
        if _correlation(levels[0].mean(axis=1)[where], theirs) >= _SAME:
            seen, on = seen + count, on + count * (1 - seam(levels, where))
    return on / seen if seen >= _LEAST else math.nan


def _detailed(levels: FloatArray) -> BoolArray:
    """Where there is detail along the side both within and beyond it, shape (places,)."""
    along = np.abs(np.diff(levels, axis=1, append=levels[:, -1:])).max(axis=2)
    within, out = along[: _LINES - 1].max(axis=0), along[_LINES + 2 :].max(axis=0)
    return np.asarray((within > _DETAIL_LEVELS) & (out > _DETAIL_LEVELS), dtype=np.bool_)


def _correlation(a: FloatArray, b: FloatArray) -> float:
    if min(a.std(), b.std()) < 2.0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
