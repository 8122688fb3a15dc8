"""Views: the parts of a listing picture that may be an original by themselves.

A thief frames, pads, screenshots or pastes an original onto something else; a global
descriptor of the whole then describes the surroundings. Two cheap looks find such parts: cut
uniform borders (`unframe`), and find pictures within the picture (`models.insets`); a dearer one
finds the subject (`around_subject`), which may have been cut out and put elsewhere. They say
nothing about copies, they only say where to look again.

Pure functions of their arguments: any thread may call them.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.scaling import shrink
from models.subject import subject_mask

UInt8Array = NDArray[np.uint8]

MIN_SIDE_PX = 16
BORDER_TOLERANCE = 14
"""Grey levels by which a uniform border may vary: the ringing of a JPEG around its edge."""
_BORDER_SHARE = 0.02
_FRAMES = 3
"""So many frames within each other are cut at most."""
_SUBJECT_PX = 128
_SUBJECT_RIM = 0.08
_SUBJECT_MOST = 0.7
"""Share of the picture up to which the surroundings of a subject are cut."""


@dataclass(frozen=True, slots=True)
class Region:
    """An upright part of a picture, in fractions of its width and height.

    Attributes:
        score: probability that it is a picture of its own, see `models.outlines`; the whole has 1.
    """

    left: float
    top: float
    right: float
    bottom: float
    score: float = 1.0

    @property
    def area(self) -> float:
        """Share of the picture, in [0, 1]."""
        return (self.right - self.left) * (self.bottom - self.top)

    @property
    def sides(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return self.left, self.top, self.right, self.bottom

    def of(self, rgb: UInt8Array) -> UInt8Array:
        """Cut this region out of a picture; a view, not a copy."""
        h, w = rgb.shape[:2]
        return rgb[
            int(self.top * h) : int(np.ceil(self.bottom * h)),
            int(self.left * w) : int(np.ceil(self.right * w)),
        ]

    def inside(self, outer: "Region") -> "Region":
        """This region, given in fractions of `outer`, in fractions of the picture."""
        w, h = outer.right - outer.left, outer.bottom - outer.top
        return Region(
            outer.left + self.left * w,
            outer.top + self.top * h,
            outer.left + self.right * w,
            outer.top + self.bottom * h,
            outer.score,
        )

    def matrix(self) -> NDArray[np.float64]:
        """Takes fractional coordinates of the picture to those of the region, shape (3, 3)."""
        w, h = self.right - self.left, self.bottom - self.top
        return np.array([[1 / w, 0, -self.left / w], [0, 1 / h, -self.top / h], [0, 0, 1]])

    def overlap(self, other: "Region") -> float:
        """Intersection over union with another region."""
        w = min(self.right, other.right) - max(self.left, other.left)
        h = min(self.bottom, other.bottom) - max(self.top, other.top)
        common = max(w, 0.0) * max(h, 0.0)
        return common / (self.area + other.area - common)


WHOLE = Region(0.0, 0.0, 1.0, 1.0)


def unframe(rgb: UInt8Array) -> Region | None:
    """Cut uniform borders, each side in its own colour, and what borders then come to light.

    A picture that was padded twice, or a letterbox on a page, has one frame within another.

    Returns:
        What is left, or None when there is no border of at least 2 % or nothing would be left.
    """
    left: Region | None = None
    # Grain would leave no line uniform; the median keeps the edges of a border where they are.
    smooth = np.asarray(cv2.medianBlur(np.ascontiguousarray(rgb), 3), dtype=np.uint8)
    for _ in range(_FRAMES):
        inner = _within_frame(smooth if left is None else left.of(smooth))
        if inner is None:
            break
        left = inner if left is None else inner.inside(left)
    return left


def around_subject(rgb: UInt8Array) -> Region | None:
    """The part of a picture that its subject takes, with a rim of ground around it.

    Returns:
        None when no subject stands out, or it takes most of the picture.
    """
    mask = subject_mask(shrink(rgb, (_SUBJECT_PX, _SUBJECT_PX))).astype(np.uint8)
    count, _, boxes, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return None
    x, y, w, h, _ = boxes[1:][boxes[1:, cv2.CC_STAT_AREA].argmax()].tolist()
    rim = _SUBJECT_RIM * max(w, h)
    sides = (x - rim, y - rim, x + w + rim, y + h + rim)
    region = Region(*(min(max(side / _SUBJECT_PX, 0.0), 1.0) for side in sides))
    return region if region.area <= _SUBJECT_MOST else None


def _within_frame(rgb: UInt8Array) -> Region | None:
    """See `unframe`; the outermost frame alone."""
    h, w = rgb.shape[:2]
    if min(h, w) < MIN_SIDE_PX:
        return None
    upright = rgb.transpose(1, 0, 2)
    top, bottom = _uniform_lines(rgb), _uniform_lines(rgb[::-1])
    left, right = _uniform_lines(upright), _uniform_lines(upright[::-1])
    if top + bottom > h - MIN_SIDE_PX or left + right > w - MIN_SIDE_PX:
        return None
    if max(top / h, bottom / h, left / w, right / w) < 0.02:
        return None
    return Region(left / w, top / h, 1 - right / w, 1 - bottom / h)


def _uniform_lines(rgb: UInt8Array) -> int:
    """How many lines from the top on have the colour of the first."""
    reference = np.median(rgb[0], axis=0).astype(np.int16)
    least = tuple(map(int, reference - BORDER_TOLERANCE))
    most = tuple(map(int, reference + BORDER_TOLERANCE))
    start, count = 0, 4  # most pictures have no border: few lines tell
    while start < len(rgb):
        block = np.ascontiguousarray(rgb[start : start + count])
        same = cv2.inRange(block, least, most)
        alike = cv2.reduce(same, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[:, 0] // 255
        found = np.flatnonzero(block.shape[1] - alike > _BORDER_SHARE * block.shape[1])
        if len(found):
            return start + int(found[0])
        start, count = start + count, min(2 * count, 64)
    return len(rgb)
