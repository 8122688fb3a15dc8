"""What a neighbour covers: in a collage, a picture beside it hides a strip of the original.

The map lays all of the original on the listing, where the next picture, or the gap before it,
already begins. So along one side of the original there is something else from end to end, and
across that side it goes on as if there were no side: the original was cut there, and nothing was
laid over it. A banner ends where the picture does.

Pure functions of their arguments: any thread may call them.
"""

from collections.abc import Sequence
from dataclasses import replace

from models.layout import UInt8Array
from models.views import WHOLE, Region
from service.matching.borders import SEAM, Strip, sampled, seam
from service.matching.changes import Patch
from service.matching.laid import Laid

_RIM = 0.04
"""How near to its sides a strip along a side begins and ends, as a share of the longest side."""
_DEEPEST = 0.6
"""Greatest depth of a strip, as a share of the original."""


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
        if cut is not None and _goes_on(listing, Strip.along(laid.matrix, cut[1])):
            left = cut[0]
        else:
            others.append(patch)
    return left, tuple(others)


def _without(region: Region, patch: Patch) -> tuple[Region, tuple[float, float]] | None:
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
        outward = (-1.0 if at[0] else 1.0, 0.0)
    elif at[0] and at[2] and at[1] != at[3]:
        deep = bottom / h if at[1] else 1 - top / h
        cut = replace(region, **({"top": deep} if at[1] else {"bottom": 1 - deep}))
        outward = (0.0, -1.0 if at[1] else 1.0)
    else:
        return None
    return (cut, outward) if deep <= _DEEPEST and cut.area > 0 else None


def _goes_on(listing: UInt8Array, strip: Strip) -> bool:
    """Whether the listing goes on across a side of the original, and shows no seam there."""
    if strip.shown.mean() <= 0.95:
        return False  # it ends with the listing
    return seam(sampled(listing, strip.at), strip.shown) < SEAM
