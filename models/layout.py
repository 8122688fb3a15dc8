"""Layout: where the edges of a picture lie and which way they run, whatever their colour.

A restyled copy keeps its composition when it loses its colours and textures, so edges are
described by the doubled angle of their gradient: an edge keeps its value when light and dark
change places. Strength is compressed (m / (m + mean m)), so that a faint drawing and a bold
one weigh alike. This is the structure-tensor field of Granlund and Knutsson (1995) on a small
square picture; pooled, it is the vector of the `layout` space, and in full it is what dense
verification compares.

Pure functions of their arguments: any thread may call them.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
FloatArray = NDArray[np.float32]
Matrix = NDArray[np.float64]
"""A map of the plane, shape (3, 3); or other float64 values where it says so."""

SIDE_PX = 128
"""Side of the square that every picture is stretched to."""
FINE_SIDE_PX = 256
"""Side of the square in which two pictures are held against each other most closely."""
CELL_PX = 8
DIMENSION = 2 * (SIDE_PX // CELL_PX) ** 2
VERSION = 1
"""Raised when the same picture would get another vector; part of the schema id."""

TURNS = 8
"""Orientations of a picture: t % 4 quarter turns clockwise, after a mirroring for t >= 4."""

_FLOOR = 1.0
"""Gradients below this many grey levels a pixel are noise of the codec."""
_MIN_MEAN = 2.0


def thumbnail(rgb: UInt8Array, side: int = SIDE_PX) -> UInt8Array:
    """Stretch a picture to a square.

    Args:
        rgb: uint8, shape (h, w, 3).
        side: of the square; layouts are made of `SIDE_PX`.

    Returns:
        uint8, shape (side, side, 3).
    """
    small = cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def grey(rgb: UInt8Array) -> UInt8Array:
    """The luma of a picture, uint8, shape (h, w)."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def pixel_map(matrix: Matrix, source: tuple[int, int], target: tuple[int, int]) -> Matrix:
    """A map of fractional coordinates as one of pixels, whose coordinates are their centres.

    Args:
        matrix: float64, shape (3, 3), source to target.
        source, target: width and height in pixels.
    """
    pixels = np.diag([*target, 1.0]) @ matrix @ np.diag([1 / source[0], 1 / source[1], 1.0])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return np.asarray(np.linalg.inv(half) @ pixels @ half, dtype=np.float64)


def gradient_field(luma: UInt8Array) -> FloatArray:
    """Describe each pixel by the edge through it.

    Args:
        luma: uint8, shape (h, w).

    Returns:
        float32, shape (2, h, w), values in [-1, 1]: cosine and sine of the doubled angle, each
        times the compressed strength in [0, 1).
    """
    smooth = cv2.GaussianBlur(luma.astype(np.float32), (0, 0), 0.8)
    gx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8, borderType=cv2.BORDER_REPLICATE)
    gy = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8, borderType=cv2.BORDER_REPLICATE)
    strength = cv2.magnitude(gx, gy)
    knee = max(_MIN_MEAN, float(cv2.mean(strength)[0]))
    # The compressed strength over the square of the plain one: the squares below are of lengths.
    share = 1 / (strength * (strength + knee) + np.float32(1e-6))
    share *= strength > _FLOOR
    field = np.empty((2, *luma.shape), np.float32)
    cv2.multiply((gx + gy) * (gx - gy), share, dst=field[0])
    cv2.multiply(gx * gy, share, dst=field[1], scale=2)
    return field


def pool(field: FloatArray, cell: int) -> FloatArray:
    """Average a field over square cells: (c, h, w) -> (c, h / cell, w / cell)."""
    c, h, w = field.shape
    stacked = np.ascontiguousarray(field).reshape(c * h, w)
    pooled = cv2.resize(stacked, (w // cell, c * h // cell), interpolation=cv2.INTER_AREA)
    return np.asarray(pooled.reshape(c, h // cell, w // cell), dtype=np.float32)


def layout_vectors(luma: UInt8Array) -> FloatArray:
    """The layout of a square picture in its eight orientations, the picture's own first.

    Args:
        luma: uint8, shape (SIDE_PX, SIDE_PX).

    Returns:
        float32, shape (TURNS, DIMENSION), rows of length 1. A picture without any edge
        gets a constant row, which is like no layout.
    """
    vectors = _turns(pool(gradient_field(luma), CELL_PX))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    flat = np.full((1, DIMENSION), DIMENSION**-0.5, dtype=np.float32)
    return np.where(lengths > 1e-6, vectors / np.maximum(lengths, 1e-6), flat)


def all_turns(row: FloatArray) -> FloatArray:
    """The rows of `layout_vectors` from the first of them: the picture's own orientation.

    Args:
        row: float32, shape (DIMENSION,), length 1.

    Returns:
        float32, shape (TURNS, DIMENSION).
    """
    if np.ptp(row) < 1e-6:  # of a picture without any edge
        return np.tile(row, (TURNS, 1))
    side = SIDE_PX // CELL_PX
    return _turns(row.reshape(2, side, side))


def _turns(upright: FloatArray) -> FloatArray:
    """A pooled field in its eight orientations, flattened, shape (TURNS, DIMENSION)."""
    rows = [turned_field(upright, turn).ravel() for turn in range(TURNS)]
    return np.stack(rows).astype(np.float32)


def turned_field(field: FloatArray, turn: int) -> FloatArray:
    """The field, shape (2, n, n), of a picture in orientation `turn` of `TURNS`."""
    start = np.stack((field[0], -field[1]))[:, :, ::-1] if turn >= 4 else field
    # A quarter turn adds 90 degrees to an angle, 180 to its double.
    sign = 1 if turn % 2 == 0 else -1
    return np.ascontiguousarray(sign * np.rot90(start, -(turn % 4), axes=(1, 2)))


def turned(picture: NDArray[np.generic], turn: int) -> NDArray[np.generic]:
    """A picture, shape (h, w, ...), in orientation `turn` of `TURNS`."""
    start = picture[:, ::-1] if turn >= 4 else picture
    return np.rot90(start, -(turn % 4))


def turn_matrix(turn: int) -> NDArray[np.float64]:
    """Takes fractional coordinates of a picture to those of the same picture turned.

    Returns:
        float64, shape (3, 3).
    """
    mirror = np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]])
    quarter = np.array([[0.0, -1, 1], [1, 0, 0], [0, 0, 1]])  # clockwise: (x, y) -> (1 - y, x)
    start = mirror if turn >= 4 else np.eye(3)
    return np.linalg.matrix_power(quarter, turn % 4) @ start
