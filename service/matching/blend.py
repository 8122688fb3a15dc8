"""Whether another picture was mixed into a listing, with the original showing through.

A mixture is a share of the original plus something else, in every place: the original's edges
are all still there, weakened alike, and taking that share of the original away leaves a
picture. Where a background was replaced or a picture was drawn anew, edges are missing; where
only the contrast was lowered, nothing is left over.

Pure functions of their arguments: any thread may call them.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.layout import FloatArray, UInt8Array
from service.matching.laid import Laid

BoolArray = NDArray[np.bool_]

_LEAST_CHANGED = 0.04
"""Share of the picture that differs: less is a thing that was laid on in one place."""
_SHARES = (0.3, 0.92)
_WITHIN = 0.8
"""The greatest share that can be taken away, beside the one that the edges show."""
_ALIKE = 0.2
"""Edges in changed places and in others are weakened alike to within this."""
_PEAK = 0.3
"""Least part of the edges that are weakened by nearly the same."""
_SIGMA = 1.2
_FAINT = 30.0
_LEAST_PX = 40
_SLACK = 6.0
"""Grey levels by which compression may break the bounds of a mixture."""


def shown_through(laid: Laid, changed: BoolArray) -> float | None:
    """The share of the original in a mixture.

    Args:
        laid: the pair, settled.
        changed: bool, shape (h, w) of the frame: where it differs beyond colour and sharpness.

    Returns:
        In (0, 1); None when nothing was mixed in.
    """
    near = np.ones((7, 7), np.uint8)
    lies = cv2.erode(laid.inside.astype(np.uint8), near, borderValue=0) > 0
    if not lies.any() or changed[lies].mean() < _LEAST_CHANGED:
        return None
    (ax, ay), (bx, by) = _slopes(laid.listing), _slopes(laid.original)
    power = (bx * bx + by * by).sum(axis=2)
    edges = lies & (power > max(_FAINT, 0.3 * float(np.percentile(power[lies], 90))))
    within, beside = edges & changed, edges & ~changed
    if min(within.sum(), beside.sum()) < _LEAST_PX:
        return None
    kept = (ax * bx + ay * by).sum(axis=2) / np.maximum(power, 1e-6)
    share, inner, outer = (float(np.median(kept[each])) for each in (edges, within, beside))
    if not _SHARES[0] <= share <= _SHARES[1] or abs(inner - outer) > _ALIKE * share:
        return None
    peak = float((np.abs(kept[edges] - share) < max(0.12, 0.15 * share)).mean())
    most = _most(laid.listing[lies], laid.original[lies])
    return share if peak >= _PEAK and _WITHIN * share <= most <= _SHARES[1] else None


def _most(ours: UInt8Array, theirs: UInt8Array) -> float:
    """The greatest share of the original that can be taken away, leaving colours that exist."""
    a, b = ours.astype(np.float32), theirs.astype(np.float32)
    bright, dark = b > 40, b < 215
    above = np.where(bright, (a + _SLACK) / np.where(bright, b, 1), 9.0)
    below = np.where(dark, (255 - a + _SLACK) / np.where(dark, 255 - b, 1), 9.0)
    return float(np.percentile(np.minimum(above, below).min(axis=1), 2))


def _slopes(rgb: UInt8Array) -> tuple[FloatArray, FloatArray]:
    smooth = cv2.GaussianBlur(rgb.astype(np.float32), (0, 0), _SIGMA)
    x, y = (
        cv2.Sobel(smooth, cv2.CV_32F, 1 - k, k, ksize=1, scale=0.5).astype(np.float32)
        for k in (0, 1)
    )
    return x, y
