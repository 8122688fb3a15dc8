"""Where an original lies in a listing picture, worked out from the map between the two.

Polygons are clipped in homogeneous coordinates, so that a strong perspective whose horizon
crosses a picture gives the visible part and no infinite corners.
"""

import math

import numpy as np

from models.layout import Matrix
from models.views import WHOLE, Region
from service.matching.results import Alignment, Point, Quad

_SQUARE = np.array([[0.0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]])
"""The corners of a picture, in homogeneous coordinates."""
_NOWHERE: Quad = ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0))
_NEAR = 1e-4
"""Points this close to the horizon, as a share of the nearest corner's depth, are cut off."""


def usable(matrix: Matrix) -> bool:
    """Whether a map is finite and can be turned round."""
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        return False
    largest = float(np.abs(matrix).max())
    return largest > 1e-9 and abs(float(np.linalg.det(matrix / largest))) > 1e-9


def facing(matrix: Matrix) -> Matrix:
    """The same map with the sign that puts the listing in front of the horizon."""
    return -matrix if float((_SQUARE @ matrix[2]).sum()) < 0 else matrix


def project(points: Matrix, matrix: Matrix) -> Matrix:
    """Map points, shape (n, 2), by a homography; those on the horizon go far away."""
    mapped = np.column_stack((points, np.ones(len(points)))) @ matrix.T
    depth = np.where(np.abs(mapped[:, 2]) < 1e-9, 1e-9, mapped[:, 2])
    return np.asarray(mapped[:, :2] / depth[:, None], dtype=np.float64)


def visible(matrix: Matrix, part: Region = WHOLE) -> Matrix:
    """The part of the listing that the original covers.

    Args:
        matrix: listing to original, usable.
        part: of the original; what lies outside does not count.

    Returns:
        float64, shape (n, 2): a convex polygon in fractions of the listing; n is 0 when the
        original lies outside.
    """
    corners = _of(part) @ np.linalg.inv(facing(matrix)).T
    near = _NEAR * float(np.abs(corners[:, 2]).max())
    planes = ((0, 0, 1, -near), (1, 0, 0, 0), (-1, 0, 1, 0), (0, 1, 0, 0), (0, -1, 1, 0))
    for a, b, c, d in planes:
        corners = _cut(corners, corners @ np.array([a, b, c], dtype=np.float64) + d)
        if len(corners) < 3:
            return np.zeros((0, 2))
    return np.asarray(corners[:, :2] / corners[:, 2:], dtype=np.float64)


def depths(matrix: Matrix) -> Matrix:
    """How far the corners of the visible part are from the eye, one beside the other.

    Args:
        matrix: listing to original, usable.

    Returns:
        float64, shape (n,): 1 for the nearest, all 1 where nothing is seen in perspective;
        empty when the original lies outside.
    """
    corners = project(visible(matrix), facing(matrix))
    seen = np.column_stack((corners, np.ones(len(corners)))) @ np.linalg.inv(facing(matrix)).T[:, 2]
    return np.asarray(seen / seen.min(), dtype=np.float64) if len(seen) else seen


def jacobian(
    matrix: Matrix, listing_size: tuple[int, int], original_size: tuple[int, int]
) -> Matrix:
    """How a small step in the original, in its pixels, shows in the listing, in its pixels.

    Taken in the middle of the visible part.

    Args:
        matrix: listing to original, fractional, usable.
        listing_size: width and height in pixels.
        original_size: likewise.

    Returns:
        float64, shape (2, 2).
    """
    part = visible(matrix)
    middle = part.mean(axis=0) if len(part) else np.array([0.5, 0.5])
    m = facing(matrix)
    x, y, w = m @ np.array([*middle, 1.0])
    w = w if abs(w) > 1e-9 else 1e-9
    rows = np.array([m[0, :2] - x / w * m[2, :2], m[1, :2] - y / w * m[2, :2]]) / w
    if abs(float(np.linalg.det(rows))) < 1e-12:
        return np.eye(2)
    sized = np.diag(listing_size) @ np.linalg.inv(rows) @ np.diag(1 / np.array(original_size))
    return np.asarray(sized, dtype=np.float64)


def alignment(
    matrix: Matrix,
    listing_size: tuple[int, int],
    original_size: tuple[int, int],
    part: Region = WHOLE,
) -> Alignment:
    """Describe a map between two pictures.

    Args:
        matrix: float64, shape (3, 3), listing to original, in fractional coordinates.
        listing_size: width and height in pixels, at least 1.
        original_size: likewise; a reduced picture's size serves as well.
        part: of the original, which the listing shows at most.

    Returns:
        Regions lie within [0, 1]. A map that can not be turned round, or that leaves nothing
        of the original visible, gets overlaps of 0 and empty regions.
    """
    numbers = tuple(float(v) for v in np.asarray(matrix, dtype=np.float64).ravel())
    if not usable(matrix):
        return Alignment(numbers, 0.0, 0.0, False, 0.0, _NOWHERE, _NOWHERE)
    shown = visible(matrix, part)
    if len(shown) < 3:
        return Alignment(numbers, 0.0, 0.0, False, 0.0, _NOWHERE, _NOWHERE)
    steps = jacobian(matrix, listing_size, original_size)
    mirrored = bool(np.linalg.det(steps) < 0)
    there = project(shown, facing(matrix)).clip(0, 1)
    low, high = there.min(axis=0), there.max(axis=0)
    box = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
    return Alignment(
        homography=numbers,
        original_overlap=min(1.0, area(there)),
        listing_overlap=min(1.0, area(shown)),
        mirrored=mirrored,
        rotation_deg=rotation(upright(steps)),
        listing_region=_quad(_corners(matrix, part)),
        original_region=_quad(box),
    )


def upright(steps: Matrix) -> Matrix:
    """A Jacobian with its mirroring, which comes first, undone."""
    return steps @ np.diag([-1.0, 1.0]) if np.linalg.det(steps) < 0 else steps


def rotation(steps: Matrix) -> float:
    """Clockwise turn of an unmirrored Jacobian in degrees, (-180, 180]; stretching aside."""
    angle = math.degrees(math.atan2(steps[1, 0] - steps[0, 1], steps[0, 0] + steps[1, 1]))
    return 180.0 if angle <= -180 + 1e-9 else angle + 0.0


def area(polygon: Matrix) -> float:
    """Area of a polygon, shape (n, 2), in the square of its unit."""
    x, y = polygon.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _cut(corners: Matrix, side: Matrix) -> Matrix:
    """Keep what lies where `side` >= 0 (Sutherland and Hodgman 1974)."""
    kept = []
    for k in range(len(corners)):
        here, there = corners[k - 1], corners[k]
        s, t = float(side[k - 1]), float(side[k])
        if (s < 0) != (t < 0):
            kept.append(here + (there - here) * (s / (s - t)))
        if t >= 0:
            kept.append(there)
    return np.array(kept) if kept else np.zeros((0, 3))


def _of(part: Region) -> Matrix:
    """The corners of a part of a picture."""
    low, high = part.sides[:2], part.sides[2:]
    return _SQUARE * [high[0] - low[0], high[1] - low[1], 1] + [*low, 0]


def _corners(matrix: Matrix, part: Region) -> Matrix:
    """The part's corners in the listing; one behind the horizon goes to the picture's rim."""
    mapped = _of(part) @ np.linalg.inv(facing(matrix)).T
    floor = _NEAR * float(np.abs(mapped[:, 2]).max())
    return np.asarray(mapped[:, :2] / np.maximum(mapped[:, 2:], floor), dtype=np.float64)


def _quad(points: Matrix) -> Quad:
    inside: list[Point] = [(float(x), float(y)) for x, y in points.clip(0, 1) + 0.0]
    return inside[0], inside[1], inside[2], inside[3]
