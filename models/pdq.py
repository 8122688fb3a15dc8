"""PDQ, the 256-bit perceptual hash that platforms exchange, on NumPy and OpenCV.

Written from the public description (Meta, "PDQ & TMK + PDQF", 2019), because the reference
binding ships no wheel. Luminance, then two passes of a box filter along both axes, sampled on
a 64 x 64 grid, then the 16 x 16 lowest non-constant frequencies of a cosine transform, each
compared with their median. Filter and sampling are linear and act on one axis at a time, so
they become a few small matrices for each axis in place of running sums. Bits are in the order
of the hexadecimal text that platforms exchange.

Pure functions of their arguments: any thread may call them.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

BITS = 256
GRID = 64
FREQUENCIES = 16
MIN_SIDE_PX = 5
"""A picture with a shorter side has the hash 0 and quality 0."""

ORIENTATIONS = (
    "original",
    "rotated_90",
    "rotated_180",
    "rotated_270",
    "flipped_top_bottom",
    "flipped_left_right",
    "transposed",
    "transversed",
)
"""What each row of `pdq_dihedral` is the hash of; turns are counter-clockwise."""


@dataclass(frozen=True, slots=True, eq=False)
class PdqHash:
    """One hash.

    Attributes:
        bits: uint8, shape (32,), most significant bit first.
        quality: 0..100; 0 means that there is next to nothing in the picture, and such a
            hash must match nothing.
    """

    bits: UInt8Array
    quality: int

    @property
    def hex(self) -> str:
        """The 64 hexadecimal digits in which PDQ hashes are exchanged."""
        return self.bits.tobytes().hex()


def pdq(rgb: UInt8Array) -> PdqHash:
    """Hash one picture.

    Args:
        rgb: uint8, shape (h, w, 3). Not modified.
    """
    if min(rgb.shape[:2]) < MIN_SIDE_PX:
        return PdqHash(np.zeros(BITS // 8, np.uint8), 0)
    grid = _grid(rgb)
    return PdqHash(_bits(_frequencies(grid)[None])[0], _quality(grid))


def pdq_dihedral(rgb: UInt8Array) -> tuple[UInt8Array, int]:
    """Hash a picture in all eight orientations, from one transform.

    Args:
        rgb: uint8, shape (h, w, 3). Not modified.

    Returns:
        uint8, shape (8, 32), rows in the order of `ORIENTATIONS`, and the quality 0..100.
        The first row is `pdq(rgb)`; the others are near the hash of the turned picture, a
        few bits apart since the sampling grid is not quite symmetric.
    """
    if min(rgb.shape[:2]) < MIN_SIDE_PX:
        return np.zeros((len(ORIENTATIONS), BITS // 8), np.uint8), 0
    grid = _grid(rgb)
    upright = _frequencies(grid)
    # Turning a picture transposes its frequencies or changes the sign of every other one.
    # Index 0 is frequency 1, which is odd, so that the even indices change their sign.
    odd = np.where(np.arange(FREQUENCIES) % 2 == 0, -1, 1).astype(np.float32)
    across, down = odd[None, :], odd[:, None]
    turned = np.stack(
        [
            upright,
            (upright * across).T,
            upright * across * down,
            (upright * down).T,
            upright * down,
            upright * across,
            upright.T,
            (upright * across * down).T,
        ]
    )
    return _bits(turned), _quality(grid)


def _grid(rgb: UInt8Array) -> FloatArray:
    """Blur the luminance and sample it at 64 x 64 points; float32 in 0..255."""
    h, w = rgb.shape[:2]
    rows = np.empty((GRID, w), np.float32)
    for part in _sampler(h):
        # A band at a time stays in the cache; the whole picture in floats would not.
        band = rgb[part.start : part.end].astype(np.float32)
        luminance = cv2.cvtColor(band, cv2.COLOR_RGB2GRAY)
        np.matmul(part.weights, luminance, out=rows[part.cells])
    grid = np.empty((GRID, GRID), np.float32)
    for part in _sampler(w):
        grid[:, part.cells] = rows[:, part.start : part.end] @ part.weights.T
    return grid


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """The weights by which a few neighbouring cells sum up the pixels of one axis.

    Each cell looks at a 64th of the axis, so a full matrix would be zero nearly everywhere;
    and products this small stay on the calling thread, where a BLAS would start others.
    """

    cells: slice
    start: int
    end: int
    weights: FloatArray  # (cells, end - start), rows sum to 1


@lru_cache(maxsize=256)
def _sampler(length: int) -> tuple[_Part, ...]:
    """Box filter twice, then keep 64 places of an axis of `length` pixels."""
    window = -(-length // (2 * GRID))  # half a cell, rounded up
    ahead = (window + 2) // 2
    pixels = np.arange(length)
    starts = np.maximum(pixels + ahead - window, 0)
    ends = np.minimum(pixels + ahead, length)
    weights = np.zeros((GRID, length), np.float64)
    for cell in range(GRID):
        place = int((cell + 0.5) * length / GRID)
        first, last = starts[place], ends[place]
        for centre in range(first, last):
            share = 1.0 / ((last - first) * (ends[centre] - starts[centre]))
            weights[cell, starts[centre] : ends[centre]] += share
    parts = []
    for cell in range(0, GRID, 2):
        used = np.flatnonzero(weights[cell : cell + 2].any(axis=0))
        start, end = int(used[0]), int(used[-1]) + 1
        narrow = weights[cell : cell + 2, start:end].astype(np.float32)
        parts.append(_Part(slice(cell, cell + 2), start, end, narrow))
    return tuple(parts)


@lru_cache(maxsize=1)
def _cosines() -> FloatArray:
    """The cosine transform without its constant row: float32, shape (16, 64)."""
    frequency = np.arange(1, FREQUENCIES + 1)[:, None]
    place = 2 * np.arange(GRID)[None, :] + 1
    cosines = np.sqrt(2.0 / GRID) * np.cos(np.pi / (2 * GRID) * frequency * place)
    narrow: FloatArray = cosines.astype(np.float32)
    narrow.setflags(write=False)
    return narrow


def _frequencies(grid: FloatArray) -> FloatArray:
    cosines = _cosines()
    frequencies: FloatArray = np.matmul(cosines @ grid, cosines.T, dtype=np.float32)
    return frequencies


def _bits(frequencies: FloatArray) -> UInt8Array:
    """Compare (n, 16, 16) frequencies with their medians; uint8, shape (n, 32)."""
    flat = frequencies.reshape(len(frequencies), BITS)
    middle = BITS // 2 - 1  # the lower of the two middle values
    median = np.partition(flat, middle, axis=1)[:, middle : middle + 1]
    return np.packbits((flat > median)[:, ::-1], axis=1)


def _quality(grid: FloatArray) -> int:
    """Sum the steps between neighbouring cells that are at least a hundredth of the range."""
    scaled = grid * np.float32(100.0 / 255.0)
    down = np.trunc(np.abs(np.diff(scaled, axis=0))).sum()
    across = np.trunc(np.abs(np.diff(scaled, axis=1))).sum()
    return min(100, int(down + across) // 90)
