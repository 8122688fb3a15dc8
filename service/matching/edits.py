"""What was done to an original, measured from the pair when it is laid on each other.

The thresholds are set so that a picture that was only encoded anew shows no edit. An edit is
reported where it can be measured and left out where it can not.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from models.colour_difference import delta_e_2000, lab
from models.layout import UInt8Array
from service.matching import dense
from service.matching.alignment import alignment, jacobian, usable
from service.matching.results import Alignment, Edit, EditType

__all__ = ["alignment", "find_edits"]

BoolArray = NDArray[np.bool_]
_SIDE_PX = 128
_GREY_CHROMA = 3.0
_COLOURFUL_CHROMA = 8.0


def find_edits(
    listing: UInt8Array,
    original: UInt8Array,
    placed: Alignment,
    agreement: dense.Agreement,
    subject: BoolArray,
    restyled: bool,
) -> tuple[Edit, ...]:
    """List the edits between an original and a listing.

    Args:
        listing: uint8, shape (h, w, 3).
        original: uint8, shape (H, W, 3), of any size.
        placed: where the original lies in the listing.
        agreement: of the two under the same map.
        subject: bool, shape (128, 128), the original's subject, stretched.
        restyled: whether the picture was drawn anew; its colours then say nothing more.

    Returns:
        Geometry first, then colours, then content. Empty for a map of no use.
    """
    matrix = np.array(placed.homography, dtype=np.float64).reshape(3, 3)
    if not usable(matrix) or placed.original_overlap <= 0:
        return ()
    sizes = (listing.shape[1], listing.shape[0]), (original.shape[1], original.shape[0])
    found = _geometry(placed, jacobian(matrix, *sizes))
    drawn, inside = dense.lay(listing, matrix, _SIDE_PX)
    flat = np.asarray(
        cv2.resize(original, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA), dtype=np.uint8
    )
    seen = inside > 0
    if seen.sum() < 64:
        return tuple(found)
    if restyled:
        found.append(Edit(EditType.RESTYLED, 1.0, "drawn anew: same composition, another look"))
    else:
        found += _colours(drawn, flat, seen, subject)
        found += _sharpness(drawn, flat, seen)
    if agreement.subject_edges - agreement.ground_edges > 0.3:
        found.append(
            Edit(
                EditType.BACKGROUND_REPLACED,
                agreement.subject_edges - agreement.ground_edges,
                "background replaced, subject kept",
            )
        )
    return tuple(found)


def _geometry(placed: Alignment, steps: NDArray[np.float64]) -> list[Edit]:
    found = []
    if placed.mirrored:
        found.append(Edit(EditType.MIRRORED, 1.0, "mirrored left to right"))
    if abs(placed.rotation_deg) > 2:
        side = "clockwise" if placed.rotation_deg > 0 else "counter-clockwise"
        words = f"turned by {abs(placed.rotation_deg):.0f}° {side}"
        found.append(Edit(EditType.ROTATED, placed.rotation_deg, words))
    if placed.original_overlap < 0.93:
        words = f"cropped to {placed.original_overlap:.0%}"
        found.append(Edit(EditType.CROPPED, placed.original_overlap, words))
    if placed.listing_overlap < 0.5:
        words = f"pasted into another picture, of which it takes {placed.listing_overlap:.0%}"
        found.append(Edit(EditType.EMBEDDED, placed.listing_overlap, words))
    elif placed.listing_overlap < 0.93:
        words = f"framed: it takes {placed.listing_overlap:.0%} of the listing"
        found.append(Edit(EditType.FRAMED, placed.listing_overlap, words))
    wide, high = (float(np.linalg.norm(steps[:, k])) for k in (0, 1))
    if high > 1e-9 and wide > 1e-9 and abs(math.log(wide / high)) > math.log(1.08):
        words = f"stretched: width to height {wide / high:.2f} times the original's"
        found.append(Edit(EditType.STRETCHED, wide / high, words, misleads_buyer=True))
    return found


def _colours(
    drawn: UInt8Array, flat: UInt8Array, seen: BoolArray, subject: BoolArray
) -> list[Edit]:
    ours, theirs = lab(drawn), lab(flat)
    chroma_ours = float(np.hypot(ours[..., 1], ours[..., 2])[seen].mean())
    chroma_theirs = float(np.hypot(theirs[..., 1], theirs[..., 2])[seen].mean())
    if chroma_ours < _GREY_CHROMA and chroma_theirs > _COLOURFUL_CHROMA:
        return [Edit(EditType.GREYSCALE, chroma_theirs, "colours removed")]
    apart = delta_e_2000(ours, theirs)
    mean = float(np.median(apart[seen]))
    found = []
    if mean > 5:
        words = f"recoloured, median ΔE {mean:.0f}"
        found.append(Edit(EditType.RECOLOURED, mean, words))
    on, off = seen & subject, seen & ~subject
    if on.sum() > 64 and off.sum() > 64:
        there, around = float(np.median(apart[on])), float(np.median(apart[off]))
        if there > 12 and there > 2 * around + 5:
            words = f"the product's own colour changed, median ΔE {there:.0f}"
            found.append(Edit(EditType.SUBJECT_RECOLOURED, there, words, misleads_buyer=True))
    return found


def _sharpness(drawn: UInt8Array, flat: UInt8Array, seen: BoolArray) -> list[Edit]:
    def energy(rgb: UInt8Array) -> float:
        luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        return float(np.abs(cv2.Laplacian(luma, cv2.CV_32F))[seen].mean()) + 1e-3

    ratio = energy(drawn) / energy(flat)
    if ratio < 0.45:
        return [Edit(EditType.BLURRED, ratio, f"blurred: {ratio:.0%} of the fine detail is left")]
    if ratio > 2.2:
        words = f"sharpened or noise added: {ratio:.1f} times the fine detail"
        return [Edit(EditType.SHARPENED, ratio, words)]
    return []
