"""What every encoder promises: pixels to a row, rows to unit vectors, and who it is.

Preparing (resizing) is apart from encoding (the forward pass), so that many threads prepare
while one batch is encoded. An encoder's identity holds the digest of its weights: vectors of
two digests never meet in one index.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
FloatArray = NDArray[np.float32]
Row = NDArray[Any]
"""What `prepare` returns and `encode` takes stacked; its type and shape are the encoder's own."""


class EncoderUnavailable(RuntimeError):
    """An encoder can not be used: its weights or its package are missing or wrong.

    Attributes:
        encoder: its name in the configuration.
        detail: what is wrong, and what to do about it.
    """

    reason: ClassVar[str] = "ENCODER_UNAVAILABLE"

    def __init__(self, encoder: str, detail: str) -> None:
        self.encoder = encoder
        self.detail = detail
        super().__init__(f"The encoder {encoder!r} can not be used: {detail}")


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """Who an encoder is; stored with what it made.

    Attributes:
        name: e.g. "sscd".
        dimension: length d of its vectors.
        weights_sha256: 64 hexadecimal digits over its weights and whatever else decides its
            vectors (an encoder with no weights digests its definition).
        device: where it runs, e.g. "cpu".
        input: what `prepare` makes, in words.
    """

    name: str
    dimension: int
    weights_sha256: str
    device: str
    input: str

    @property
    def id(self) -> str:
        """Name and the first digits of the digest, e.g. "sscd@86386042"."""
        return f"{self.name}@{self.weights_sha256[:8]}"


class Encoder(Protocol):
    """Turns pictures into vectors whose inner product says how alike they are.

    Any thread may call any method; `encode` may use several cores of its own.
    """

    @property
    def info(self) -> EncoderInfo:
        """Who this is."""
        ...

    def prepare(self, rgb: UInt8Array) -> Row:
        """Make one picture ready.

        Args:
            rgb: uint8, shape (h, w, 3), sRGB, upright. Not modified.

        Returns:
            One row; rows of one encoder may be stacked when their shapes are equal.
        """
        ...

    def encode(self, batch: Row) -> FloatArray:
        """Encode n rows.

        Args:
            batch: n stacked rows, n at least 1. Not modified.

        Returns:
            float32, shape (n, d), rows of length 1 within 1e-3, in the order of the rows.
        """
        ...


def to_unit(vectors: FloatArray) -> FloatArray:
    """Scale each row to length 1; a row of zeros points evenly in all directions."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    flat = np.float32(1.0 / np.sqrt(vectors.shape[1]))
    with np.errstate(invalid="ignore"):
        unit = np.where(lengths > 1e-12, vectors / np.maximum(lengths, 1e-12), flat)
    return np.ascontiguousarray(unit, dtype=np.float32)


def digest_file(path: Path) -> str:
    """SHA-256 of a file in hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
