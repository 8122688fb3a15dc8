"""CIEDE2000: how different two colours look to a person.

After Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula: implementation notes,
supplementary test data, and mathematical observations", Color Research & Application 30 (2005).
A difference of 1 is just visible side by side; from 10 on it is seen at a glance.

Pure functions of their arguments: any thread may call them.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def lab(rgb: NDArray[np.uint8] | NDArray[np.float32]) -> Array:
    """CIELAB (D65) of an sRGB picture.

    Args:
        rgb: uint8 in [0, 255] or float32 in [0, 1], shape (h, w, 3).

    Returns:
        float64, shape (h, w, 3): L* in [0, 100], a* and b* about -128..127.
    """
    scaled = rgb.astype(np.float32) / 255 if rgb.dtype == np.uint8 else rgb
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB), dtype=np.float64)


def delta_e_2000(one: Array, two: Array) -> Array:
    """CIEDE2000 with all parametric factors 1.

    Args:
        one: L*, a*, b* in the last axis, shape (..., 3).
        two: likewise; broadcasts with `one`.

    Returns:
        float64, shape (...), >= 0.
    """
    l1, a1, b1 = np.moveaxis(one, -1, 0)
    l2, a2, b2 = np.moveaxis(two, -1, 0)
    mean_chroma7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * np.sqrt(mean_chroma7 / (mean_chroma7 + 25.0**7))
    c1, c2 = np.hypot(a1 * stretch, b1), np.hypot(a2 * stretch, b2)
    h1 = np.degrees(np.arctan2(b1, a1 * stretch)) % 360
    h2 = np.degrees(np.arctan2(b2, a2 * stretch)) % 360
    grey = c1 * c2 == 0
    turn = np.where(grey, 0.0, (h2 - h1 + 180) % 360 - 180)
    # A difference of exactly half a turn keeps its sign: Sharma's equation 10.
    turn = np.where(~grey & (h2 - h1 == 180), 180.0, turn)
    d_hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    l_mean, c_mean = (l1 + l2) / 2, (c1 + c2) / 2
    total = h1 + h2
    apart = np.abs(h1 - h2) > 180
    h_mean = np.where(
        grey, total, np.where(apart, np.where(total < 360, total + 360, total - 360) / 2, total / 2)
    )
    radians = np.radians(h_mean)
    t = (
        1
        - 0.17 * np.cos(radians - np.pi / 6)
        + 0.24 * np.cos(2 * radians)
        + 0.32 * np.cos(3 * radians + np.radians(6))
        - 0.20 * np.cos(4 * radians - np.radians(63))
    )
    bend = (l_mean - 50) ** 2
    s_l = 1 + 0.015 * bend / np.sqrt(20 + bend)
    s_c, s_h = 1 + 0.045 * c_mean, 1 + 0.015 * c_mean * t
    blue = 30 * np.exp(-(((h_mean - 275) / 25) ** 2))
    c7 = c_mean**7
    r_t = -2 * np.sqrt(c7 / (c7 + 25.0**7)) * np.sin(np.radians(2 * blue))
    d_l, d_c, d_h = (l2 - l1) / s_l, (c2 - c1) / s_c, d_hue / s_h
    squared = d_l**2 + d_c**2 + d_h**2 + r_t * d_c * d_h
    return np.asarray(np.sqrt(np.maximum(squared, 0)), dtype=np.float64)
