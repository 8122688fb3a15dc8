"""Poses: how a listing may lie on an original, proposed by the correlation of their layouts.

Each view of the listing is tried in all turns, at some sizes and with any shift at once, by
correlating its gradient field with the original's in the frequency domain. What follows from
a pose is `service.matching.dense`'s business.

All maps take fractional coordinates of the listing to fractional coordinates of the original.
Pure functions of their arguments: any thread may call them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from models import layout
from models.layout import SIDE_PX, FloatArray, Matrix, UInt8Array
from models.scaling import shrink_to
from models.views import Region

BoolArray = NDArray[np.bool_]

CELLS = 32
"""Places per side at which agreement is measured; each looks at a fifth of the side around."""
_WINDOW = 7
_POOL = 4
_GRID = SIDE_PX // _POOL
"""Side of the pooled field in which shifts are searched."""
_ROOM = 2 * _GRID
"""Side of the transform: twice the field, so that shifts do not wrap around."""
_ZOOMS = (0.5, 0.63, 0.8)
"""The listing may show a part of the original; it is then tried at these sizes."""
QUERY_SIDE_PX = 1280
"""Longest side of the luma that is laid over an original; a part of a screenshot needs it all."""
_LEAST_SIDE_PX = 160


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """An original, ready to be compared with.

    Attributes:
        luma: uint8, shape (SIDE_PX, SIDE_PX), stretched.
        fine: uint8, shape (FINE_SIDE_PX, FINE_SIDE_PX), likewise.
        field: float32, shape (2, SIDE_PX, SIDE_PX): edges by the doubled angle, see
            `models.layout.gradient_field`.
        spectrum: complex64, its pooled field transformed.
        norm: length of the pooled field.
        subject: bool, shape (SIDE_PX, SIDE_PX), see `models.subject`.
        share: float32, shape (CELLS, CELLS): share of each place that is the subject.
    """

    luma: UInt8Array
    fine: UInt8Array
    field: FloatArray
    spectrum: NDArray[np.complex64]
    norm: float
    subject: BoolArray
    share: FloatArray

    @staticmethod
    def of(thumbnail: UInt8Array, subject: BoolArray) -> "Canvas":
        """Prepare an original.

        Args:
            thumbnail: uint8, shape (FINE_SIDE_PX, FINE_SIDE_PX, 3).
            subject: bool, shape (SIDE_PX, SIDE_PX), see `models.subject`.
        """
        luma = layout.grey(layout.thumbnail(thumbnail))
        field = layout.gradient_field(luma)
        pooled = layout.pool(field, _POOL)
        return Canvas(
            luma=luma,
            fine=layout.grey(thumbnail),
            field=field,
            spectrum=_spectrum(pooled),
            norm=_length(pooled),
            subject=subject,
            share=cells(subject.astype(np.float32)),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A listing picture, ready to be laid over originals.

    Attributes:
        levels: uint8, each of shape (h, w): its luma, longest side at most `QUERY_SIDE_PX`, then
            each half the size of the one before.
        poses: how it may lie: each maps the listing to a view of it, turned and sized.
        regions: the view that each pose is of.
        spectra: complex64, shape (p, 2, _ROOM, _ROOM // 2 + 1), conjugated.
        norms: float32, shape (p,).
    """

    levels: tuple[UInt8Array, ...]
    poses: tuple[Matrix, ...]
    regions: tuple[Region, ...]
    spectra: NDArray[np.complex64]
    norms: FloatArray

    def level(self, matrix: Matrix, side: int) -> UInt8Array:
        """The luma at the size that is just enough to be laid on a square frame by a map."""
        h, w = self.levels[0].shape
        scale = side * float(np.sqrt(abs(np.linalg.det(matrix[:2, :2])) / (h * w)))
        wanted = int(np.floor(-np.log2(max(scale, 1e-6)))) if scale < 1 else 0
        return self.levels[min(wanted, len(self.levels) - 1)]

    def straightened(self, luma: UInt8Array) -> "Sheet":
        """The listing in another drawing, which lies on originals as this one does."""
        return replace(self, levels=_pyramid(luma))

    @staticmethod
    def of(rgb: UInt8Array, parts: Sequence[tuple[Region, UInt8Array]]) -> "Sheet":
        """Prepare a listing.

        Args:
            rgb: uint8, shape (h, w, 3).
            parts: the views that may be an original by themselves, the whole one first: where
                each lies, and its luma, stretched to (SIDE_PX, SIDE_PX).
        """
        poses: list[Matrix] = []
        regions: list[Region] = []
        fields: list[FloatArray] = []
        for region, luma in parts:
            pooled = layout.pool(layout.gradient_field(luma), _POOL)
            for turn in range(layout.TURNS):
                poses.append(layout.turn_matrix(turn) @ region.matrix())
                regions.append(region)
                fields.append(layout.turned_field(pooled, turn))
            if region.score < 1:
                continue  # an inset is an original, not a part of one
            for zoom in _ZOOMS:
                for turn in (0, 4):
                    poses.append(
                        np.diag([zoom, zoom, 1.0]) @ layout.turn_matrix(turn) @ region.matrix()
                    )
                    regions.append(region)
                    fields.append(_shrunk(layout.turned_field(pooled, turn), zoom))
        stack = np.stack(fields)
        norms = np.sqrt((stack**2).sum(axis=(1, 2, 3))).astype(np.float32)
        return Sheet(
            levels=_pyramid(layout.grey(rgb)),
            poses=tuple(poses),
            regions=tuple(regions),
            spectra=np.conj(_spectrum(stack)),
            norms=norms,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """One way in which a listing may lie on an original.

    Attributes:
        matrix: float64, shape (3, 3).
        correlation: of the two layouts there, in [-1, 1].
        region: the view of the listing that it was proposed for.
    """

    matrix: Matrix
    correlation: float
    region: Region


def propose(sheet: Sheet, canvas: Canvas, limit: int = 2) -> list[Pose]:
    """Find the poses in which the layouts correlate best, best first."""
    product = (sheet.spectra * canvas.spectrum[None]).sum(axis=1)
    surface = fft.irfft2(product, (_ROOM, _ROOM), axes=(1, 2))
    surface = surface.reshape(len(sheet.poses), -1)
    surface /= (sheet.norms * canvas.norm + 1e-6)[:, None]
    peaks = surface.max(axis=1)
    found = []
    for p in np.argsort(-peaks, kind="stable")[:limit]:
        dy, dx = divmod(int(surface[p].argmax()), _ROOM)
        shift = np.eye(3)
        shift[0, 2] = (dx - _ROOM * (dx >= _GRID)) / _GRID
        shift[1, 2] = (dy - _ROOM * (dy >= _GRID)) / _GRID
        found.append(Pose(shift @ sheet.poses[p], float(peaks[p]), sheet.regions[p]))
    return found


def cells(values: FloatArray) -> FloatArray:
    """Average around each of the places: (..., h, w) -> (..., CELLS, CELLS)."""
    h, w = values.shape[-2:]
    # All maps are pooled and filtered by one call each: stacked, for the second with a margin
    # of zeros between them.
    stacked = np.ascontiguousarray(values).reshape(-1, w)
    pooled = cv2.resize(stacked, (CELLS, len(stacked) * CELLS // h), interpolation=cv2.INTER_AREA)
    small = pooled.reshape(-1, CELLS, CELLS)
    rim = _WINDOW // 2
    padded = np.pad(small, ((0, 0), (rim, rim), (rim, rim)))
    tall = padded.reshape(-1, CELLS + 2 * rim)
    smooth = cv2.boxFilter(tall, -1, (_WINDOW, _WINDOW), borderType=cv2.BORDER_CONSTANT)
    inner = smooth.reshape(padded.shape)[:, rim:-rim, rim:-rim]
    return np.asarray(inner.reshape(*values.shape[:-2], CELLS, CELLS), dtype=np.float32)


def _pyramid(luma: UInt8Array) -> tuple[UInt8Array, ...]:
    """A picture at several sizes, see `Sheet.levels`."""
    levels = [shrink_to(luma, QUERY_SIDE_PX)]
    while (side := max(levels[-1].shape)) > 2 * _LEAST_SIDE_PX:
        levels.append(shrink_to(levels[-1], side // 2))
    return tuple(levels)


def _shrunk(pooled: FloatArray, zoom: float) -> FloatArray:
    side = round(pooled.shape[1] * zoom)
    small = cv2.resize(pooled.transpose(1, 2, 0), (side, side), interpolation=cv2.INTER_AREA)
    out = np.zeros_like(pooled)
    out[:, :side, :side] = small.transpose(2, 0, 1)
    return out


def _spectrum(pooled: FloatArray) -> NDArray[np.complex64]:
    return np.asarray(fft.rfft2(pooled, (_ROOM, _ROOM), axes=(-2, -1)), dtype=np.complex64)


def _length(pooled: FloatArray) -> float:
    return float(np.sqrt((pooled**2).sum()))
