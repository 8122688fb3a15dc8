"""What was changed in one place: things laid over or taken away, the ground, parts of the product.

After the change of colour and of sharpness that explains most of the picture is made up for,
a place is changed when its colour occurs nowhere near it in the other picture. Asked both
ways, this tells what was added from what is missing, and a pixel or two of misalignment, which
moves an edge but makes no new colour, is no change.

Pure functions of their arguments: any thread may call them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from models.layout import FloatArray, UInt8Array
from service.matching.colours import Transfer
from service.matching.laid import Laid
from service.matching.texture import Texture

BoolArray = NDArray[np.bool_]
Where = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels of the frame; right and bottom are outside."""

_LEVELS = 24.0
"""Grey levels beyond what is near by: JPEG at quality 10 stays below them but for single pixels."""
_REACH = 0.007
"""How far near by is, as a share of the longest side."""
_JOIN = 0.035
"""Changed places this near each other are one thing, as the letters of a word are."""
_LEAST_AREA = 0.0015
_MOST = 4
_RIM, _AT_RIM = 0.03, 0.6
"""A sliver along the rim is where the picture ends: what a turn or a slant leaves empty, or the
page around a picture that was found a little too large."""
_EDGE = 10
_OUTLINED = 0.27
"""Of the patches of cartoons 0.25 or less of the rim is an edge that the original has not, of
emoji, texts and stripes 0.29 or more."""
_FAINT = 0.12
"""What was taken away without a trace leaves less of an outline than this."""
_SMOOTH = 0.6
"""Detail that is left where something was taken away, beside what was there."""
_WHITE, _NEARLY_WHITE = 250, 180


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """One thing that was changed in place.

    Attributes:
        mask: bool, shape (h, w) of the frame: its pixels, and what lies between them.
        box: its bounds in the frame.
        area: share of the frame that `mask` takes.
        change: `added`: something with an outline of its own is there that was not; `removed`:
            something that had one is gone, and what is there now joins its surroundings;
            `repainted`: the outlines are those of the original, and the colours are not.
        form: what it looks like.
        through: whether the original shows through it.
        on_subject: share of it that lies on the product.
    """

    mask: BoolArray
    box: Where
    area: float
    change: Literal["added", "removed", "repainted"]
    form: Literal["text", "banner", "thing"]
    through: bool
    on_subject: float


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Where a laid pair differs beyond colour and sharpness.

    Attributes:
        mask: bool, shape (h, w) of the frame.
        subject: share of the product that differs, in [0, 1].
        bare: the same, leaving out what is under things that were laid over it.
        ground: share of what surrounds it, likewise; NaN when there is none.
        patches: largest first.
    """

    mask: BoolArray
    subject: float
    bare: float
    ground: float
    patches: tuple[Patch, ...]


def changes(laid: Laid, transfer: Transfer, texture: Texture, subject: BoolArray) -> Changes:
    """Find what was changed in place.

    Args:
        laid: the pair, settled.
        transfer: how the colours were changed.
        texture: how fine detail was.
        subject: bool, of any shape, the original's subject, stretched.
    """
    h, w = laid.inside.shape
    ours, theirs = _made_alike(laid, transfer, texture)
    near = 2 * max(1, round(_REACH * max(h, w))) + 1
    more, less = _beyond(ours, theirs, near), _beyond(theirs, ours, near)
    # Sharpening overshoots on both sides of an edge.
    level = _LEVELS * max(1.0, texture.gain) + 1.5 * texture.noise
    rim = np.ones((near, near), np.uint8)
    lies = cv2.erode(laid.inside.astype(np.uint8), rim, borderValue=0) > 0
    mask = (np.maximum(more, less) > level) & lies
    product = cv2.resize(subject.astype(np.uint8), (w, h), interpolation=cv2.INTER_NEAREST) > 0
    deep = 2 * max(2, round(_RIM * max(h, w))) + 1
    inner = cv2.erode(laid.inside.astype(np.uint8), np.ones((deep, deep), np.uint8), borderValue=0)
    found = _patches(mask, np.asarray(inner > 0), ours, theirs, product)
    patches = sorted(found, key=lambda p: -p.area)
    over = np.zeros_like(mask)
    for patch in patches:
        # A band through which the original shows is laid over it too.
        if patch.change == "added" or patch.form == "banner":
            over |= patch.mask
    return Changes(
        mask=mask,
        subject=_share(mask, product & lies),
        bare=_share(mask & ~over, product & lies),
        ground=_share(mask, ~product & lies),
        patches=tuple(patches[:_MOST]),
    )


def _share(mask: BoolArray, among: BoolArray) -> float:
    n = int(among.sum())
    return float(mask[among].mean()) if n >= 64 else math.nan


def _made_alike(laid: Laid, transfer: Transfer, texture: Texture) -> tuple[UInt8Array, UInt8Array]:
    """Give the original the listing's colours and sharpness; smooth both a little."""
    ours, theirs = laid.listing, transfer.apply(laid.original)
    if transfer.brightens:
        # What was too bright to be stored ended as white, wherever the fit thinks it should be.
        lost = (ours >= _WHITE) & (theirs >= _NEARLY_WHITE)
        theirs = np.asarray(np.where(lost, ours, theirs), dtype=np.uint8)
    blur = texture.blur_px * laid.pitch
    soft = 0.7 + (0.5 if texture.noise > 4 else 0.0)
    softer = math.hypot(soft, blur if blur > 0.4 else 0.0)
    return (
        np.asarray(cv2.GaussianBlur(ours, (0, 0), soft), dtype=np.uint8),
        np.asarray(cv2.GaussianBlur(theirs, (0, 0), softer), dtype=np.uint8),
    )


def _beyond(ours: UInt8Array, theirs: UInt8Array, near: int) -> FloatArray:
    """By how many levels each pixel of ours lies outside of the range of theirs near by."""
    kernel = np.ones((near, near), np.uint8)
    above = cv2.subtract(ours, cv2.dilate(theirs, kernel))
    below = cv2.subtract(cv2.erode(theirs, kernel), ours)
    return _most(cv2.max(above, below)).astype(np.float32)


def _most(rgb: MatLike) -> UInt8Array:
    """The greatest of the three channels of each pixel."""
    red, green, blue = cv2.split(rgb)
    return np.asarray(cv2.max(cv2.max(red, green), blue), dtype=np.uint8)


def _patches(
    mask: BoolArray,
    inner: BoolArray,
    ours: UInt8Array,
    theirs: UInt8Array,
    product: BoolArray,
) -> Iterator[Patch]:
    h, w = mask.shape
    side = max(3, 2 * round(_JOIN * max(h, w) / 2) + 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    joined = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    for k in range(1, count):
        left, top, wide, high, area = (int(v) for v in stats[k])
        if area < _LEAST_AREA * h * w or min(wide, high) < 3:
            continue
        part = labels == k
        marked = part & mask
        if marked.sum() < 0.5 * _LEAST_AREA * h * w:
            continue
        if (part & ~inner).sum() >= _AT_RIM * part.sum():
            continue
        through = _through(part, ours, theirs)
        yield Patch(
            mask=part,
            box=(left, top, left + wide, top + high),
            area=area / (h * w),
            change=_change(part, through, ours, theirs),
            form=_form(marked, (left, top, wide, high), (w, h)),
            through=through,
            on_subject=float(product[part].mean()),
        )


def _change(
    part: BoolArray, through: bool, ours: UInt8Array, theirs: UInt8Array
) -> Literal["added", "removed", "repainted"]:
    """Whether a patch is something new, a gap where something was, or another colour."""
    new, gone = _outlined(part, ours, theirs), _outlined(part, theirs, ours)
    if max(new, gone) < _OUTLINED:
        return "repainted"
    # What covers a thing hides its outline too, so only a gap without a seam is a removal.
    seamless = new < _FAINT and not through
    if seamless and _detail(part, ours) < _SMOOTH * _detail(part, theirs):
        return "removed"
    return "added"


def _detail(part: BoolArray, rgb: UInt8Array) -> float:
    """Root mean square of the fine detail within a patch."""
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.sqrt((cv2.Laplacian(luma, cv2.CV_32F)[part] ** 2).mean()))


def _outlined(part: BoolArray, ours: UInt8Array, theirs: UInt8Array) -> float:
    """Share of the rim of a patch that is an edge in our picture and none in theirs."""
    top, left = (int(k.min()) for k in np.nonzero(part))
    bottom, right = (int(k.max()) for k in np.nonzero(part))
    rows, columns = slice(max(0, top - 8), bottom + 9), slice(max(0, left - 8), right + 9)
    small, wide = part[rows, columns].astype(np.uint8), np.ones((5, 5), np.uint8)
    rim = (cv2.dilate(small, wide) - cv2.erode(small, wide)) > 0
    if not rim.any():  # it fills the frame, so that no side of it is in sight
        return 0.0
    near = np.ones((3, 3), np.uint8)
    a, b = (
        _most(cv2.morphologyEx(each[rows, columns], cv2.MORPH_GRADIENT, near))
        for each in (ours, theirs)
    )
    return float((cv2.subtract(a, cv2.dilate(b, wide))[rim] > _EDGE).mean())


def _form(
    marked: BoolArray, bounds: tuple[int, int, int, int], size: tuple[int, int]
) -> Literal["text", "banner", "thing"]:
    left, top, wide, high = bounds
    inner = marked[top : top + high, left : left + wide]
    fill = float(inner.mean())
    if fill > 0.55 and (wide > 0.75 * size[0] or high > 0.75 * size[1]):
        return "banner"
    deep = cv2.distanceTransform(np.pad(inner, 1).astype(np.uint8), cv2.DIST_L2, 3)
    stroke = 4 * float(deep[1:-1, 1:-1][inner].mean())
    return "text" if fill < 0.55 and stroke < 0.35 * min(wide, high) else "thing"


def _through(part: BoolArray, ours: UInt8Array, theirs: UInt8Array) -> bool:
    """Whether the detail of the original still shows within a patch."""
    inner = cv2.erode(part.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    if inner.sum() < 100:
        return False
    a, b = (
        cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).astype(np.float32)[inner] for each in (ours, theirs)
    )
    if b.std() < 6:
        return False
    return bool(np.corrcoef(a, b)[0, 1] > 0.7) if a.std() > 1 else False
