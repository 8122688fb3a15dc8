"""Making pictures smaller, fast, where they are only looked at and no stored vector hangs on it.

OpenCV's reduction by area takes several milliseconds for a photograph unless the factor is whole.
Halves are whole, and for what is left, less than a half, linear interpolation does: the two
differ by less than a grey level on photographs.

Pure functions of their arguments: any thread may call them.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]


def shrink(picture: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    """Reduce a picture.

    Args:
        picture: uint8, shape (h, w) or (h, w, 3).
        size: width and height to end with, in pixels; neither may be greater than before.
    """
    while picture.shape[1] >= 2 * size[0] and picture.shape[0] >= 2 * size[1]:
        # By a factor of two, linear interpolation is the mean of four pixels.
        half = (-(-picture.shape[1] // 2), -(-picture.shape[0] // 2))
        picture = np.asarray(cv2.resize(picture, half, interpolation=cv2.INTER_LINEAR), np.uint8)
    if picture.shape[1::-1] == size:
        return picture
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def shrink_to(picture: UInt8Array, side: int) -> UInt8Array:
    """The picture itself, or a smaller one whose longest side is `side`."""
    h, w = picture.shape[:2]
    if max(h, w) <= side:
        return picture
    scale = side / max(h, w)
    return shrink(picture, (max(1, round(w * scale)), max(1, round(h * scale))))
