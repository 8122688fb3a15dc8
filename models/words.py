"""Visual words: key points as short codes that can be looked up among those of all originals.

Each half of a RootSIFT descriptor is given the nearest of 256 centroids, and the two are its word
(the inverted multi-index of Babenko and Lempitsky 2012); on which side of its word each of the 128
numbers lies is its code (Hamming embedding, Jegou, Douze and Schmid 2008). Of a descriptor and that
of the mirrored point the one with the heavier upper half stands for both, so that mirrored
pictures have the same words. The centroids are those of key points of pictures that have nothing
to do with what is registered (`scripts/make_words.py`).

Pure functions of their arguments: any thread may call them.
"""

import functools
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.features import FloatArray, LocalFeatures, UInt8Array, mirrored_rows

VERSION = 1
"""Raised when the same picture would get other words; part of the schema id."""
POINTS = 256
"""Most points of an original that are kept, spread over all it has."""
CODE_BYTES = 16
NOWHERE = 0xFFFF
"""The word of the places of a row that hold no point; the last word itself is not used."""
LEAST = 8
"""Fewer points of a picture say nothing of it."""
CENTROIDS, HALF = 256, 64
_NEAREST = 2
"""Centroids of each half that a point of a listing is looked up with, so four words."""


class Probes(NamedTuple):
    """The points of a listing, ready to be looked up.

    Attributes:
        words: uint16, shape (n, 4).
        codes: uint8, shape (n, 4, CODE_BYTES): the code with each word.
    """

    words: NDArray[np.uint16]
    codes: UInt8Array


def row_of(features: LocalFeatures) -> UInt8Array | None:
    """What is kept of an original's points: all words, low byte first, then all codes.

    Returns:
        uint8, shape (POINTS * (2 + CODE_BYTES),); None where there are too few points.
    """
    if len(features) < LEAST:
        return None
    chosen = np.unique(np.linspace(0, len(features) - 1, POINTS).round().astype(np.int64))
    rows = canonical(features.descriptors[chosen])
    nearest = [_distances(rows, half).argmin(axis=1) for half in (0, 1)]
    words, codes = _coded(rows, nearest[0], nearest[1])
    held = np.full(POINTS, NOWHERE, "<u2")
    kept = np.zeros((POINTS, CODE_BYTES), np.uint8)
    held[: len(words)], kept[: len(codes)] = words, codes
    return np.concatenate([held.view(np.uint8), kept.reshape(-1)])


def probes(features: LocalFeatures) -> Probes | None:
    """The points of a listing with the words that they may have; None where there are too few."""
    if len(features) < LEAST:
        return None
    rows = canonical(features.descriptors)
    near = [
        np.argpartition(_distances(rows, half), _NEAREST, axis=1)[:, :_NEAREST] for half in (0, 1)
    ]
    upper = np.repeat(near[0], _NEAREST, axis=1)
    lower = np.tile(near[1], (1, _NEAREST))
    return Probes(*_coded(rows[:, None], upper, lower))


def _coded(
    rows: FloatArray, upper: NDArray[np.int64], lower: NDArray[np.int64]
) -> tuple[NDArray[np.uint16], UInt8Array]:
    """Words and codes of descriptors, shape (..., 128), with these centroids, shape (...)."""
    middle = np.concatenate([centroids()[0][upper], centroids()[1][lower]], axis=-1)
    words = np.minimum(upper * CENTROIDS + lower, NOWHERE - 1).astype(np.uint16)
    return words, np.packbits(rows > middle, axis=-1)


def canonical(descriptors: UInt8Array) -> FloatArray:
    """Rows of length 1, float32: of each descriptor and its mirror image the same one."""
    light = descriptors[:, :HALF].sum(axis=1, dtype=np.int64) < descriptors[:, HALF:].sum(
        axis=1, dtype=np.int64
    )
    rows = np.where(light[:, None], mirrored_rows(descriptors), descriptors).astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-6), dtype=np.float32)


def _distances(rows: FloatArray, half: int) -> FloatArray:
    """How far each row's half is from each centroid, but for the row's own length."""
    middle = centroids()[half]
    part = rows[:, half * HALF : (half + 1) * HALF]
    return np.asarray((middle * middle).sum(axis=1) - 2 * part @ middle.T, dtype=np.float32)


@functools.cache
def centroids() -> FloatArray:
    """The bundled centroids: float32, shape (2, 256, 64)."""
    with resources.files("models").joinpath("data/words.npz").open("rb") as file:
        stored = np.load(file, allow_pickle=False)["centroids"]
    return np.asarray(stored, dtype=np.float32)
