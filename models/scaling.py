"""Making pictures smaller, fast, where they are only looked at and no stored vector hangs on it.

OpenCV's reduction by area takes several milliseconds for a photograph unless the factor is whole.
So the picture is first brought to a whole multiple of its later size by linear interpolation, which
is nearly its own: the two ways differ by a fifth of a grey level.

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
        size: width and height to end with, in pixels. What is smaller is enlarged linearly.
    """
    if picture.shape[1::-1] == size:
        return picture
    times = max(2, round(max(picture.shape[1] / size[0], picture.shape[0] / size[1])))
    whole = cv2.resize(picture, (times * size[0], times * size[1]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def shrink_to(picture: UInt8Array, side: int) -> UInt8Array:
    """The picture itself, or a smaller one whose longest side is `side`."""
    h, w = picture.shape[:2]
    if max(h, w) <= side:
        return picture
    scale = side / max(h, w)
    return shrink(picture, (max(1, round(w * scale)), max(1, round(h * scale))))
