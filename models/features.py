"""Local features: RootSIFT key points, for verifying a candidate by geometry.

SIFT (Lowe 2004) by OpenCV, with the Hellinger mapping of Arandjelovic and Zisserman (2012).
Descriptors of a mirrored picture are the same numbers in another order, so both mirrorings
of a listing cost one detection.

Pure functions of their arguments: any thread may call them.
"""

import struct
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

SIDE_PX = 480
"""Longest side of the picture that key points are looked for in; never enlarged."""
COARSE_SIDE_PX = 240
"""Longest side for a first try: a quarter of the work, and where many points agree, enough."""
MAX_POINTS = 500
CONTRAST = 0.02
"""Half of OpenCV's default: packshots are smooth."""
VERSION = 1
"""Raised when the same picture would get other features; part of the schema id."""

_HEAD = struct.Struct("<BHHH")


class FeaturesCorrupt(RuntimeError):
    """Stored features that can not be read."""

    reason: ClassVar[str] = "FEATURES_CORRUPT"

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"stored local features can not be read: {why}")


@dataclass(frozen=True, slots=True, eq=False)
class LocalFeatures:
    """Key points of one picture.

    Attributes:
        points: float32, shape (n, 2), x and y in pixels of a picture of `size`.
        descriptors: uint8, shape (n, 128): the square root of each SIFT value's share, in
            units of 1/255. Rows have length 255 to rounding.
        size: width and height of that picture, in pixels.
    """

    points: FloatArray
    descriptors: UInt8Array
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.points)

    def unit_rows(self) -> FloatArray:
        """The descriptors as float32 rows of length 1, shape (n, 128)."""
        rows = self.descriptors.astype(np.float32)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(rows / np.maximum(lengths, 1e-6), dtype=np.float32)

    def mirrored(self) -> "LocalFeatures":
        """The features of the picture mirrored left to right."""
        width, _ = self.size
        points = self.points.copy()
        points[:, 0] = width - 1 - points[:, 0]
        return LocalFeatures(points, mirrored_rows(self.descriptors), self.size)

    def to_bytes(self) -> bytes:
        """Encode for the store; points are rounded to a sixteenth of a pixel."""
        head = _HEAD.pack(VERSION, len(self), *self.size)
        points = np.round(self.points * 16).astype("<u2")
        return head + points.tobytes() + self.descriptors.tobytes()

    @staticmethod
    def from_bytes(data: bytes) -> "LocalFeatures":
        """Decode what `to_bytes` made.

        Raises:
            FeaturesCorrupt: the bytes are damaged or of another version.
        """
        if len(data) < _HEAD.size:
            raise FeaturesCorrupt(f"{len(data)} bytes are too few")
        version, count, width, height = _HEAD.unpack_from(data)
        if version != VERSION:
            raise FeaturesCorrupt(f"their version {version} is unknown to this release")
        if len(data) != _HEAD.size + count * 132:
            raise FeaturesCorrupt(f"{len(data)} bytes do not hold {count} features")
        points = np.frombuffer(data, "<u2", count * 2, _HEAD.size).reshape(-1, 2)
        rows = np.frombuffer(data, np.uint8, count * 128, _HEAD.size + count * 4)
        return LocalFeatures(
            (points / np.float32(16)).astype(np.float32), rows.reshape(-1, 128), (width, height)
        )


def mirrored_rows(descriptors: UInt8Array) -> UInt8Array:
    """The descriptors, shape (n, 128), of the same points in the mirrored picture."""
    # 4 x 4 cells of 8 directions in the key point's own frame: mirroring turns the rows of cells
    # upside down and the directions round.
    cells = descriptors.reshape(-1, 4, 4, 8)
    return cells[:, ::-1][:, :, :, (-np.arange(8)) % 8].reshape(-1, 128)


def detect(luma: UInt8Array, side: int = SIDE_PX) -> LocalFeatures:
    """Find the strongest key points of a picture.

    Args:
        luma: uint8, shape (h, w).
        side: its longest side, in pixels, when they are looked for; never enlarged.

    Returns:
        At most `MAX_POINTS`; none for a flat picture.
    """
    scale = side / max(luma.shape)
    if scale < 1:
        luma = np.asarray(
            cv2.resize(luma, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA),
            dtype=np.uint8,
        )
    size = (luma.shape[1], luma.shape[0])
    detector = cv2.SIFT.create(nfeatures=MAX_POINTS, contrastThreshold=CONTRAST)
    points, rows = detector.detectAndCompute(luma, None)
    if rows is None or not len(points):
        return LocalFeatures(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8), size)
    shares = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-9)
    root = np.round(np.sqrt(shares) * 255).astype(np.uint8)[:MAX_POINTS]
    places = np.array([point.pt for point in points], dtype=np.float32)[:MAX_POINTS]
    return LocalFeatures(places.clip(0), root, size)
