"""The subject of a picture: what stands on the ground, and what is only ground.

Two garments photographed on one carpet share the carpet. So agreement is measured apart for
the subject and for its surroundings. GrabCut (Rother et al. 2004) by OpenCV, begun from how
little a pixel is like the rim of the picture; small, since it runs once per original.

A pure function of its argument: any thread may call it.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]

VERSION = 1
_RIM = 0.06
_RIM_COLOURS = 4
_PLAUSIBLE = (0.03, 0.92)
"""Shares of the picture that a subject may take; outside them everything is the subject."""


def subject_mask(rgb: UInt8Array) -> BoolArray:
    """Find the subject of a small picture.

    Args:
        rgb: uint8, shape (h, w, 3), about 128 px a side.

    Returns:
        bool, shape (h, w), True on the subject; all True when no subject stands out.
    """
    h, w = rgb.shape[:2]
    unlike = _unlike_rim(rgb)
    level, _ = cv2.threshold(unlike, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    y, x = np.mgrid[0:h, 0:w]
    centre = ((x - w / 2) / (w / 2)) ** 2 + ((y - h / 2) / (h / 2)) ** 2
    likely = (unlike > level) & (centre < 1.2)
    mask = np.where(likely, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    rim = _rim(h, w)
    mask[rim & (unlike <= level)] = cv2.GC_BGD
    mask[(unlike > level) & (centre < 0.1)] = cv2.GC_FGD
    whole = np.ones((h, w), dtype=np.bool_)
    if not (mask & 1).any() or (mask & 1).all():
        return whole
    cv2.setRNGSeed(1)  # GrabCut clusters colours from random starts
    ground, figure = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(rgb, mask, (0, 0, w, h), ground, figure, 2, cv2.GC_INIT_WITH_MASK)
    subject = (mask & 1).astype(np.uint8)
    opened = cv2.morphologyEx(subject, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    if not _PLAUSIBLE[0] <= float(np.mean(opened)) <= _PLAUSIBLE[1]:
        return whole
    return np.asarray(opened, dtype=np.bool_)


def _rim(h: int, w: int) -> BoolArray:
    rim = np.ones((h, w), dtype=np.bool_)
    my, mx = max(1, round(_RIM * h)), max(1, round(_RIM * w))
    rim[my:-my, mx:-mx] = False
    return rim


def _unlike_rim(rgb: UInt8Array) -> UInt8Array:
    """How far each pixel's colour is from the colours of the rim: 0..255 for ΔE 0..64."""
    h, w = rgb.shape[:2]
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    pixels = lab[_rim(h, w)].astype(np.float32)
    cv2.setRNGSeed(1)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 8, 1.0)
    labels = np.zeros((len(pixels), 1), np.int32)
    _, _, colours = cv2.kmeans(pixels, _RIM_COLOURS, labels, stop, 1, cv2.KMEANS_PP_CENTERS)
    apart = np.linalg.norm(lab[:, :, None] - colours[None, None], axis=3).min(axis=2)
    smooth = cv2.GaussianBlur(apart.astype(np.float32), (0, 0), 1.0)
    return np.asarray(np.clip(smooth * 4, 0, 255), dtype=np.uint8)
