"""Bends: a listing that no map of the plane lays on its original, and a smooth one does.

A lens, a curled page that was photographed, waves or a swirl from an editor move the detail of a
picture each by its own way, smoothly and without losing any. So where key points agree and places
lie beside the one map, as they do in another photograph of a solid thing, the picture is bent
until its places meet: by cosines (the basis of the DCT, as for deformation fields by Ashburner and
Friston 1999), the broadest first. A copy then agrees nearly everywhere. Another photograph
does not, however it is bent: what is near hides other things, and light falls elsewhere.

Maps take fractional coordinates of the listing to fractional coordinates of the original.
Pure functions of their arguments: any thread may call them.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from models import layout
from models.layout import SIDE_PX, FloatArray, Matrix, UInt8Array
from models.scaling import shrink_to
from service.matching.alignment import project, usable
from service.matching.places import CLOSELY, best_shifts, correlate, robust_fit, squares
from service.matching.poses import CELLS, Canvas, Sheet, cells

STRAIGHT = 0.74
"""Share of the detail that agrees very closely and in its place once a copy is straightened. Of
149 pairs that are none, and lie beside the map, another photograph of the product reaches 0.68 at
most; two shelves of 130 that were photographed twice within seconds have more than this."""
_HOPELESS, _HOPELESS_AFTER = 0.2, 5
"""Where so little does after so many rounds, it does not in the end."""
_DONE = 0.97
_LEAST_SEEN = 0.4
"""A smaller share of the original's detail is laid anywhere by so free a map."""
_WAVES = (3, 3, 4, 5, 6, 7, 8, 8, 8, 8)
"""Cosines along each side, round by round."""
_STIFF = (1e-4, 3e-5)
"""What a round's map is held to nothing by: the same for all, and more for finer cosines."""
_NEAR_PX = 0.7
_IN_PLACE_PX = 1.0
_TRUSTED = 0.3
_GRID = 96
_SIDE_PX = 1280
"""Longest side of what is straightened; it is compared at half of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Bend:
    """How a listing is bent beside the map that lays it on an original.

    Attributes:
        matrix: the map, float64, shape (3, 3).
        waves: float64, shape (n * n + 2, 2): weights of the cosines and of two slopes, by which
            what lies at a place of the original is found beside it, in fractions of its sides.
        amount: the greatest move that no affine map makes, in fractions of the original's sides.
    """

    matrix: Matrix
    waves: Matrix
    amount: float

    def straighten(self, picture: UInt8Array) -> UInt8Array:
        """Draw the listing, or its luma, as if it had not been bent.

        Args:
            picture: uint8, shape (h, w) or (h, w, 3).

        Returns:
            uint8, of the same proportions, longest side at most `_SIDE_PX`.
        """
        picture = shrink_to(picture, _SIDE_PX)
        h, w = picture.shape[:2]
        there = (squares(_GRID).reshape(-1, 2) + 1) / 2
        at = project(there, self.matrix)
        # Beyond the original's sides it goes on as it ends there.
        beside = at + _cosines(2 * at.clip(0, 1) - 1, _count(self.waves)) @ self.waves
        moved = project(beside, np.linalg.inv(self.matrix)) - there
        sized = cv2.resize((moved * [w, h]).reshape(_GRID, _GRID, 2).astype(np.float32), (w, h))
        y, x = np.indices((h, w), dtype=np.float32)
        straight = cv2.remap(
            picture,
            x + sized[..., 0],
            y + sized[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(straight, dtype=np.uint8)


def find(sheet: Sheet, canvas: Canvas, matrix: Matrix) -> Bend | None:
    """Find how a listing was bent.

    Args:
        sheet: the listing.
        canvas: the original.
        matrix: the map that lays the one on the other best.

    Returns:
        None where no bend brings the two together.
    """
    if not usable(matrix):
        return None
    luma = sheet.level(matrix, SIDE_PX)
    waves, straightest = np.zeros((3, 2)), -1.0
    for done, count in enumerate((*_WAVES, 0)):
        field, inside = _laid(luma, matrix, waves, canvas)
        maps, weight = correlate(field, canvas.field)
        seen = weight * cells(inside)
        if float(seen.sum()) <= _LEAST_SEEN * float(weight.sum()):
            return None
        best, shifts = best_shifts(maps)
        agree = _met(best, shifts, seen)
        if agree > straightest:
            straightest, bent, lies = agree, waves, inside
        if agree >= _DONE:
            break
        if done == _HOPELESS_AFTER and agree < _HOPELESS:
            return None
        if count:
            waves = _bent_on(waves, count, best, shifts, seen)
    if straightest < STRAIGHT or not bent.any():
        return None
    return Bend(matrix, bent, _amount(bent, lies))


def _met(best: FloatArray, shifts: Matrix, seen: FloatArray) -> float:
    """Share of the edges that agree very closely, and in their place."""
    there = (best > CLOSELY) & (np.linalg.norm(shifts, axis=-1) <= _IN_PLACE_PX)
    return float(seen[there].sum() / seen.sum())


def _laid(
    luma: UInt8Array, matrix: Matrix, waves: Matrix, canvas: Canvas
) -> tuple[FloatArray, FloatArray]:
    """The edges of a listing in the frame of an original, and where it lies."""
    h, w = luma.shape
    moves = (_on_cells(_count(waves)) @ waves).reshape(CELLS, CELLS, 2).astype(np.float32)
    sized = cv2.resize(moves, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    at = (squares(SIDE_PX) + 1) / 2 + sized
    back = project(at.reshape(-1, 2), np.linalg.inv(matrix)).reshape(at.shape)
    pixels = (back * [w, h] - 0.5).astype(np.float32)
    drawn = cv2.remap(
        luma, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    within = ((back > 0) & (back < 1)).all(axis=2).astype(np.uint8)
    inside = cv2.erode(within, np.ones((3, 3), np.uint8), borderValue=0).astype(np.float32)
    return layout.gradient_field(np.asarray(drawn, dtype=np.uint8)) * inside, inside


def _bent_on(
    waves: Matrix, count: int, best: FloatArray, shifts: Matrix, seen: FloatArray
) -> Matrix:
    """Bend further, by so many cosines along each side, to where the places are found now."""
    trust = (seen * np.maximum(best - _TRUSTED, 0)).ravel().astype(np.float64)
    moved = shifts.reshape(-1, 2)[:, ::-1] / SIDE_PX
    found = squares(CELLS).reshape(-1, 2) + 2 * moved
    wanted = moved + _cosines(found, _count(waves)) @ waves
    basis = _on_cells(count)
    k = np.arange(count)
    fine = np.append((k[:, None] ** 2 + k[None] ** 2).ravel(), [0, 0])
    ridge = float(trust.sum()) * np.diag(_STIFF[0] + _STIFF[1] * fine) + 1e-9 * np.eye(len(fine))
    fit, _ = robust_fit(basis, wanted, trust, ridge, near=_NEAR_PX / SIDE_PX)
    return fit


def _amount(waves: Matrix, inside: FloatArray) -> float:
    """See `Bend.amount`, where the listing lies."""
    there = cells(inside).ravel() > 0.5
    at = np.column_stack((squares(CELLS).reshape(-1, 2), np.ones(CELLS * CELLS)))[there]
    moves = (_on_cells(_count(waves)) @ waves)[there]
    plane, *_ = np.linalg.lstsq(at, moves, rcond=None)
    return float(np.linalg.norm(moves - at @ plane, axis=1).max())


def _count(waves: Matrix) -> int:
    """How many cosines along each side a bend has."""
    return round(float(np.sqrt(len(waves) - 2)))


def _cosines(at: Matrix, count: int) -> Matrix:
    """So many cosines along each side, and two slopes, at m places in [-1, 1]: (m, count^2 + 2)."""
    x, y = (np.cos(np.pi / 2 * np.arange(count) * (at[:, k, None] + 1)) for k in (0, 1))
    products = (x[:, :, None] * y[:, None]).reshape(len(at), -1)
    return np.asarray(np.concatenate((products, at), axis=1), dtype=np.float64)


@lru_cache(maxsize=len(_WAVES))
def _on_cells(count: int) -> Matrix:
    return _cosines(squares(CELLS).reshape(-1, 2), count)
