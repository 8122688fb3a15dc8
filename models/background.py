"""How ordinary a picture is: its likeness to a fixed set of pictures that nobody protects.

A plain white packshot is fairly like every other one, so a cosine of 0.6 between two of them
means little; between two busy street scenes it means a lot. Subtracting the likeness to an
independent background set ("score normalisation" of the ISC 2021 challenge) takes that into
account, for the listing and for the original. The set comes as vectors, made from freely
licensed pictures by `scripts/make_background.py`; a marketplace does better with its own.

Read-only after loading: any thread may call it.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
NEAREST = 5
"""The mean of this many highest similarities is a picture's ordinariness."""


class BackgroundCorrupt(ValueError):
    """A background file that can not be read."""

    reason: ClassVar[str] = "BACKGROUND_CORRUPT"

    def __init__(self, path: str, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(
            f"the background {path} can not be read ({why}); make it again with "
            "scripts/make_background.py"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """Vectors of the background pictures, per kind of vector.

    Attributes:
        rows: by id (`sscd@ab12cd34`, `layout@1`, `pdq@1`): float32 unit rows, shape (n, d),
            or uint8 packed bits, shape (n, bits / 8).
        about: where the pictures came from and the command that made the file.
    """

    rows: Mapping[str, NDArray[np.generic]]
    about: Mapping[str, object] = field(default_factory=dict)

    def ordinariness(self, id_: str, vectors: NDArray[np.generic]) -> FloatArray | None:
        """Say how alike pictures are to the background.

        Args:
            id_: of the kind of vector.
            vectors: unit rows, shape (m, d), or packed bits, shape (m, bits / 8).

        Returns:
            float32, shape (m,): mean of the five highest similarities (cosines, or shares of
            equal bits); None when the background holds no vectors of this id.
        """
        rows = self.rows.get(id_)
        if rows is None or len(rows) < NEAREST:
            return None
        if rows.dtype == np.uint8:
            apart = np.bitwise_count(
                vectors[:, None].astype(np.uint8) ^ rows[None].astype(np.uint8)
            )
            alike = 1 - apart.sum(axis=2, dtype=np.int64) / (8 * rows.shape[1])
        else:
            alike = vectors.astype(np.float32, copy=False) @ rows.astype(np.float32, copy=False).T
        top = np.partition(alike, -NEAREST, axis=1)[:, -NEAREST:]
        return np.asarray(top.mean(axis=1), dtype=np.float32)

    def save(self, path: Path) -> None:
        """Write the vectors to a file, floats rounded to float16."""
        kept = {
            id_: rows if rows.dtype == np.uint8 else rows.astype(np.float16)
            for id_, rows in self.rows.items()
        }
        about = np.frombuffer(json.dumps(dict(self.about)).encode(), np.uint8)
        with path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, about=about, **kept)

    @staticmethod
    def load(path: Path) -> "Background":
        """Read a file that `save` wrote.

        Raises:
            BackgroundCorrupt: it is none.
            OSError: it can not be opened.
        """
        return _read(path.read_bytes(), str(path))

    @staticmethod
    def bundled() -> "Background":
        """The background that comes with the package."""
        data = resources.files("models").joinpath("data/background.npz").read_bytes()
        return _read(data, "of the package")


def _read(data: bytes, name: str) -> Background:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            about = json.loads(arrays["about"].tobytes())
            rows = {
                id_: arrays[id_] if arrays[id_].dtype == np.uint8 else _unit(arrays[id_])
                for id_ in arrays.files
                if id_ != "about"
            }
    except (ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise BackgroundCorrupt(name, f"{type(error).__name__}: {error}") from error
    return Background(rows, about)


def _unit(rows: NDArray[np.generic]) -> FloatArray:
    wide = rows.astype(np.float32)
    return np.asarray(wide / np.linalg.norm(wide, axis=1, keepdims=True), dtype=np.float32)
