"""Geometric verification: do the key points of two pictures agree on one map?

One-to-one ratio matches of RootSIFT, then a homography by USAC_MAGSAC (Barath et al. 2020)
that must be sane: it keeps the picture convex and its area within reason. Without these two
rules chance reaches dozens of inliers on different pictures.

Pure functions of their arguments: any thread may call them.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from models.features import FloatArray, LocalFeatures
from models.layout import Matrix
from models.views import Region

RATIO = 0.8
MIN_INLIERS = 5
"""Fewer say nothing: any two pictures share that many by chance."""
_TOLERANCE_PX = 4.0
_AREA_RATIO = (0.02, 50.0)


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A map on which key points of a listing and an original agree.

    Attributes:
        matrix: float64, shape (3, 3), fractional coordinates, listing to original.
        inliers: how many pairs of points agree.
        matches: how many pairs there were.
        listing_points: float32, shape (inliers, 2), fractional.
        original_points: float32, shape (inliers, 2), fractional.
        mirrored: whether it was found on the mirrored listing.
    """

    matrix: Matrix
    inliers: int
    matches: int
    listing_points: FloatArray
    original_points: FloatArray
    mirrored: bool

    def of_part(self, region: Region) -> "Fit":
        """The same fit for the whole listing, when it was found on a part of it."""
        corner = np.array([region.left, region.top], dtype=np.float32)
        size = np.array([region.right, region.bottom], dtype=np.float32) - corner
        return replace(
            self,
            matrix=self.matrix @ region.matrix(),
            listing_points=corner + self.listing_points * size,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """The key points of a listing in both mirrorings, ready to be compared."""

    sides: tuple[LocalFeatures, LocalFeatures]
    rows: tuple[FloatArray, FloatArray]

    @staticmethod
    def of(features: LocalFeatures) -> "Probe":
        """Prepare the features of a listing."""
        mirrored = features.mirrored()
        return Probe((features, mirrored), (features.unit_rows(), mirrored.unit_rows()))


def fit(probe: Probe, original: LocalFeatures) -> Fit | None:
    """Find the map with the most inliers, over both mirrorings.

    Returns:
        None when neither reaches `MIN_INLIERS`.
    """
    if len(original) < MIN_INLIERS or len(probe.sides[0]) < MIN_INLIERS:
        return None
    theirs = original.unit_rows()
    fits = [
        found
        for mirrored in (False, True)
        if (found := _fit(probe.sides[mirrored], probe.rows[mirrored], original, theirs, mirrored))
    ]
    return max(fits, key=lambda found: found.inliers, default=None)


def match(ours: FloatArray, theirs: FloatArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pair descriptors one to one, dropping those whose second best is nearly as good.

    Args:
        ours: float32, shape (n, 128), rows of length 1.
        theirs: float32, shape (m, 128), likewise; m at least 2.

    Returns:
        Indexes into ours and into theirs, of equal length.
    """
    similarity = ours @ theirs.T
    best = similarity.argmax(axis=1)
    every = np.arange(len(ours))
    first = similarity[every, best]
    mutual = similarity.argmax(axis=0)[best] == every
    similarity[every, best] = -1
    second = similarity.max(axis=1)
    # Distances of unit rows: |a - b|^2 = 2 - 2 a.b
    kept = mutual & ((1 - first) < RATIO**2 * (1 - second))
    return np.flatnonzero(kept), best[kept]


def _fit(
    features: LocalFeatures,
    rows: FloatArray,
    original: LocalFeatures,
    theirs: FloatArray,
    mirrored: bool,
) -> Fit | None:
    a, b = match(rows, theirs)
    if len(a) < MIN_INLIERS:
        return None
    source, target = features.points[a], original.points[b]
    matrix, mask = cv2.findHomography(
        source, target, cv2.USAC_MAGSAC, _TOLERANCE_PX, maxIters=2000, confidence=0.999
    )
    if matrix is None or not _sane(matrix.astype(np.float64), features.size, original.size):
        return None
    inside = mask.ravel().astype(bool)
    if inside.sum() < MIN_INLIERS:
        return None
    w, h = features.size
    fractional = (
        np.diag([1 / original.size[0], 1 / original.size[1], 1.0])
        @ matrix.astype(np.float64)
        @ np.diag([w, h, 1.0])
    )
    points = source[inside] / np.array([w, h], dtype=np.float32)
    if mirrored:
        fractional = fractional @ np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]])
        points[:, 0] = 1 - points[:, 0]
    return Fit(
        matrix=fractional,
        inliers=int(inside.sum()),
        matches=len(a),
        listing_points=points.astype(np.float32),
        original_points=(target[inside] / np.array(original.size, dtype=np.float32)).astype(
            np.float32
        ),
        mirrored=mirrored,
    )


def _sane(matrix: NDArray[np.float64], ours: tuple[int, int], theirs: tuple[int, int]) -> bool:
    """Whether a map keeps the picture whole: convex, not turned over, not vanishing."""
    w, h = ours
    corners = np.array([[[0, 0], [w, 0], [w, h], [0, h]]], dtype=np.float32)
    depth = np.array([[0, 0, 1], [w, 0, 1], [w, h, 1], [0, h, 1]]) @ matrix[2]
    if not np.isfinite(matrix).all() or (depth <= 1e-6).any():
        return False
    drawn = cv2.perspectiveTransform(corners, matrix)[0]
    if not cv2.isContourConvex(drawn) or cv2.contourArea(drawn, oriented=True) <= 0:
        return False
    ratio = float(cv2.contourArea(drawn)) / (theirs[0] * theirs[1])
    return _AREA_RATIO[0] < ratio < _AREA_RATIO[1]
