"""Decode the bytes of a picture into pixels, or refuse them by name.

The only door for pixels. The size is read from the header and held against the limits before
anything is decoded; then the picture is decoded once, in full, for the digest of its pixels,
and reduced to the size that everything else works on. Whatever Pillow raises on hostile bytes
becomes one of the refusals, with what to do about it.

Pure functions of their arguments: any thread may call them, and decoding releases the GIL. A
thread waits while the pictures of others leave no room (`models.pixel_budget`).
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.colour import flatten, to_srgb
from models.container import MAX_PROFILE_BYTES, Container
from models.containers import read_container
from models.pdq import pdq
from models.pixel_budget import DECODING
from models.refusals import (
    ImageEmpty,
    ImageFeatureless,
    ImageTooLarge,
    ImageTooSmall,
    ImageTruncated,
    ImageUndecodable,
)
from models.tiff import read_orientation

__all__ = [
    "FORMATS",
    "WORK_SIDE_PX",
    "ImageEmpty",
    "ImageFeatureless",
    "ImageTooLarge",
    "ImageTooSmall",
    "ImageTruncated",
    "ImageUndecodable",
    "Limits",
    "Picture",
    "decode",
]

UInt8Array = NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What is decoded; no other reader of Pillow is ever tried."""
WORK_SIDE_PX = 1024
"""Longest side of the pixels that fingerprints are made of."""
MAX_SCAN_PIXELS = 3_200_000_000
"""Scans times pixels of a progressive JPEG: 32 passes over 100 megapixels, half a minute."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a picture may be; checked before it is decoded.

    Attributes:
        max_bytes: of the file.
        max_pixels: width times height.
        max_side_px: of the longer side.
        min_side_px: of the shorter side.
    """

    max_bytes: int = 16 * 1024 * 1024
    max_pixels: int = 100_000_000
    max_side_px: int = 30_000
    min_side_px: int = 16


# Pillow warns from 89 megapixels on. Moved once, here, to where our own limit is, so that its
# guard stays in force for whoever else opens pictures in this process.
Image.MAX_IMAGE_PIXELS = Limits().max_pixels


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One decoded picture.

    Attributes:
        rgb: uint8, shape (h, w, 3), sRGB, upright, alpha on white, the longer side at most
            `WORK_SIDE_PX`; never enlarged.
        width_px: of the upright picture, before it was reduced.
        height_px: likewise.
        format: what the file was, one of `FORMATS`.
        sha256: 32 bytes, of the file.
        pixel_sha256: 32 bytes, of the size and the upright 8-bit RGB pixels before any
            colour profile: the same picture in another lossless container has the same.
    """

    rgb: UInt8Array
    width_px: int
    height_px: int
    format: str
    sha256: bytes
    pixel_sha256: bytes

    @property
    def featureless(self) -> bool:
        """Whether the picture is blank or nearly flat, so that there is nothing to match on.

        True without any clear edge in any colour channel and with a PDQ quality of 0. A
        small logo on white has edges, a photograph out of focus has a quality.
        """
        return pdq(self.rgb).quality == 0 and not _has_edges(self.rgb)  # the cheap one first


def decode(data: bytes, limits: Limits = Limits()) -> Picture:
    """Decode one picture file.

    Raises:
        ImageEmpty: no bytes.
        ImageTooLarge: more bytes, pixels or a longer side than the limits allow.
        ImageTooSmall: a shorter side than the limits allow.
        ImageTruncated: the file ends before its picture does.
        ImageUndecodable: anything else that is no readable picture.
    """
    if not data:
        raise ImageEmpty
    if len(data) > limits.max_bytes:
        raise ImageTooLarge("bytes", len(data), limits.max_bytes)
    container = read_container(data)
    if container.format != "AVIF":
        _check_size(container.width_px, container.height_px, container.scans, limits)
    with ExitStack() as held:
        try:
            image, profile = _load(container, limits, held)
        except (ImageTooLarge, ImageTooSmall, ImageUndecodable):
            raise
        except Exception as error:  # Pillow raises nearly anything on hostile bytes
            if not container.complete or _says_truncated(error):
                raise ImageTruncated(container.format, len(data)) from error
            if isinstance(error, MemoryError):
                raise ImageUndecodable("decoding it needs more memory than there is") from error
            detail = f"the {container.format} file is damaged ({_in_words(error)})"
            raise ImageUndecodable(detail) from error
        return _reduced(data, container.format, image, profile)


def _reduced(data: bytes, format_: str, image: Image.Image, profile: bytes) -> Picture:
    """Digest the pixels in full, and reduce them to the size that everything else works on."""
    width, height = image.size
    scale = min(1.0, WORK_SIDE_PX / max(width, height))
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
        pixel_sha256 = _digest(image)
        rgb = np.array(to_srgb(small, profile))
    elif profile or image.mode != "RGB":
        pixel_sha256 = _digest(image)
        rgb = np.array(to_srgb(image, profile))
    else:  # most pictures: their pixels are taken out of Pillow once
        pixels = np.asarray(image)
        pixel_sha256 = _digest(pixels)
        rgb = pixels.copy()
    return Picture(
        rgb=rgb,
        width_px=width,
        height_px=height,
        format=format_,
        sha256=hashlib.sha256(data).digest(),
        pixel_sha256=pixel_sha256,
    )


def _check_size(width_px: int, height_px: int, scans: int, limits: Limits) -> None:
    if max(width_px, height_px) > limits.max_side_px:
        raise ImageTooLarge("side", max(width_px, height_px), limits.max_side_px)
    if width_px * height_px > limits.max_pixels:
        raise ImageTooLarge("pixels", width_px * height_px, limits.max_pixels)
    if min(width_px, height_px) < limits.min_side_px:
        raise ImageTooSmall(width_px, height_px, limits.min_side_px)
    if scans > 4 and scans * width_px * height_px > MAX_SCAN_PIXELS:
        raise ImageUndecodable(f"it is a progressive JPEG of {scans} passes")


def _load(container: Container, limits: Limits, held: ExitStack) -> tuple[Image.Image, bytes]:
    """Decode; return an upright "RGB", "L" or "CMYK" picture and its profile.

    Args:
        held: keeps the room that its pixels take for as long as they are there in full.
    """
    with Image.open(io.BytesIO(container.body), formats=[container.format]) as opened:
        _check_size(*opened.size, container.scans, limits)
        held.enter_context(DECODING.hold(opened.width * opened.height))
        profile = container.profile or opened.info.get("icc_profile") or b""
        orientation = container.orientation
        if container.format in ("WEBP", "AVIF"):
            orientation = read_orientation(opened.info.get("exif") or b"")
        opened.load()
        image = flatten(opened, inverted_cmyk=container.inverted_cmyk)
        turn = _TURNS.get(orientation)
        image = image.transpose(turn) if turn is not None else image
        image.load()
        return image, profile if len(profile) <= MAX_PROFILE_BYTES else b""


def _digest(picture: Image.Image | UInt8Array) -> bytes:
    """Digest the size and the RGB pixels, large pictures in strips to spare the memory."""
    if isinstance(picture, np.ndarray):
        height, width = picture.shape[:2]
        strips = iter((picture,))
    else:
        width, height = picture.size
        strips = _strips(picture, max(1, 16_000_000 // width))
    digest = hashlib.sha256(f"{width}x{height}:".encode())
    for strip in strips:
        digest.update(np.ascontiguousarray(strip))
    return digest.digest()


def _strips(image: Image.Image, rows: int) -> Iterator[UInt8Array]:
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(image.height, top + rows))
        strip = image if rows >= image.height else image.crop(box)
        yield np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB"))


def _says_truncated(error: Exception) -> bool:
    words = str(error).lower()
    return any(sign in words for sign in ("truncated", "unexpected end", "not enough data"))


def _in_words(error: Exception) -> str:
    """Name what went wrong within, without the bytes that some messages quote."""
    words = "".join(c for c in str(error) if c.isprintable())[:80]
    return words or type(error).__name__


def _has_edges(rgb: UInt8Array) -> bool:
    """Whether a few dozen places differ clearly from their neighbours in any channel."""
    h, w = rgb.shape[:2]
    scale = min(1.0, 256 / max(h, w))
    size = (max(2, round(w * scale)), max(2, round(h * scale)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    edges = 0
    for step in (cv2.absdiff(small[:, 1:], small[:, :-1]), cv2.absdiff(small[1:], small[:-1])):
        largest = np.maximum(np.maximum(step[..., 0], step[..., 1]), step[..., 2])
        edges += int(np.count_nonzero(largest >= EDGE_LEVELS))
    return edges >= EDGE_COUNT


EDGE_LEVELS = 12
"""Step between neighbours, in levels of 256, that is an edge and not noise or a gradient."""
EDGE_COUNT = 24
"""Edges that a picture must have at 256 pixels: a dot of seven pixels across has as many."""
