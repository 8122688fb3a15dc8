"""How fine detail was changed: blurred, sharpened, given noise, compressed visibly.

Everything is compared at the lower resolution of the two pictures, so that a small listing
is not a blurred one. Each number is the median over many small blocks: a sticker that covers
some of them does not move it.

Pure functions of their arguments: any thread may call them.
"""

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from models.layout import FloatArray, Matrix, UInt8Array
from models.scaling import shrink_to
from service.matching import laid
from service.matching.alignment import facing, project, visible
from service.matching.colours import Transfer

BoolArray = NDArray[np.bool_]

_SIDE_PX = 400
_TILE_PX = 256
_MIDDLE_PX = 320
"""Part of each picture in its own pixels, by which noise and the blocks of JPEG are measured."""
_SHARE = 0.8
"""Part of the lower resolution at which detail is compared: laying over costs the finest."""
_BLOCK = 16
_SIGMAS = (0.0, 0.4, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2, 3.0, 4.0, 5.5, 8.0)
_PRE = 0.6


@dataclass(frozen=True, slots=True)
class Texture:
    """What became of the fine detail.

    Attributes:
        blur_px: standard deviation of the Gaussian that would blur the original as much, in
            pixels of the listing; 0 where nothing was lost.
        gain: contrast of the finest detail beside the original's; 1 where nothing changed.
        noise: standard deviation of the noise that was added, in grey levels of 0..255.
        blocks: how much the grid of JPEG's blocks stands out beside the original's, as a
            share of the usual difference between neighbouring pixels.
    """

    blur_px: float
    gain: float
    noise: float
    blocks: float


def texture(
    listing: UInt8Array, original: UInt8Array, matrix: Matrix, transfer: Transfer
) -> Texture:
    """Measure what became of the fine detail.

    Args:
        listing: uint8, shape (h, w, 3).
        original: uint8, shape (H, W, 3).
        matrix: settled, see `laid.settle`.
        transfer: how the colours were changed.
    """
    frame = laid.Frame.of(listing, original, matrix, _SIDE_PX, _SHARE)
    ours = _shown(listing, matrix)
    # At the listing's size: what is reduced has more detail in each pixel, which is no noise.
    size = round(max(original.shape[:2]) * frame.scale)
    small = _reduced(original, max(2 * _BLOCK, size))
    theirs = _middle(small)
    # Noise of the channels evens out in luma, so it is taken from green, the weightiest.
    before, after = (noise(each[..., 1].astype(np.float32)) for each in (theirs, ours))
    added = math.sqrt(max(0.0, after**2 - before**2))
    stands = max(0.0, blocking(ours) - max(0.0, blocking(theirs)))
    h, w = frame.original.shape[:2]
    top, left = _tile(frame.original, matrix)
    part = frame.original[top : top + _TILE_PX, left : left + _TILE_PX]
    high, wide = part.shape[:2]
    there: Matrix = np.array([[w / wide, 0, -left / wide], [0, h / high, -top / high], [0, 0, 1.0]])
    drawn, inside = laid.drawn(listing, there @ matrix, (wide, high), frame.pitch)
    blur, gain = _sharpness(_luma(drawn), _luma(transfer.apply(part)), inside)
    return Texture(blur / frame.pitch, gain, added, stands)


def noise(channel: FloatArray) -> float:
    """Standard deviation of the noise of a channel, in its own levels (Immerkaer 1996).

    Taken from the quieter blocks, so that texture is not mistaken for it.
    """
    if min(channel.shape) < 2 * _BLOCK:
        return 0.0
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32) / 6
    response = cv2.filter2D(channel, cv2.CV_32F, mask)[1:-1, 1:-1]
    power = _blocks(response * response)
    clipped = _blocks(((channel <= 2) | (channel >= 253)).astype(np.float32)[1:-1, 1:-1])
    # Noise on black or white is cut in half, so the blocks with the least of both are asked.
    open_ = power[clipped <= 0.05]
    few = open_.size < 0.05 * power.size
    chosen = power[clipped <= np.percentile(clipped, 25)] if few else open_
    return float(np.sqrt(np.percentile(chosen, 20)))


def blocking(rgb: UInt8Array) -> float:
    """How much a grid of 8 x 8 pixels stands out in the luma, 0 for none."""
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if min(luma.shape) < 40:
        return 0.0
    return min(
        _period(cv2.absdiff(luma[:, 1:], luma[:, :-1]), 0),
        _period(cv2.absdiff(luma[1:], luma[:-1]), 1),
    )


def _period(steps: MatLike, along: Literal[0, 1]) -> float:
    """How much every eighth of the steps between neighbours stands out."""
    means = cv2.reduce(np.minimum(steps, 16), along, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel()
    smooth = (means[:-2] + means[2:]) / 2
    bump = (means[1:-1] - smooth) / (float(np.median(means)) + 0.15)
    phases = np.sort(np.median(bump[: len(bump) // 8 * 8].reshape(-1, 8), axis=0))
    return float(phases[-1] - max(0.0, phases[-2]))


def _sharpness(drawn: FloatArray, fit: FloatArray, inside: BoolArray) -> tuple[float, float]:
    """Blur in pixels of the frame, and the gain of fine contrast."""
    lies = _blocks(inside.astype(np.float32)) > 0.99
    ours, theirs = _blocks(_energy(drawn, _PRE)), _blocks(_energy(fit, _PRE))
    if not lies.any():
        return 0.0, 1.0
    order = theirs[lies]
    level = max(float(np.percentile(order, 60)), 4.0)
    strong = lies & (theirs >= level)
    if strong.sum() < 4:
        return 0.0, 1.0
    flat = lies & (theirs <= 1.0)
    grain = max(0.0, float(np.median((ours - theirs)[flat]))) if flat.sum() >= 4 else 0.0
    ours = np.maximum(ours - grain, 1e-2)
    last = math.inf
    for k, sigma in enumerate(_SIGMAS):
        energy = _blocks(_energy(fit, math.hypot(sigma, _PRE)))
        ratio = float(np.median(np.log(ours[strong] / np.maximum(energy[strong], 1e-2))))
        if k == 0:
            gain = math.exp(ratio / 2)
        if ratio >= 0:
            if k == 0:
                return 0.0, gain
            share = -last / (ratio - last)
            return _SIGMAS[k - 1] + share * (sigma - _SIGMAS[k - 1]), gain
        last = ratio
    return _SIGMAS[-1], gain


def _energy(luma: FloatArray, sigma: float) -> FloatArray:
    smooth = cv2.GaussianBlur(luma, (0, 0), sigma)
    gx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)
    gy = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)
    return np.asarray(gx * gx + gy * gy, dtype=np.float32)


def _blocks(values: FloatArray) -> FloatArray:
    """Means over squares of `_BLOCK` pixels; what is left over at the end is not used."""
    h, w = (max(1, n // _BLOCK) for n in values.shape)
    cut = np.ascontiguousarray(values[: h * _BLOCK, : w * _BLOCK])
    return np.asarray(cv2.resize(cut, (w, h), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _tile(original: UInt8Array, matrix: Matrix) -> tuple[int, int]:
    """Top and left of the part with the most detail that both show; chosen at half the size."""
    h, w = original.shape[:2]
    small = shrink_to(original, max(1, max(h, w) // 2))
    sh, sw = small.shape[:2]
    shared = np.zeros((sh, sw), np.uint8)
    corners = project(visible(matrix), facing(matrix)) * [sw, sh]
    cv2.fillConvexPoly(shared, corners.round().astype(np.int32), 1)
    energy = np.minimum(_energy(_luma(small), _PRE), 400) * shared
    sums = cv2.integral(energy)
    step = _BLOCK // 2
    th, tw = min(sh, _TILE_PX // 2), min(sw, _TILE_PX // 2)
    tops, lefts = np.arange(0, sh - th + 1, step), np.arange(0, sw - tw + 1, step)
    y, x = np.meshgrid(tops, lefts, indexing="ij")
    total = sums[y + th, x + tw] - sums[y, x + tw] - sums[y + th, x] + sums[y, x]
    k = int(total.argmax())
    top, left = 2 * int(y.flat[k]), 2 * int(x.flat[k])
    return max(0, min(top, h - _TILE_PX)), max(0, min(left, w - _TILE_PX))


def _reduced(rgb: UInt8Array, side: int) -> UInt8Array:
    """Reduced by area, which leaves just the noise that a picture of that size would have."""
    scale = side / max(rgb.shape[:2])
    if scale >= 1:
        return rgb
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def _shown(listing: UInt8Array, matrix: Matrix) -> UInt8Array:
    """The upright part of the listing in which the original lies, in its own pixels."""
    part = visible(matrix)
    h, w = listing.shape[:2]
    if len(part) < 3:
        return listing
    left, top = np.floor(part.min(axis=0) * [w, h]).astype(int)
    right, bottom = np.ceil(part.max(axis=0) * [w, h]).astype(int)
    cut = listing[max(0, top) : bottom, max(0, left) : right]
    return _middle(cut) if cut.size else listing


def _middle(rgb: UInt8Array) -> UInt8Array:
    """At most `_MIDDLE_PX` a side, from the middle."""
    top, left = (max(0, n - _MIDDLE_PX) // 2 for n in rgb.shape[:2])
    return rgb[top : top + _MIDDLE_PX, left : left + _MIDDLE_PX]


def _luma(rgb: UInt8Array) -> FloatArray:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.float32)
