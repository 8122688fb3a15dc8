"""How pictures are made ready for the copy descriptor, without the descriptor itself.

The picture is squashed to a square with Pillow's bilinear filter: resamplers differ enough to
move a cosine to 0.93, so originals and listings share this one.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.encoders import Row, UInt8Array

_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


@dataclass(frozen=True, slots=True)
class Preparation:
    """A plain value: it can be sent to where the model is not.

    Attributes:
        size: width and height that the model takes.
        channels_first: whether it takes normalised float32 (3, h, w) instead of uint8 (h, w, 3).
    """

    size: tuple[int, int]
    channels_first: bool

    def __call__(self, rgb: UInt8Array) -> Row:
        """Make one picture ready; see `Encoder.prepare`."""
        squashed = Image.fromarray(rgb).resize(self.size, Image.Resampling.BILINEAR)
        pixels = np.asarray(squashed)
        if not self.channels_first:
            return pixels
        scaled = (pixels.astype(np.float32) / np.float32(255.0) - _MEAN) / _DEVIATION
        return np.ascontiguousarray(scaled.transpose(2, 0, 1))
