"""Dense verification: lay a listing over an original and compare them place by place.

Key points fail on smooth products and on restyled copies; composition does not. `propose`
finds by correlation how a view of the listing may lie on the original (all turns, some
scales, any shift); `refine` bends that by a small affine map until the edges meet; `measure`
says how well they do, place by place. Two photographs of one product agree nowhere closely:
their edges meet only within a few pixels, and only here and there.

All maps take fractional coordinates of the listing to fractional coordinates of the original.
Pure functions of their arguments: any thread may call them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models import layout
from models.layout import SIDE_PX, FloatArray, UInt8Array
from models.views import Region

Matrix = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_POOL = 4
_GRID = SIDE_PX // _POOL
"""Side of the pooled field in which shifts are searched."""
_ROOM = 2 * _GRID
"""Side of the transform: twice the field, so that shifts do not wrap around."""
_ZOOMS = (0.5, 0.63, 0.8)
"""The listing may show a part of the original; it is then tried at these sizes."""
_CELLS = 32
"""Places per side at which agreement is measured; each looks at a fifth of the side around."""
_WINDOW = 7
QUERY_SIDE_PX = 320
"""Longest side of the luma that is laid over an original."""


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """An original, ready to be compared with.

    Attributes:
        rgb: uint8, shape (SIDE_PX, SIDE_PX, 3), stretched.
        luma: uint8, shape (SIDE_PX, SIDE_PX).
        field: float32, shape (4, SIDE_PX, SIDE_PX), see `models.layout.gradient_field`.
        spectrum: complex64, its pooled field transformed.
        norm: length of the pooled field.
        subject: float32, shape (_CELLS, _CELLS): share of each place that is the subject.
    """

    rgb: UInt8Array
    luma: UInt8Array
    field: FloatArray
    spectrum: NDArray[np.complex64]
    norm: float
    subject: FloatArray

    @staticmethod
    def of(thumbnail: UInt8Array, subject: BoolArray) -> "Canvas":
        """Prepare an original.

        Args:
            thumbnail: uint8, shape (SIDE_PX, SIDE_PX, 3).
            subject: bool, shape (SIDE_PX, SIDE_PX), see `models.subject`.
        """
        luma = layout.grey(thumbnail)
        field = layout.gradient_field(luma)
        pooled = layout.pool(field[:2], _POOL)
        share = _cells(subject.astype(np.float32))
        return Canvas(thumbnail, luma, field, _spectrum(pooled), _length(pooled), share)


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A listing picture, ready to be laid over originals.

    Attributes:
        luma: uint8, shape (h, w), longest side at most `QUERY_SIDE_PX`.
        poses: how it may lie: each maps the listing to a view of it, turned and sized.
        spectra: complex64, shape (p, 2, _ROOM, _ROOM // 2 + 1), conjugated.
        norms: float32, shape (p,).
    """

    luma: UInt8Array
    poses: tuple[Matrix, ...]
    spectra: NDArray[np.complex64]
    norms: FloatArray

    @staticmethod
    def of(rgb: UInt8Array, regions: Sequence[Region]) -> "Sheet":
        """Prepare a listing.

        Args:
            rgb: uint8, shape (h, w, 3).
            regions: the views that may be an original by themselves, the whole one first.
        """
        scale = QUERY_SIDE_PX / max(rgb.shape[:2])
        small = (
            cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            if scale < 1
            else rgb
        )
        poses: list[Matrix] = []
        fields: list[FloatArray] = []
        for region in regions:
            field = layout.gradient_field(layout.grey(layout.thumbnail(region.of(rgb))))[:2]
            pooled = layout.pool(field, _POOL)
            for turn in range(layout.TURNS):
                poses.append(layout.turn_matrix(turn) @ region.matrix())
                fields.append(_turned_field(pooled, turn))
            if region.score < 1:
                continue  # an inset is an original, not a part of one
            for zoom in _ZOOMS:
                for turn in (0, 4):
                    poses.append(
                        np.diag([zoom, zoom, 1.0]) @ layout.turn_matrix(turn) @ region.matrix()
                    )
                    fields.append(_shrunk(_turned_field(pooled, turn), zoom))
        stack = np.stack(fields)
        norms = np.sqrt((stack**2).sum(axis=(1, 2, 3))).astype(np.float32)
        return Sheet(
            layout.grey(np.asarray(small, dtype=np.uint8)),
            tuple(poses),
            np.conj(_spectrum(stack)),
            norms,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """One way in which a listing may lie on an original.

    Attributes:
        matrix: float64, shape (3, 3).
        correlation: of the two layouts there, in [-1, 1].
        sharpness: how many standard deviations it stands above all other shifts.
    """

    matrix: Matrix
    correlation: float
    sharpness: float


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """How well a listing and an original agree where they lie on each other.

    Shares are weighted by the edges of the original, so that a white ground counts little.

    Attributes:
        matrix: the map that was measured.
        edges: mean agreement of edge directions, where the listing covers the original, -1..1.
        edges_all: the same over all of the original; what is not covered counts 0.
        close: share of the covered edges that agree at 0.5 or more.
        tight: share that agree at 0.7 or more.
        signed: like `edges`, but light and dark must not have changed places.
        signed_close: like `close` for `signed`.
        tones: mean correlation of the grey values.
        covered: share of the original's edges that the listing covers, 0..1.
        chance: agreement at places some pixels off: what any two such pictures reach.
        subject_edges: like `edges`, weighed by the edges of the original's subject alone.
        ground_edges: likewise for its background; NaN when the subject fills the picture.
        local: float32, shape (_CELLS, _CELLS): agreement of each place of the original, 0
            where it is not covered.
    """

    matrix: Matrix
    edges: float
    edges_all: float
    close: float
    tight: float
    signed: float
    signed_close: float
    tones: float
    covered: float
    chance: float
    subject_edges: float
    ground_edges: float
    local: FloatArray


def propose(sheet: Sheet, canvas: Canvas, limit: int = 2) -> list[Pose]:
    """Find the poses in which the layouts correlate best, best first."""
    product = (sheet.spectra * canvas.spectrum[None]).sum(axis=1)
    surface = np.fft.irfft2(product, (_ROOM, _ROOM), axes=(1, 2))
    surface = surface.reshape(len(sheet.poses), -1)
    surface /= (sheet.norms * canvas.norm + 1e-6)[:, None]
    peaks = surface.max(axis=1)
    found = []
    for p in np.argsort(-peaks, kind="stable")[:limit]:
        dy, dx = divmod(int(surface[p].argmax()), _ROOM)
        shift = np.eye(3)
        shift[0, 2] = (dx - _ROOM * (dx >= _GRID)) / _GRID
        shift[1, 2] = (dy - _ROOM * (dy >= _GRID)) / _GRID
        spread = float(surface[p].std()) + 1e-6
        sharpness = (float(peaks[p]) - float(surface[p].mean())) / spread
        found.append(Pose(shift @ sheet.poses[p], float(peaks[p]), sharpness))
    return found


def lay(picture: UInt8Array, matrix: Matrix, side: int = SIDE_PX) -> tuple[UInt8Array, FloatArray]:
    """Draw a listing in the frame of an original.

    Args:
        picture: uint8, shape (h, w) or (h, w, 3).
        matrix: listing to original, fractional.
        side: of the square frame, in pixels.

    Returns:
        uint8, shape (side, side[, 3]), and float32 (side, side): 1 where the listing lies.
    """
    h, w = picture.shape[:2]
    pixels = np.diag([side, side, 1.0]) @ matrix @ np.diag([1 / w, 1 / h, 1.0])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    pixels = np.linalg.inv(half) @ pixels @ half  # coordinates are those of pixel centres
    scale = float(np.sqrt(abs(np.linalg.det(pixels[:2, :2]))))
    if 1e-3 < scale < 0.6:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.45 / scale), dtype=np.uint8)
    drawn = cv2.warpPerspective(
        picture, pixels, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    inside = cv2.warpPerspective(
        np.full((h, w), 1, np.uint8), pixels, (side, side), flags=cv2.INTER_NEAREST
    )
    inside = cv2.erode(inside, np.ones((3, 3), np.uint8), borderValue=0)
    return np.asarray(drawn, dtype=np.uint8), inside.astype(np.float32)


def refine(sheet: Sheet, canvas: Canvas, matrix: Matrix) -> tuple[Matrix, float]:
    """Bend a pose by a small affine map until the edges meet.

    Each place of the original is searched for within six pixels; the shifts found, weighted
    by how sure they are, give the map.

    Returns:
        The better map, and the agreement by chance (see `Agreement.chance`).
    """
    drawn, inside = lay(sheet.luma, matrix)
    ours = layout.pool(layout.gradient_field(drawn)[:2] * inside, 2)
    theirs = layout.pool(canvas.field[:2], 2)
    shifts = [(dy, dx) for dy in range(-3, 4) for dx in range(-3, 4)]
    maps, weight = _agreement(ours, theirs, shifts)
    best = maps.max(axis=0)
    chosen = np.array(shifts, dtype=np.float64)[maps.argmax(axis=0)] * 2
    bend = _affine(chosen, np.maximum(best - 0.25, 0) ** 2 * weight)
    rim = [k for k, (dy, dx) in enumerate(shifts) if max(abs(dy), abs(dx)) == 3]
    chance = float((maps[rim].mean(axis=0) * weight).sum() / (weight.sum() + 1e-6))
    return bend @ matrix, chance


def measure(sheet: Sheet, canvas: Canvas, matrix: Matrix, chance: float) -> Agreement:
    """Say how well a listing agrees with an original under a map."""
    drawn, inside = lay(sheet.luma, matrix)
    field = layout.gradient_field(drawn) * inside
    shifts = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]
    maps, weight = _agreement(field[:2], canvas.field[:2], shifts)
    edges = maps.max(axis=0)
    signed_maps, _ = _agreement(field[2:], canvas.field[2:], shifts)
    signed = signed_maps.max(axis=0)
    cover = _cells(inside)
    seen = weight * cover
    total, visible = float(weight.sum()) + 1e-6, float(seen.sum()) + 1e-6
    return Agreement(
        matrix=matrix,
        edges=float((edges * seen).sum()) / visible,
        edges_all=float((edges * seen).sum()) / total,
        close=float(seen[edges > 0.5].sum()) / visible,
        tight=float(seen[edges > 0.7].sum()) / visible,
        signed=float((signed * seen).sum()) / visible,
        signed_close=float(seen[signed > 0.5].sum()) / visible,
        tones=float((_tones(drawn, canvas.luma) * seen).sum()) / visible,
        covered=visible / total,
        chance=chance,
        subject_edges=_mean(edges, seen * canvas.subject),
        ground_edges=_mean(edges, seen * np.maximum(1 - canvas.subject, 0)),
        local=(edges * cover).astype(np.float32),
    )


def _mean(values: FloatArray, weight: FloatArray) -> float:
    """Weighted mean; NaN where there is next to no weight."""
    total = float(weight.sum())
    return float((values * weight).sum()) / total if total > 1.0 else math.nan


def _agreement(
    ours: FloatArray, theirs: FloatArray, shifts: Sequence[tuple[int, int]]
) -> tuple[FloatArray, FloatArray]:
    """Correlate two fields around each place, for several shifts of ours.

    Returns:
        float32, shape (s, _CELLS, _CELLS), in [-1, 1], and how much edge theirs has there.
    """
    reach = max(max(abs(dy), abs(dx)) for dy, dx in shifts)
    h, w = theirs.shape[1:]
    padded = np.pad(ours, ((0, 0), (reach, reach), (reach, reach)))
    power = np.pad((ours * ours).sum(axis=0), reach)
    products = np.empty((len(shifts), h, w), np.float32)
    powers = np.empty((len(shifts), h, w), np.float32)
    for k, (dy, dx) in enumerate(shifts):
        rows, columns = slice(reach + dy, reach + dy + h), slice(reach + dx, reach + dx + w)
        view = padded[:, rows, columns]
        products[k] = view[0] * theirs[0] + view[1] * theirs[1]
        powers[k] = power[rows, columns]
    weight = _cells((theirs * theirs).sum(axis=0))
    score = _cells(products) / np.sqrt(np.maximum(_cells(powers), 1e-3) * np.maximum(weight, 1e-3))
    return np.clip(score, -1, 1).astype(np.float32), weight


def _cells(values: FloatArray) -> FloatArray:
    """Average around each of the places: (..., h, w) -> (..., _CELLS, _CELLS)."""
    h, w = values.shape[-2:]
    # All maps are pooled and filtered by one call each: stacked, for the second with a margin
    # of zeros between them.
    stacked = np.ascontiguousarray(values).reshape(-1, w)
    pooled = cv2.resize(stacked, (_CELLS, len(stacked) * _CELLS // h), interpolation=cv2.INTER_AREA)
    cells = pooled.reshape(-1, _CELLS, _CELLS)
    rim = _WINDOW // 2
    padded = np.pad(cells, ((0, 0), (rim, rim), (rim, rim)))
    tall = padded.reshape(-1, _CELLS + 2 * rim)
    smooth = cv2.boxFilter(tall, -1, (_WINDOW, _WINDOW), borderType=cv2.BORDER_CONSTANT)
    inner = smooth.reshape(padded.shape)[:, rim:-rim, rim:-rim]
    return np.asarray(inner.reshape(*values.shape[:-2], _CELLS, _CELLS), dtype=np.float32)


def _tones(ours: UInt8Array, theirs: UInt8Array) -> FloatArray:
    """Correlation of grey values around each place, shape (_CELLS, _CELLS)."""
    a, b = ours.astype(np.float32), theirs.astype(np.float32)
    mean_a, mean_b, aa, bb, ab = _cells(np.stack((a, b, a * a, b * b, a * b)))
    spread = np.maximum(aa - mean_a**2, 4) * np.maximum(bb - mean_b**2, 4)
    return np.asarray((ab - mean_a * mean_b) / np.sqrt(spread), dtype=np.float32)


def _affine(shifts: NDArray[np.float64], weight: FloatArray) -> Matrix:
    """Fit the map that undoes the shifts found at the places; robust, and near to none.

    Args:
        shifts: shape (_CELLS, _CELLS, 2), dy and dx in pixels of `SIDE_PX`.
        weight: shape (_CELLS, _CELLS).

    Returns:
        float64, shape (3, 3), fractional.
    """
    at = (np.arange(_CELLS) + 0.5) * (SIDE_PX / _CELLS)
    y, x = np.meshgrid(at, at, indexing="ij")
    target = np.stack((x.ravel(), y.ravel()), axis=1)
    moved = target + shifts.reshape(-1, 2)[:, ::-1]
    source = np.concatenate((moved, np.ones((len(moved), 1))), axis=1)
    if weight.sum() <= 1e-6:
        return np.eye(3)
    flat = weight.ravel().astype(np.float64)
    stiff = 1e-3 * flat.sum() * 2 * SIDE_PX**2
    ridge, none = np.diag([stiff, stiff, 1e-6]), np.array([[1.0, 0], [0, 1], [0, 0]])
    trust = flat
    fit = none
    for _ in range(3):
        weighted = trust[:, None] * source
        fit = np.linalg.solve(source.T @ weighted + ridge, weighted.T @ target + ridge @ none)
        off = np.linalg.norm(target - source @ fit, axis=1)
        trust = flat / (1 + (off / 2) ** 2)
    bend = np.eye(3)
    bend[:2] = fit.T
    return np.diag([1 / SIDE_PX, 1 / SIDE_PX, 1]) @ bend @ np.diag([SIDE_PX, SIDE_PX, 1.0])


def _turned_field(pooled: FloatArray, turn: int) -> FloatArray:
    start = np.stack((pooled[0], -pooled[1]))[:, :, ::-1] if turn >= 4 else pooled
    sign = 1 if turn % 2 == 0 else -1
    return np.ascontiguousarray(sign * np.rot90(start, -(turn % 4), axes=(1, 2)))


def _shrunk(pooled: FloatArray, zoom: float) -> FloatArray:
    side = round(pooled.shape[1] * zoom)
    small = cv2.resize(pooled.transpose(1, 2, 0), (side, side), interpolation=cv2.INTER_AREA)
    out = np.zeros_like(pooled)
    out[:, :side, :side] = small.transpose(2, 0, 1)
    return out


def _spectrum(pooled: FloatArray) -> NDArray[np.complex64]:
    return np.asarray(np.fft.rfft2(pooled, (_ROOM, _ROOM), axes=(-2, -1)), dtype=np.complex64)


def _length(pooled: FloatArray) -> float:
    return float(np.sqrt((pooled**2).sum()))
