"""pHash, the 64-bit perceptual hash of imagehash; PDQ has its own module.

Pure functions of their arguments: any thread may call them.
"""

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

PHASH_BITS = 64


def phash(rgb: NDArray[np.uint8]) -> int:
    """Hash one picture with imagehash's pHash.

    Args:
        rgb: uint8, shape (h, w, 3). Not modified.

    Returns:
        64 bits, 0 <= value < 2**64; the first bit of imagehash is the most significant,
        so that `f"{value:016x}"` is the text imagehash prints.
    """
    bits = imagehash.phash(Image.fromarray(rgb)).hash
    return int.from_bytes(np.packbits(bits.reshape(-1)).tobytes(), "big")


def bits_apart(a: int, b: int) -> int:
    """Count the bits in which two hashes differ, 0..64; lower is more alike."""
    return (a ^ b).bit_count()
