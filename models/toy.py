"""A small true encoder, for tests and for trying things without weights.

It sees colours and edges on an 8 x 8 grid: enough to find recompressed and resized copies,
and to be wrong about crops, as a real encoder of that kind would be.
"""

import hashlib

import numpy as np
from PIL import Image

from models.encoders import EncoderInfo, FloatArray, Row, UInt8Array, to_unit

SIDE_PX = 32
GRID = 8
_DEFINITION = b"toy 1: 32 px box, 8 x 8 grid, centred colours and absolute gradients"


class ToyEncoder:
    """Colours less their mean, and absolute gradients, averaged over an 8 x 8 grid: d = 320."""

    def __init__(self, name: str = "toy") -> None:
        self._info = EncoderInfo(
            name=name,
            dimension=GRID * GRID * 5,
            weights_sha256=hashlib.sha256(_DEFINITION).hexdigest(),
            device="cpu",
            input=f"uint8 RGB {SIDE_PX} x {SIDE_PX}, Pillow box",
        )

    @property
    def info(self) -> EncoderInfo:
        return self._info

    def prepare(self, rgb: UInt8Array) -> Row:
        small = Image.fromarray(rgb).resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
        return np.asarray(small)

    def encode(self, batch: Row) -> FloatArray:
        pixels = batch.astype(np.float32) / np.float32(255.0)
        light = pixels.mean(axis=3)
        across = np.abs(np.diff(light, axis=2, append=light[:, :, -1:]))
        down = np.abs(np.diff(light, axis=1, append=light[:, -1:, :]))
        planes = np.concatenate(
            [pixels - pixels.mean(axis=(1, 2), keepdims=True), across[..., None], down[..., None]],
            axis=3,
        )
        n, cell = len(batch), SIDE_PX // GRID
        cells = planes.reshape(n, GRID, cell, GRID, cell, 5).mean(axis=(2, 4), dtype=np.float32)
        return to_unit(cells.reshape(n, -1))
