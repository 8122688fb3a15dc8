"""Whether a picture was processed or drawn anew: does its detail still follow the original's?

Blur, noise, compression and new colours act on the pixels of the original, so what detail is
left still goes up and down with it. A picture that was drawn anew keeps the composition, and
its detail is another's: as strong as before, and unlike. So detail is compared octave by octave.

A pure function of its arguments: any thread may call it.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.layout import FloatArray
from service.matching.laid import Laid

BoolArray = NDArray[np.bool_]

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
        product: as `follows`, over the product alone; near 0 where it has no detail.
        ground: the same over what surrounds it.
    """

    follows: tuple[float, float, float]
    strength: tuple[float, float, float]
    product: tuple[float, float, float]
    ground: tuple[float, float, float]


def look(laid: Laid, product: BoolArray, hidden: BoolArray | None = None) -> Look:
    """Compare the detail of a laid pair.

    Args:
        laid: the pair, settled.
        product: bool, shape (h, w) of the frame.
        hidden: bool, likewise, what is left out of the comparison.
    """
    seen = laid.inside if hidden is None else laid.inside & ~hidden
    inside = seen.astype(np.float32)
    ours, theirs = (
        cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).astype(np.float32)
        for each in (laid.listing, laid.original)
    )
    a, b = _octaves(ours), _octaves(theirs)
    own = product[::2, ::2].astype(np.float32)
    follows: list[float] = []
    strength: list[float] = []
    kept: list[float] = []
    beside: list[float] = []
    for k in range(3):
        x, y = (a[k] - a[k + 1]) * inside, (b[k] - b[k + 1]) * inside
        xx, yy, xy = (_around(each) for each in (x * x, y * y, x * y))
        agree = xy / np.sqrt((np.maximum(xx, 0) + _FLOOR) * (np.maximum(yy, 0) + _FLOOR))
        weight = np.sqrt(np.maximum(yy, 0)) * inside[::2, ::2]
        for found, share in (
            (follows, weight),
            (kept, weight * own),
            (beside, weight * (1 - own)),
        ):
            found.append(float((agree * share).sum() / (share.sum() + 1e-6)))
        strength.append(float(np.sqrt((x * x).sum() / ((y * y).sum() + 1e-6))))
    return Look(
        (follows[0], follows[1], follows[2]),
        (strength[0], strength[1], strength[2]),
        (kept[0], kept[1], kept[2]),
        (beside[0], beside[1], beside[2]),
    )


def _octaves(luma: FloatArray) -> list[FloatArray]:
    """The picture smoothed by each of `_SIGMAS`, each made from the one before: cheap."""
    found, done = [luma], 0.0
    for sigma in _SIGMAS:
        rest = math.sqrt(sigma**2 - done**2)
        found.append(np.asarray(cv2.GaussianBlur(found[-1], (0, 0), rest), dtype=np.float32))
        done = sigma
    return found[1:]


def _around(values: FloatArray) -> FloatArray:
    """Means around every other pixel, by a box: cheap."""
    side = 2 * round(_WINDOW * 1.7) + 1
    return np.asarray(cv2.blur(values, (side, side))[::2, ::2], dtype=np.float32)
