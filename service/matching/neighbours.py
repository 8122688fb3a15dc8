"""What a neighbour covers: in a collage, a picture beside it hides a strip of the original.

The map lays all of the original on the listing, where the next picture, or the gap before it,
already begins. So along one side of the original there is something else from end to end, and
across that side it goes on as if there were no side: the original was cut there, and nothing was
laid over it. A banner ends where the picture does.

Pure functions of their arguments: any thread may call them.
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from models.layout import Matrix, UInt8Array
from models.views import WHOLE, Region
from service.matching.alignment import project
from service.matching.changes import Patch
from service.matching.laid import Laid

_RIM = 0.04
"""How near to its sides a strip along a side begins and ends, as a share of the longest side."""
_DEEPEST = 0.6
"""Greatest depth of a strip, as a share of the original."""
_LINES, _STEP = 6, 0.004
"""Lines to both sides of a side that are compared with the next, and how far apart they are, as a
share of the original."""
_SEAM_LEVELS, _SEAM = 10.0, 0.6
"""Grey levels that make a step, and the share of a side that has one where a seam is."""
_PLACES = 64


def part_left(
    laid: Laid, listing: UInt8Array, patches: Sequence[Patch]
) -> tuple[Region, tuple[Patch, ...]]:
    """Cut off the strips of an original that its neighbours cover.

    Args:
        laid: the pair, settled.
        listing: uint8, shape (h, w, 3).
        patches: what was changed in place.

    Returns:
        What is left of the original, and the patches that are no such strips.
    """
    left, others = WHOLE, []
    for patch in patches:
        cut = _without(left, patch)
        if cut is not None and _goes_on(laid.matrix, listing, cut[1]):
            left = cut[0]
        else:
            others.append(patch)
    return left, tuple(others)


def _without(region: Region, patch: Patch) -> tuple[Region, Matrix] | None:
    """Cut a strip from the side that it lies along.

    Returns:
        What is left, and the direction to the outside of that side; None for no strip.
    """
    if patch.change != "added" or patch.through:
        return None
    h, w = patch.mask.shape
    rim = _RIM * max(h, w)
    left, top, right, bottom = patch.box
    at = (left <= rim, top <= rim, right >= w - rim, bottom >= h - rim)
    if at[1] and at[3] and at[0] != at[2]:
        deep = right / w if at[0] else 1 - left / w
        cut = replace(region, **({"left": deep} if at[0] else {"right": 1 - deep}))
        outward = np.array([-1.0 if at[0] else 1.0, 0.0])
    elif at[0] and at[2] and at[1] != at[3]:
        deep = bottom / h if at[1] else 1 - top / h
        cut = replace(region, **({"top": deep} if at[1] else {"bottom": 1 - deep}))
        outward = np.array([0.0, -1.0 if at[1] else 1.0])
    else:
        return None
    return (cut, outward) if deep <= _DEEPEST and cut.area > 0 else None


def _goes_on(matrix: Matrix, listing: UInt8Array, outward: Matrix) -> bool:
    """Whether the listing goes on across a side of the original, and shows no seam there."""
    along = np.linspace(0.08, 0.92, _PLACES)
    on = np.full(_PLACES, 0.5 + 0.5 * outward.sum())
    side = np.stack((on, along) if outward[0] else (along, on), axis=1)
    ways = np.arange(-_LINES, _LINES + 1)[:, None, None] * _STEP * outward
    there = project((side + ways).reshape(-1, 2), np.linalg.inv(matrix))
    if ((there > 0) & (there < 1)).all(axis=1).mean() < 0.98:
        return False  # it ends with the listing
    h, w = listing.shape[:2]
    x, y = (
        (there * [w, h] - 0.5).astype(np.float32).reshape(len(ways), _PLACES, 2).transpose(2, 0, 1)
    )
    drawn = cv2.remap(listing, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    steps = np.abs(np.diff(drawn.astype(np.float32), axis=0)).max(axis=-1)
    near = np.abs(np.arange(2 * _LINES) - _LINES + 0.5) < 2  # the map may be a line off
    # A seam is a step in nearly every place, and the greatest there.
    most, beside = steps[near].max(axis=0), steps[~near].max(axis=0)
    return float((most > np.maximum(beside, _SEAM_LEVELS)).mean()) < _SEAM
