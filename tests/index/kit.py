"""What the tests of this folder share: small spaces, rows and originals from a seed."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.live import LiveIndex
from index.records import NewOriginal, OriginalRecord
from index.spaces import Neighbor, Space, scores

SSCD = Space("sscd", "float", 16)
PDQ = Space("pdq", "binary", 32)
SPACES = (SSCD, PDQ)
SCHEMA = "schema-1"


def rows(space: Space, n: int, seed: int = 0) -> NDArray[Any]:
    """n rows as an encoder would give them."""
    rng = np.random.default_rng([seed, n, space.dimension])
    if space.kind == "binary":
        return rng.integers(0, 256, (n, space.width), dtype=np.uint8)
    values = rng.standard_normal((n, space.dimension))
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    return unit.astype(np.float32)  # rounded last: the same bytes on every machine


def original(number: int, brand: str = "acme", **changes: Any) -> NewOriginal:
    """A small original whose every part follows from its number."""
    rng = np.random.default_rng(number)
    given: dict[str, Any] = {
        "brand": brand,
        "original": f"photo-{number:05d}",
        "display_name": f"Photo {number}",
        "annotations": {"season": "spring"},
        "sha256": rng.bytes(32),
        "pixel_sha256": rng.bytes(32),
        "width_px": 640,
        "height_px": 480,
        "format": "JPEG",
        "byte_count": 1000 + number,
        "vectors": {space.name: rows(space, 1, seed=number)[0] for space in SPACES},
        "attributes": {"pdq_quality": 90, "distinctiveness": 0.5, "phash": 2**63 + number},
        "preview": f"preview {number}".encode(),
        "features": f"features {number}".encode(),
    }
    return NewOriginal(**(given | changes))


def registered(result: OriginalRecord | Exception) -> OriginalRecord:
    """The record of an item of `register_many`, or its error raised."""
    if isinstance(result, Exception):
        raise result
    return result


def keys(found: list[list[Neighbor]]) -> list[list[int]]:
    """Only the keys."""
    return [[neighbor.key for neighbor in row] for row in found]


def every_row_finds_itself(index: LiveIndex) -> None:
    """The self-match check: each live row is its own nearest, or ties with an equal row."""
    for piece in index.state.pieces:
        batch = piece.live()
        queries = batch.rows
        if index.space.kind == "float":
            wide = queries.astype(np.float32)
            queries = wide / np.linalg.norm(wide, axis=1, keepdims=True)
        queries = index.space.checked(queries)
        found = index.search(queries, 1)
        for key, row, query, (best,) in zip(batch.keys, batch.rows, queries, found, strict=True):
            assert best.key == key or best.score == scores(index.space, query, row[None])[0]


def ticking(start_ns: int = 1_700_000_000_000_000_000) -> Callable[[], int]:
    """A clock that moves one second with each look."""
    now = [start_ns]

    def clock() -> int:
        now[0] += 10**9
        return now[0]

    return clock
