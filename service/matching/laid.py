"""A listing laid on an original exactly, at the lower resolution of the two.

Verification lays them on each other well enough to recognise a copy. To say what was changed,
pixels must meet pixels, so the map is settled once more by dense optical flow (Kroeger et al.
2016, DIS), to which one map of the plane is fitted robustly. What moved by itself, a part or a
sticker, does not follow that map and shows as a difference.

All maps take fractional coordinates of the listing to fractional coordinates of the original.
Pure functions of their arguments: any thread may call them.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models import layout
from models.layout import FloatArray, Matrix, UInt8Array
from models.scaling import shrink
from service.matching.alignment import jacobian, usable

BoolArray = NDArray[np.bool_]

SIDE_PX = 288
"""Longest side on which contents are compared; every edit that a person sees shows there."""
_LEAST_PX = 32
_FLOW_PX = 176
_LEAST_FLOW_PX = 32
"""Shortest side of what flow is asked for. OpenCV chooses its pyramid for less than that by the
width alone, and reads beyond the picture where the height is that of a strip."""
_STEP_PX = 6
"""Flow is read at a grid of this step."""
_NEAR_PX = 1.5
_PERSPECTIVE_GAIN = 0.85
"""A homography is believed over an affine map when it leaves this much of the error or less."""
_ROUNDS = 3
_SETTLED_PX = 0.15
"""Flow this small is its own error."""


@dataclass(frozen=True, slots=True, eq=False)
class Laid:
    """Both pictures in the frame of the original.

    Attributes:
        matrix: the map, settled.
        listing: uint8, shape (h, w, 3), drawn in the original's frame.
        original: uint8, shape (h, w, 3).
        inside: bool, shape (h, w): where the listing lies.
        scale: pixels of the listing for each pixel of the original, as the original was given.
        pitch: pixels of the frame for each pixel of the listing.
    """

    matrix: Matrix
    listing: UInt8Array
    original: UInt8Array
    inside: BoolArray
    scale: float
    pitch: float


def lay(
    listing: UInt8Array,
    original: UInt8Array,
    matrix: Matrix,
    side: int = SIDE_PX,
    share: float = 1.0,
) -> Laid:
    """Draw both in the original's frame.

    Args:
        listing: uint8, shape (h, w, 3).
        original: uint8, shape (H, W, 3).
        matrix: usable.
        side: the frame's longest side, at most.
        share: the frame's resolution is at most this share of the lower one's.
    """
    frame = Frame.of(listing, original, matrix, side, share)
    return frame.laid(listing, matrix)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """The original at the resolution at which the two are compared; see `Laid`."""

    original: UInt8Array
    scale: float
    pitch: float

    @staticmethod
    def of(
        listing: UInt8Array, original: UInt8Array, matrix: Matrix, side: int, share: float
    ) -> "Frame":
        """Choose the resolution; the arguments are those of `lay`."""
        h, w = original.shape[:2]
        steps = jacobian(matrix, (listing.shape[1], listing.shape[0]), (w, h))
        scale = float(np.sqrt(abs(np.linalg.det(steps))))
        finest = float(np.linalg.svd(steps, compute_uv=False)[1])
        longest = max(_LEAST_PX, min(side, max(h, w) * share * min(1.0, finest)))
        size = (max(1, round(w * longest / max(h, w))), max(1, round(h * longest / max(h, w))))
        pitch = longest / max(h, w) / max(scale, 1e-6)
        return Frame(shrink(original, size), scale, pitch)

    def laid(self, listing: UInt8Array, matrix: Matrix) -> Laid:
        """Draw the listing in it."""
        h, w = self.original.shape[:2]
        ours, inside = drawn(listing, matrix, (w, h), self.pitch)
        return Laid(matrix, ours, self.original, inside, self.scale, self.pitch)


def drawn(
    listing: UInt8Array, matrix: Matrix, size: tuple[int, int], factor: float
) -> tuple[UInt8Array, BoolArray]:
    """Draw a listing in a frame of `size`; `factor` is frame pixels for each of its own."""
    listing = _fine_enough(listing, factor)
    h, w = listing.shape[:2]
    pixels = layout.pixel_map(matrix, (w, h), size)
    ours = cv2.warpPerspective(
        listing, pixels, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    inside = cv2.warpPerspective(
        np.full((h, w), 255, np.uint8), pixels, size, flags=cv2.INTER_LINEAR
    )
    inside = cv2.erode(inside, np.ones((3, 3), np.uint8), borderValue=255)
    return np.asarray(ours, dtype=np.uint8), np.asarray(inside == 255, dtype=np.bool_)


def _fine_enough(listing: UInt8Array, factor: float) -> UInt8Array:
    """A listing to be drawn at `factor`; reduced by area first, so that texture does not alias."""
    if factor >= 0.8:
        return listing
    h, w = (max(1, round(n * factor)) for n in listing.shape[:2])
    return shrink(listing, (w, h))


def settle(listing: UInt8Array, original: UInt8Array, matrix: Matrix) -> Laid:
    """Lay a listing on an original exactly, beginning with the map that verification found.

    Args:
        listing: uint8, shape (h, w, 3).
        original: uint8, shape (H, W, 3).
        matrix: usable.

    Returns:
        With the settled map; with the given one where the flow finds none that is better.
    """
    first = Frame.of(listing, original, matrix, SIDE_PX, 1.0)
    small = _fine_enough(listing, first.pitch)  # serves for all that follows
    best, seen = matrix, lay(small, first.original, matrix, _FLOW_PX)
    ours, theirs, inside = _flat(seen.listing), _flat(seen.original), seen.inside
    negative = _opposite(ours, theirs, inside)
    ours = 255 - ours if negative else ours
    error = _apart(ours, theirs, inside)
    for _ in range(_ROUNDS):
        step = _step(ours, theirs, inside)
        if step is None:
            break
        h, w = theirs.shape
        found = np.diag([1 / w, 1 / h, 1.0]) @ step @ np.diag([w, h, 1.0]) @ best
        if not usable(found):
            break
        again, inside = drawn(small, found, (w, h), seen.pitch)
        ours = 255 - _flat(again) if negative else _flat(again)
        left = _apart(ours, theirs, inside)
        if left >= error:
            break
        done = left > 0.95 * error
        best, error = found / found[2, 2], left
        if done:
            break
    h, w = first.original.shape[:2]
    shown, inside = drawn(small, best, (w, h), 1.0)
    return Laid(best, shown, first.original, inside, first.scale, first.pitch)


def _step(ours: UInt8Array, theirs: UInt8Array, inside: BoolArray) -> Matrix | None:
    """The map, in pixels of the frame, that brings the listing onto the original.

    Returns:
        None where nothing is off, or too little can be followed.
    """
    h, w = theirs.shape
    flow = _flow(theirs, ours)
    y, x = np.mgrid[_STEP_PX // 2 : h : _STEP_PX, _STEP_PX // 2 : w : _STEP_PX]
    edges = cv2.morphologyEx(theirs, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8))
    moved = flow[y, x]
    told = (edges[y, x] > 40) & inside[y, x] & (np.abs(moved).max(axis=2) < 0.06 * max(h, w))
    if told.sum() < 24:
        return None
    target = np.stack((x[told], y[told]), axis=1).astype(np.float32)
    source = target + moved[told]
    if float(np.median(np.linalg.norm(moved[told], axis=1))) < _SETTLED_PX:
        return None
    affine, kept = cv2.estimateAffine2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=_NEAR_PX, maxIters=200
    )
    if affine is None or kept.mean() < 0.3:
        return None
    full: Matrix = np.vstack((affine, [0, 0, 1])).astype(np.float64)
    bent, also = cv2.findHomography(source, target, cv2.RANSAC, _NEAR_PX, maxIters=200)
    if bent is not None and also.mean() >= kept.mean():
        straight, curved = (_off(source, target, np.asarray(m, np.float64)) for m in (full, bent))
        if curved < _PERSPECTIVE_GAIN * straight and straight - curved > 0.1:
            full = np.asarray(bent, dtype=np.float64)
    return full


def _flow(start: UInt8Array, end: UInt8Array) -> FloatArray:
    """By how much each pixel moved, float32, shape (h, w, 2), to the right and down."""
    h, w = start.shape
    down, right = max(0, _LEAST_FLOW_PX - h), max(0, _LEAST_FLOW_PX - w)
    a, b = (
        cv2.copyMakeBorder(each, 0, down, 0, right, cv2.BORDER_REPLICATE) for each in (start, end)
    )
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = dis.calc(a, b, np.zeros((*a.shape, 2), np.float32))
    return np.asarray(flow[:h, :w], dtype=np.float32)


def _apart(ours: UInt8Array, theirs: UInt8Array, inside: BoolArray) -> float:
    """Mean difference of two evened pictures where both lie; all the rest counts as apart."""
    off = np.minimum(cv2.absdiff(ours, theirs), 64)
    return float(np.where(inside, off, 48).mean())


def _off(source: FloatArray, target: FloatArray, matrix: Matrix) -> float:
    mapped = cv2.perspectiveTransform(source[:, None], matrix)[:, 0]
    return float(np.median(np.linalg.norm(mapped - target, axis=1)))


def _opposite(ours: UInt8Array, theirs: UInt8Array, inside: BoolArray) -> bool:
    """Whether one of two evened pictures is, as a whole, the negative of the other."""
    a, b = (each.astype(np.float32) - 128 for each in (ours, theirs))
    return float((a * b * inside).sum()) < 0


def _flat(rgb: UInt8Array) -> UInt8Array:
    """Luma with its local mean and contrast evened out, so that recolouring does not move it."""
    plain = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = cv2.GaussianBlur(plain, (0, 0), 8)
    spread = cv2.GaussianBlur((plain - mean) ** 2, (0, 0), 8)
    return np.clip(128 + 48 * (plain - mean) / np.sqrt(spread + 64), 0, 255).astype(np.uint8)
