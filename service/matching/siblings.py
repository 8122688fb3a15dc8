"""Whether a listing shows what sets an original apart from its siblings.

Prints on one blank shirt, cartons of one range, a mock-up that a hundred shops put their own design
on, the frame and badges that a shop puts around all its pictures: such originals share detail, and
a picture of any of them agrees with all. What they share belongs to none of them. So an original is
compared with each sibling first; where the sibling does not agree is the original's own, and there
the listing must agree as it does elsewhere.

Pure functions of their arguments: any thread may call them.
"""

import math
from collections.abc import Iterable

import cv2
import numpy as np

from models.layout import FloatArray

_WINDOW_PX = 15
"""Side of the neighbourhood in which edges are compared, in pixels of `FINE_SIDE_PX`: a logo on a
shirt fills it."""
_REACH_PX = 2
"""Edges count as met within so many pixels."""
_STEP_PX = 4
_SHARED, _OWN = 0.7, 0.4
"""From this agreement on detail is a sibling's, too; below that one it is the original's own."""
_SIBLING = 0.2
"""Share of its detail that an original has in common with a sibling, as two pictures in one frame
do. Two round fruits on white have more; what is asked for next tells them apart all the same."""
_PLAIN = 0.75
"""The original's own detail counts where it is as strong as this share of what is common. A faint
texture is the first thing that noise hides, and then nothing speaks against a copy."""
_BESIDE = 0.7
"""Likewise beside the sibling's at the same place. What is laid over a sibling hides nothing of the
original's own, and a badge on the one must not excuse every badge that is laid there."""
_LEAST_OWN = 0.01
"""Share of the detail that is its own from which it says whose a picture is. Less is noise, and
what differs in colour alone."""
ABSENT = 0.5
"""Where a listing shows less than this share of what sets an original apart, that is not there; no
copy that was measured shows less, see `scripts/known.py`."""
_LEAST_SEEN = 0.5
"""Agreement of what is shared below which nothing of the detail can be followed."""


def own_detail(
    ours: FloatArray, inside: FloatArray, original: FloatArray, siblings: Iterable[FloatArray]
) -> list[float]:
    """How much of an original's own detail a listing shows, beside what it shows of the rest.

    Args:
        ours: float32, shape (2, FINE_SIDE_PX, FINE_SIDE_PX): the edges of the listing where it was
            laid on the original, see `models.layout.gradient_field`.
        inside: float32, shape (FINE_SIDE_PX, FINE_SIDE_PX): 1 where the listing lies.
        original: the edges of the original, as `ours`.
        siblings: likewise those of other originals, as they are.

    Returns:
        For each sibling, of what sets the original apart from it, in [0, 1]; NaN where it is no
        sibling by its detail, or sets nothing apart that the listing covers.
    """
    seen = inside[::_STEP_PX, ::_STEP_PX]
    agreement: FloatArray | None = None
    shares = []
    for sibling in siblings:
        shares.append(math.nan)
        alike, weight, strength = _agreement(sibling, original)
        total = float(weight.sum()) + 1e-6
        common = weight * (alike >= _SHARED)
        if float(common.sum()) < _SIBLING * total:
            continue
        shared = common * seen
        plain = weight >= np.maximum(_BESIDE * strength, _PLAIN * _mean(weight, shared))
        own = weight * seen * (plain & (alike < _OWN))
        if float(own.sum()) < _LEAST_OWN * total:
            continue
        if agreement is None:
            agreement, _, _ = _agreement(ours, original)
        follows = _mean(agreement, shared)
        if follows >= _LEAST_SEEN:
            shares[-1] = min(1.0, max(0.0, _mean(agreement, own) / follows))
    return shares


def _mean(values: FloatArray, weight: FloatArray) -> float:
    return float((values * weight).sum()) / (float(weight.sum()) + 1e-6)


def _agreement(ours: FloatArray, theirs: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Correlate edges around every fourth pixel.

    Returns:
        The correlation, -1..1, how much edge theirs has there, and how much ours.
    """
    h, w = theirs.shape[1:]
    padded = np.pad(ours, ((0, 0), (_REACH_PX, _REACH_PX), (_REACH_PX, _REACH_PX)))
    best = np.full((-(-h // _STEP_PX), -(-w // _STEP_PX)), -np.inf, np.float32)
    for dy in range(2 * _REACH_PX + 1):
        for dx in range(2 * _REACH_PX + 1):
            moved = padded[:, dy : dy + h, dx : dx + w]
            np.maximum(best, _around((moved * theirs).sum(axis=0)), out=best)
    power, weight = (_around((each * each).sum(axis=0)) for each in (ours, theirs))
    length = np.sqrt(np.maximum(power, 3e-3) * np.maximum(weight, 3e-3))
    return np.asarray(best / length, dtype=np.float32), weight, power


def _around(values: FloatArray) -> FloatArray:
    """Means around every fourth pixel."""
    means = cv2.boxFilter(values, cv2.CV_32F, (_WINDOW_PX, _WINDOW_PX))
    return np.asarray(means[::_STEP_PX, ::_STEP_PX], dtype=np.float32)
