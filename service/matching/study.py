"""Everything that is measured of a listing and an original that lie on each other.

Measured once and for matches that are reported alone; `service.matching.edits` puts it into
words and `service.matching.decide` names the kind by it.

A pure function of its arguments: any thread may call it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.colour_difference import lab
from models.layout import Matrix, UInt8Array
from service.matching import changes, colours, laid, look, texture
from service.matching.alignment import alignment, usable, visible
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
_DOUBTFUL = 0.25
"""From this share of a changed ground or product on, colours are judged by the product alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """What was measured of one pair.

    Attributes:
        laid: the pair, settled.
        placed: where the original lies in the listing, by the settled map.
        texture: what became of fine detail.
        look: how detail follows the original's.
        changes: what was changed in place.
        whole: how the colours were moved; None when next to nothing is visible.
        product: the same of the subject; None when it is too small or fills the picture.
        ground: the same of what surrounds it; None likewise.
        framing: share of one even colour in what the listing shows besides, in [0, 1].
    """

    laid: Laid
    placed: Alignment
    texture: Texture
    look: Look
    changes: Changes
    whole: colours.Shift | None
    product: colours.Shift | None
    ground: colours.Shift | None
    framing: float


def study(
    listing: UInt8Array,
    original: UInt8Array,
    matrix: Matrix,
    subject: BoolArray,
    original_size: tuple[int, int],
) -> Study | None:
    """Measure a pair.

    Args:
        listing: uint8, shape (h, w, 3).
        original: uint8, shape (H, W, 3), or a reduced copy of it.
        matrix: listing to original, fractional.
        subject: bool, shape (128, 128), the original's subject, stretched.
        original_size: its true width and height in pixels.

    Returns:
        None for a map of no use, or when next to nothing of the original is visible.
    """
    if not usable(matrix) or len(visible(matrix)) < 3:
        return None
    original = laid.reduced(original, _SIDE_PX)
    pair = laid.settle(listing, original, matrix)
    placed = alignment(pair.matrix, (listing.shape[1], listing.shape[0]), original_size)
    if placed.original_overlap <= 0 or pair.inside.sum() < 64:
        return None
    transfer = colours.transfer(colours.Pair.of(pair))
    detail = texture.texture(listing, original, pair.matrix, transfer)
    changed = changes.changes(pair, transfer, detail, subject)
    if changed.subject > _DOUBTFUL or changed.ground > _DOUBTFUL:
        h, w = pair.inside.shape
        besides = cv2.resize(subject.astype(np.uint8), (w, h), interpolation=cv2.INTER_NEAREST) == 0
        kept = colours.transfer(colours.Pair.of(pair, np.asarray(besides)))
        again = changes.changes(pair, kept, detail, subject)
        if again.subject < 0.6 * changed.subject or again.ground > changed.ground + 0.3:
            changed = again
    covered = np.zeros_like(pair.inside)
    for patch in changed.patches:
        covered |= patch.mask
    small = colours.Pair.of(pair, covered)
    h, w = small.seen.shape
    on = cv2.resize(subject.astype(np.uint8), (w, h), interpolation=cv2.INTER_NEAREST) > 0
    ours, theirs = lab(small.listing), lab(small.original)

    def moved(where: BoolArray) -> colours.Shift | None:
        return colours.shift(ours[where], theirs[where]) if where.sum() >= 64 else None

    return Study(
        laid=pair,
        placed=placed,
        texture=detail,
        look=look.look(pair),
        changes=changed,
        whole=moved(small.seen),
        product=moved(small.seen & on),
        ground=moved(small.seen & ~on),
        framing=_framing(listing, pair.matrix),
    )


def _framing(listing: UInt8Array, matrix: Matrix) -> float:
    """Share of one even colour in what a listing shows besides the original; 1 for nothing.

    Besides is what lies outside of the upright box around the original, so that the filled
    corners of a turned picture are no frame.
    """
    small = laid.reduced(listing, 128)
    h, w = small.shape[:2]
    part = visible(matrix)
    (left, top), (right, bottom) = part.min(axis=0) - _RIM, part.max(axis=0) + _RIM
    y, x = (np.arange(h) + 0.5) / h, (np.arange(w) + 0.5) / w
    around = small[~(((y > top) & (y < bottom))[:, None] & ((x > left) & (x < right))[None])]
    if len(around) < 32:
        return 1.0
    off = np.abs(around.astype(np.int16) - np.median(around, axis=0)).max(axis=1)
    return float((off <= _FLAT_LEVELS).mean())
