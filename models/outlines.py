"""How sure it is that a rectangle in a picture is the outline of a picture pasted onto it.

Photographs are full of rectangles: shelves, labels, windows, tiles. Each that is taken for a
picture is a picture more to encode, so it has to look like one: its sides are steps along their
whole length and end at its corners, its colours are not those around it, and it is not tiny.
The weights are those of a logistic regression over rectangles in labelled copies and in
pictures that hold none; `python -m scripts.outlines --data DIR` fits them again.

Pure functions of their arguments: any thread may call them.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""

WEIGHTS: Mapping[str, float] = {
    "closed": 5.093,
    "beyond": -3.404,
    "beyond_most": 2.955,
    "size": 2.194,
    "trimmed": -3.288,
    "shared": -6.677,
    "step": 0.03051,
    "step_least": -0.01087,
    "contrast": 0.006402,
    "between": 5.996,
}
CONSTANT = -0.7359

_EDGE_PX = 4
_STRIDE = 4
"""Every so many pixels are looked at in both directions to compare colours."""
_LEVELS = 8
"""Of each colour channel, when colours are counted."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What is measured of a rectangle.

    Attributes:
        closed: how much of its sides is edge, as `models.insets` scores it.
        beyond: how far edges run on beyond its corners, mean of the sides, 0..1.
        beyond_most: the same of the worst side.
        size: natural logarithm of its share of the picture.
        trimmed: share of it that is left when its uniform borders are cut, 0..1.
        shared: share of its colours that are also around it, 0..1.
        step: grey levels across its sides, median along each, mean of those within the picture.
        step_least: the least of them.
        contrast: grey levels from its darkest to its brightest parts, 2 % of the pixels left out.
        between: 1 when it is what lies between two bars of one colour, else 0.
    """

    closed: float
    beyond: float
    beyond_most: float
    size: float
    trimmed: float
    shared: float
    step: float
    step_least: float
    contrast: float
    between: float

    @property
    def probability(self) -> float:
        """That it is the outline of a pasted picture, where one rectangle in thirteen is."""
        return 1 / (1 + math.exp(-CONSTANT - sum(WEIGHTS[k] * v for k, v in asdict(self).items())))


def shared_colours(rgb: UInt8Array, box: Box) -> float:
    """See `Outline.shared`: the intersection of the histograms within and around a rectangle."""
    left, top, right, bottom = (round(side / _STRIDE) for side in box)
    coarse = rgb[::_STRIDE, ::_STRIDE].astype(np.int32) * _LEVELS // 256
    codes = (coarse[..., 0] * _LEVELS + coarse[..., 1]) * _LEVELS + coarse[..., 2]
    within = np.bincount(codes[top:bottom, left:right].ravel(), minlength=_LEVELS**3)
    around = np.bincount(codes.ravel(), minlength=_LEVELS**3) - within
    shares = [each / max(int(each.sum()), 1) for each in (within, around)]
    return float(np.minimum(shares[0], shares[1]).sum())


def steps_across(rgb: UInt8Array, box: Box) -> list[float]:
    """See `Outline.step`; by side within the picture, a single 0 when there is none."""
    left, top, right, bottom = box
    upright = rgb[top:bottom].transpose(1, 0, 2)
    level = rgb[:, left:right]
    steps = []
    for lines, at in ((upright, left), (upright, right), (level, top), (level, bottom)):
        if _EDGE_PX < at < len(lines) - _EDGE_PX:
            near = np.ascontiguousarray(lines[at - 2 : at + 2])
            # The line is known to a pixel: the largest of the three steps is across it.
            steps.append(float(np.median(cv2.absdiff(near[1:], near[:-1]).max(axis=(0, 2)))))
    return steps or [0.0]


def contrast(rgb: UInt8Array) -> float:
    """See `Outline.contrast`."""
    return spread(cv2.cvtColor(np.ascontiguousarray(rgb[::2, ::2]), cv2.COLOR_RGB2GRAY), 0.02)


def spread(luma: NDArray[Any], without: float) -> float:
    """Grey levels from the darkest to the brightest pixel, without a share of them at each end.

    Args:
        luma: uint8, any shape, not empty.
        without: in [0, 0.5).
    """
    below = np.cumsum(np.bincount(luma.ravel(), minlength=256))
    low, high = np.searchsorted(below, below[-1] * np.array([without, 1 - without]))
    return float(high - low)
