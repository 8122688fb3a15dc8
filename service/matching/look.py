"""Whether a picture was processed or drawn anew: does its detail still follow the original's?

Blur, noise, compression and new colours act on the pixels of the original, so what detail is
left still goes up and down with it. A picture that was drawn anew keeps the composition, and
its detail is another's: as strong as before, and unlike. So detail is compared octave by octave.

A pure function of its arguments: any thread may call it.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from models.layout import FloatArray
from service.matching.laid import Laid

_SIGMAS = (0.7, 1.4, 2.8, 5.6)
_WINDOW = 6.0
"""Standard deviation of the neighbourhood in which detail is compared, in pixels of the frame."""
_FLOOR = 0.5


@dataclass(frozen=True, slots=True)
class Look:
    """How detail of three sizes follows the original's, the finest first.

    Attributes:
        follows: correlation around each place, averaged where the original has detail, -1..1.
        strength: root mean square of the listing's detail beside the original's.
    """

    follows: tuple[float, float, float]
    strength: tuple[float, float, float]


def look(laid: Laid) -> Look:
    """Compare the detail of a laid pair."""
    inside = laid.inside.astype(np.float32)
    ours, theirs = (
        cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).astype(np.float32)
        for each in (laid.listing, laid.original)
    )
    a, b = ([cv2.GaussianBlur(each, (0, 0), sigma) for sigma in _SIGMAS] for each in (ours, theirs))
    follows, strength = [], []
    for k in range(3):
        x, y = (a[k] - a[k + 1]) * inside, (b[k] - b[k + 1]) * inside
        xx, yy, xy = (_around(each) for each in (x * x, y * y, x * y))
        agree = xy / np.sqrt((np.maximum(xx, 0) + _FLOOR) * (np.maximum(yy, 0) + _FLOOR))
        weight = np.sqrt(np.maximum(yy, 0)) * inside[::2, ::2]
        follows.append(float((agree * weight).sum() / (weight.sum() + 1e-6)))
        strength.append(float(np.sqrt((x * x).sum() / ((y * y).sum() + 1e-6))))
    return Look((follows[0], follows[1], follows[2]), (strength[0], strength[1], strength[2]))


def _around(values: FloatArray) -> FloatArray:
    """Means around every other pixel, by a box: cheap."""
    side = 2 * round(_WINDOW * 1.7) + 1
    return np.asarray(cv2.blur(values, (side, side))[::2, ::2], dtype=np.float32)
