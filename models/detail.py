"""Detail: what the store keeps of an original beside its vectors.

A small picture, its subject and its key points are what verification lays a listing on; a preview
is what people look at, and what edits are measured against. All are kept encoded.

Pure functions of their arguments: any thread may call them.
"""

import io
import struct
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models import features, layout
from models.features import FeaturesCorrupt, LocalFeatures
from models.subject import subject_mask

UInt8Array = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]

PREVIEW_SIDE_PX = 640
PREVIEW_QUALITY = 82
_PREVIEW_EFFORT = 1
"""Of 0..6: as good a picture as with the usual 4 at a third of the time, a fifth larger."""
VERSION = 2
"""Raised when the same original would get other details; part of the schema id."""
_HEAD = struct.Struct("<BI")


@dataclass(frozen=True, slots=True, eq=False)
class Detail:
    """What verification needs of an original.

    Attributes:
        thumbnail: uint8, shape (layout.FINE_SIDE_PX, layout.FINE_SIDE_PX, 3), stretched.
        subject: bool, shape (layout.SIDE_PX, layout.SIDE_PX), see `models.subject`.
        points: its key points.
    """

    thumbnail: UInt8Array
    subject: BoolArray
    points: LocalFeatures

    @staticmethod
    def of(rgb: UInt8Array) -> "Detail":
        """Compute it from the pixels of a picture."""
        # Through the codec, so that an original weighs alike on the day it is registered and
        # whenever it is read back.
        square = _pixels(_jpeg(layout.thumbnail(rgb, layout.FINE_SIDE_PX)))
        subject = subject_mask(layout.thumbnail(square))
        return Detail(square, subject, features.detect(layout.grey(rgb)))

    def to_bytes(self) -> bytes:
        """Encode for the store, about 50 to 100 KB."""
        coded = _jpeg(self.thumbnail)
        mask = np.packbits(self.subject).tobytes()
        head = _HEAD.pack(VERSION, len(coded))
        return head + coded + mask + self.points.to_bytes()

    @staticmethod
    def from_bytes(data: bytes) -> "Detail":
        """Decode what `to_bytes` made.

        Raises:
            FeaturesCorrupt: the bytes are damaged or of another version.
        """
        if len(data) < _HEAD.size:
            raise FeaturesCorrupt(f"{len(data)} bytes are too few")
        version, length = _HEAD.unpack_from(data)
        if version != VERSION:
            raise FeaturesCorrupt(f"their version {version} is unknown to this release")
        end = _HEAD.size + length
        rest = end + layout.SIDE_PX**2 // 8
        if len(data) < rest:
            raise FeaturesCorrupt("they end early")
        mask = np.unpackbits(np.frombuffer(data[end:rest], np.uint8)).astype(np.bool_)
        return Detail(
            _pixels(data[_HEAD.size : end]),
            mask.reshape(layout.SIDE_PX, layout.SIDE_PX),
            LocalFeatures.from_bytes(data[rest:]),
        )


def preview(rgb: UInt8Array) -> bytes:
    """Encode a small picture to look at: WebP."""
    image = Image.fromarray(rgb)
    image.thumbnail((PREVIEW_SIDE_PX, PREVIEW_SIDE_PX), Image.Resampling.BILINEAR)
    out = io.BytesIO()
    image.save(out, "WEBP", quality=PREVIEW_QUALITY, method=_PREVIEW_EFFORT)
    return out.getvalue()


def read_preview(coded: bytes) -> UInt8Array:
    """Decode what `preview` made: uint8, shape (h, w, 3).

    Raises:
        FeaturesCorrupt: the bytes are damaged.
    """
    bgr = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR) if coded else None
    if bgr is None:
        raise FeaturesCorrupt("a preview or thumbnail is damaged")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _jpeg(rgb: UInt8Array) -> bytes:
    flags = [cv2.IMWRITE_JPEG_QUALITY, 92]
    _, coded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), flags)
    return coded.tobytes()


def _pixels(coded: bytes) -> UInt8Array:
    rgb = read_preview(coded)
    if rgb.shape != (layout.FINE_SIDE_PX, layout.FINE_SIDE_PX, 3):
        raise FeaturesCorrupt("the thumbnail has another size")
    return rgb
