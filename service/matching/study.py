"""Everything that is measured of a listing and an original that lie on each other.

Measured once and for matches that are reported alone; `service.matching.edits` puts it into
words and `service.matching.decide` names the kind by it.

A pure function of its arguments: any thread may call it.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from models.layout import Matrix, UInt8Array
from models.scaling import shrink_to
from models.views import Region
from service.matching import blend, changes, colours, laid, look, neighbours, texture
from service.matching.alignment import alignment, jacobian, upright, usable, visible
from service.matching.changes import Changes
from service.matching.laid import Laid
from service.matching.look import Look
from service.matching.results import Alignment
from service.matching.texture import Texture

BoolArray = NDArray[np.bool_]

_SIDE_PX = 640
"""Longest side of the original that is looked at: that of the previews that the store keeps."""
_FLAT_LEVELS = 24
_RIM = 0.015
_BRIGHTEST, _DARKEST = 250, 5
_DOUBTFUL = 0.25
"""From this share of a changed ground or product on, colours are fitted to the product too."""
_MOST_HIDDEN = 0.4
"""A greater part of the picture is not laid over it; it is another ground."""
_EXPLAINED, _UNEXPLAINED = 0.1, 0.4
"""Colours that leave less than this share changed explain all; more than that, little."""


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """What was measured of one pair.

    Attributes:
        laid: the pair, settled.
        placed: where the original lies in the listing, by the settled map.
        part: what is left of it where a neighbour covers the rest.
        bent: by how much the listing was bent, see `bends.Bend.amount`; 0 when it lies flat.
        stretch: width to height of the original in the listing, beside its own.
        texture: what became of fine detail.
        look: how detail follows the original's.
        changes: what was changed in place.
        mixed: the share of the original where another picture was mixed in; None where none was.
        whole: how the colours were moved; None when next to nothing is visible.
        product: the same of the subject; None when it is too small or fills the picture.
        ground: the same of what surrounds it; None likewise.
        clipped: share of the pixels in which a colour is as bright or as dark as can be, and
            was not.
        framing: share of one even colour in what the listing shows besides, in [0, 1].
    """

    laid: Laid
    placed: Alignment
    part: Region
    bent: float
    stretch: float
    texture: Texture
    look: Look
    changes: Changes
    mixed: float | None
    whole: colours.Shift | None
    product: colours.Shift | None
    ground: colours.Shift | None
    clipped: float
    framing: float


def study(
    listing: UInt8Array,
    original: UInt8Array,
    matrix: Matrix,
    subject: BoolArray,
    original_size: tuple[int, int],
    bent: float = 0.0,
) -> Study | None:
    """Measure a pair.

    Args:
        listing: uint8, shape (h, w, 3); straightened when it is bent.
        original: uint8, shape (H, W, 3), or a reduced copy of it.
        matrix: listing to original, fractional.
        subject: bool, shape (128, 128), the original's subject, stretched.
        original_size: its true width and height in pixels.
        bent: by how much the listing was bent.

    Returns:
        None for a map of no use, or when next to nothing of the original is visible.
    """
    if not usable(matrix) or len(visible(matrix)) < 3:
        return None
    original = shrink_to(original, _SIDE_PX)
    pair = laid.settle(listing, original, matrix)
    if pair.inside.sum() < 64:
        return None
    kept = colours.transfer(colours.Pair.of(pair))
    detail = texture.texture(listing, original, pair.matrix, kept)
    changed = changes.changes(pair, kept, detail, subject)
    product = _fitted(subject, pair.inside)
    if changed.subject > _DOUBTFUL or changed.ground > _DOUBTFUL:
        alone = colours.transfer(colours.Pair.of(pair, ~product))
        again = changes.changes(pair, alone, detail, subject)
        if _explains_more(again, changed, pair.inside):
            kept, changed = alone, again
    part, patches = neighbours.part_left(pair, listing, changed.patches)
    changed = replace(changed, patches=patches)
    placed = alignment(pair.matrix, (listing.shape[1], listing.shape[0]), original_size, part)
    if placed.original_overlap <= 0:
        return None
    covered = np.zeros_like(pair.inside)
    for patch in changed.patches:
        covered |= patch.mask
    whole, own, ground = _shifts(colours.Pair.of(pair, covered), kept, subject)
    return Study(
        laid=pair,
        placed=placed,
        part=part,
        bent=bent,
        stretch=_stretch(pair.matrix, (listing.shape[1], listing.shape[0]), original_size),
        texture=detail,
        look=look.look(pair, product, _hidden(changed)),
        changes=changed,
        mixed=blend.shown_through(pair, changed.mask),
        whole=whole,
        product=own,
        ground=ground,
        clipped=_clipped(pair),
        framing=_framing(listing, pair.matrix, part),
    )


def _explains_more(alone: Changes, whole: Changes, inside: BoolArray) -> bool:
    """Whether colours that were fitted to the product alone are to be believed.

    They explain all of a product that was put before another ground, and more of the picture
    where a product on white has other colours than it had. A bar across the product takes them
    for itself and sets all the rest against them, while those fitted to the picture fit most.
    """
    left, before = (float(each.mask[inside].mean()) for each in (alone, whole))
    if left < before or alone.subject < _EXPLAINED <= whole.subject:
        return True
    better = alone.subject < 0.6 * whole.subject or alone.ground > whole.ground + 0.3
    return better and before > _UNEXPLAINED


def _hidden(changed: Changes) -> BoolArray:
    """What lies under things that nothing shows through; detail can not be followed there."""
    under = np.zeros_like(changed.mask)
    for patch in changed.patches:
        opaque = patch.change == "added" and not patch.through
        if opaque and patch.form == "banner" and patch.area < _MOST_HIDDEN:
            under |= patch.mask
    return under


def _stretch(
    matrix: Matrix, listing_size: tuple[int, int], original_size: tuple[int, int]
) -> float:
    steps = upright(jacobian(matrix, listing_size, original_size))
    wide, high = (float(np.linalg.norm(steps[:, k])) for k in (0, 1))
    return wide / high if high > 1e-9 else 1.0


def _shifts(
    small: colours.Pair, kept: colours.Transfer, subject: BoolArray
) -> tuple[colours.Shift | None, ...]:
    """How the colours moved: of all, of the product, of the ground."""
    on = _fitted(subject, small.seen)
    moved = colours.Moved.of(small, kept)
    return tuple(
        moved.shift(where) if where.sum() >= 64 else None
        for where in (small.seen, small.seen & on, small.seen & ~on)
    )


def _clipped(pair: Laid) -> float:
    """Share of the colours that could still be brighter or darker and now can not."""
    some = (slice(None, None, 2), slice(None, None, 2))
    inside = pair.inside[some]
    ours, theirs = pair.listing[some][inside], pair.original[some][inside]
    bright, dark = theirs < _BRIGHTEST, theirs > _DARKEST
    lost = ((ours >= _BRIGHTEST) & bright) | ((ours <= _DARKEST) & dark)
    open_ = (bright & dark).any(axis=1)
    return float(lost.any(axis=1)[open_].mean()) if open_.any() else 0.0


def _fitted(subject: BoolArray, frame: BoolArray) -> BoolArray:
    """The subject in the size of a frame."""
    h, w = frame.shape
    sized = cv2.resize(subject.astype(np.uint8), (w, h), interpolation=cv2.INTER_NEAREST)
    return np.asarray(sized > 0, dtype=np.bool_)


def _framing(listing: UInt8Array, matrix: Matrix, part: Region) -> float:
    """Share of one even colour in what a listing shows besides the original; 1 for nothing.

    Besides is what lies outside of the upright box around the original, so that the filled
    corners of a turned picture are no frame.
    """
    small = shrink_to(listing, 128)
    h, w = small.shape[:2]
    shown = visible(matrix, part)
    (left, top), (right, bottom) = shown.min(axis=0) - _RIM, shown.max(axis=0) + _RIM
    y, x = (np.arange(h) + 0.5) / h, (np.arange(w) + 0.5) / w
    around = small[~(((y > top) & (y < bottom))[:, None] & ((x > left) & (x < right))[None])]
    if len(around) < 32:
        return 1.0
    off = np.abs(around.astype(np.int16) - np.median(around, axis=0)).max(axis=1)
    return float((off <= _FLAT_LEVELS).mean())
