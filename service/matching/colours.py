"""How colours were changed, in differences that a person sees.

`Transfer` is the one change of colour that explains most of the picture: an affine map of
sRGB, which brightness, contrast, saturation, hue, grey and fading all are. What it leaves
unexplained was changed in one place only, and is `service.matching.changes`'s business.

Pure functions of their arguments: any thread may call them.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.colour_difference import delta_e_2000, lab
from models.layout import UInt8Array
from service.matching.laid import Laid

BoolArray = NDArray[np.bool_]
Array = NDArray[np.float64]

_SIDE_PX = 48
_ROUNDS = 12
_LEVELS = 10.0
"""Grey levels by which a pixel may be off before it counts little in the fit."""
_CHROMA = 10.0
"""From this chroma on a pixel has a hue that a person names."""
_BRIGHTER = 6.0
_LEAST = 48
"""Fewer pixels than this say nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Transfer:
    """A change of colour: listing = original @ slope + offset, in levels of 0..255.

    Attributes:
        slope: float64, shape (3, 3).
        offset: float64, shape (3,).
    """

    slope: Array
    offset: Array

    @property
    def brightens(self) -> bool:
        """Whether grey becomes a brighter grey."""
        grey = np.full(3, 128.0)
        return bool((grey @ self.slope + self.offset).mean() > 128 + _BRIGHTER)

    def apply(self, rgb: UInt8Array) -> UInt8Array:
        """The colours that the listing would have, uint8, of the same shape."""
        matrix = np.column_stack((self.slope.T, self.offset))
        # OpenCV rounds and clips.
        return np.asarray(cv2.transform(rgb, matrix), dtype=np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """The two pictures, small: uint8, shape (h, w, 3), and bool (h, w) where both show."""

    listing: UInt8Array
    original: UInt8Array
    seen: BoolArray

    @staticmethod
    def of(laid: Laid, changed: BoolArray | None = None) -> "Pair":
        """Shrink a laid pair, leaving out what lies outside and what was changed in place."""
        h, w = laid.inside.shape
        factor = min(1.0, _SIDE_PX / max(h, w))
        size = (max(1, round(w * factor)), max(1, round(h * factor)))
        ours, theirs = (
            np.asarray(cv2.resize(each, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
            for each in (laid.listing, laid.original)
        )
        kept = laid.inside if changed is None else laid.inside & ~changed
        share = cv2.resize(kept.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        return Pair(ours, theirs, np.asarray(share > 0.9, dtype=np.bool_))


def transfer(pair: Pair) -> Transfer:
    """Fit the change of colour that explains the most, robustly."""
    ours = pair.listing[pair.seen].astype(np.float64)
    theirs = pair.original[pair.seen].astype(np.float64)
    slope, offset = np.eye(3), np.zeros(3)
    if len(ours) < _LEAST:
        return Transfer(slope, offset)
    # A value that was clipped tells only that it is at least as bright, or as dark.
    bright, dark = ours >= 254, ours <= 1
    rows = np.column_stack((theirs, np.full(len(theirs), 255.0)))
    # Little ridge towards no change: a picture with one colour must not turn the others.
    ridge = np.diag([30.0, 30.0, 30.0, 3.0]) ** 2
    still = np.vstack((np.eye(3), np.zeros(3)))
    off = np.linalg.norm(ours - theirs, axis=1)
    off = np.abs(off - np.median(off))
    target = ours
    for _ in range(_ROUNDS):
        weight = 1 / (1 + (off / _LEVELS) ** 2)
        weighted = weight[:, None] * rows
        fit = np.linalg.solve(rows.T @ weighted + ridge, weighted.T @ target + ridge @ still)
        made = rows @ fit
        met = (bright & (made > ours)) | (dark & (made < ours))
        target = np.where(met, made, ours)
        off = np.linalg.norm(target - made, axis=1)
    return Transfer(fit[:3], fit[3] * 255.0)


@dataclass(frozen=True, slots=True)
class Shift:
    """How the colours of some pixels were moved, on the average.

    Attributes:
        delta_e: mean CIEDE2000.
        common: the part of it that one change of all colours explains: mean CIEDE2000 between
            the original and the original so changed. Compression, noise and detail that is a
            little off move colours to and fro, and leave this small.
        apart: mean CIEDE2000 between the listing and the original so changed.
        chromatic: the same between the two with their lightness made equal.
        lightness: L* of the listing less that of the original, -100..100.
        contrast: spread of L* beside the original's.
        chroma: beside the original's, over its coloured pixels; 1 where it has none.
        hue_deg: turn of the hue, -180..180, 0 where there is no colour.
        colourful: mean chroma of the original's most coloured tenth.
        left: mean chroma of the listing there.
    """

    delta_e: float
    common: float
    apart: float
    chromatic: float
    lightness: float
    contrast: float
    chroma: float
    hue_deg: float
    colourful: float
    left: float


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """The colours of a pair, pixel by pixel: CIELAB, shape (h, w, 3), and CIEDE2000, (h, w).

    Attributes:
        ours: of the listing.
        theirs: of the original.
        delta_e: between the two.
        chromatic: the same with their lightness made equal.
        common: between the original and the original with its colours changed as one.
        apart: between the listing and the latter.
    """

    ours: Array
    theirs: Array
    delta_e: Array
    chromatic: Array
    common: Array
    apart: Array

    @staticmethod
    def of(pair: Pair, change: Transfer) -> "Moved":
        """Measure every pixel of a pair."""
        ours, theirs, made = (
            lab(each).astype(np.float64)
            for each in (pair.listing, pair.original, change.apply(pair.original))
        )
        level = np.concatenate((theirs[..., :1], ours[..., 1:]), axis=-1)
        return Moved(
            ours,
            theirs,
            delta_e_2000(ours, theirs),
            delta_e_2000(level, theirs),
            delta_e_2000(made, theirs),
            delta_e_2000(ours, made),
        )

    def shift(self, where: BoolArray) -> Shift:
        """Average over some pixels.

        Args:
            where: bool, shape (h, w), at least one is True.
        """
        ours, theirs = self.ours[where], self.theirs[where]
        a, b = (each[:, 1] + 1j * each[:, 2] for each in (ours, theirs))
        chroma_ours, chroma_theirs = np.abs(a), np.abs(b)
        coloured = chroma_theirs > _CHROMA
        turn = (a * b.conj())[coloured & (chroma_ours > _CHROMA / 2)]
        most = chroma_theirs >= np.percentile(chroma_theirs, 90)
        spread = float(theirs[:, 0].std())
        return Shift(
            delta_e=float(self.delta_e[where].mean()),
            common=float(self.common[where].mean()),
            apart=float(self.apart[where].mean()),
            chromatic=float(self.chromatic[where].mean()),
            lightness=float((ours[:, 0] - theirs[:, 0]).mean()),
            contrast=float(ours[:, 0].std()) / spread if spread > 2 else 1.0,
            chroma=float(chroma_ours[coloured].mean() / chroma_theirs[coloured].mean())
            if coloured.sum() >= 0.02 * len(ours)
            else 1.0,
            hue_deg=math.degrees(float(np.angle(turn.sum()))) if len(turn) else 0.0,
            colourful=float(chroma_theirs[most].mean()),
            left=float(chroma_ours[most].mean()),
        )
