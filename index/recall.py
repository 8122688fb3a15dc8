"""What an approximate index misses, measured against comparing with everything."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.spaces import Positions, Rows, Space, scores

RECALL_K = 10
_QUERIES = 200
_BLOCK_ROWS = 65_536


def recall_queries(space: Space, rows: Rows) -> NDArray[Any]:
    """Some of the rows, disturbed like edited copies: cosine about 0.8, or 10 % of bits flipped."""
    rng = np.random.default_rng(len(rows))
    count = min(_QUERIES, len(rows))
    picked = rows[np.sort(rng.choice(len(rows), count, replace=False))]
    if space.kind == "binary":
        return picked ^ np.packbits(rng.random((count, space.dimension)) < 0.1, axis=1)
    noise = rng.standard_normal(picked.shape) * 0.75 / space.dimension**0.5
    queries = picked.astype(np.float32) + noise
    return space.checked(queries / np.linalg.norm(queries, axis=1, keepdims=True))


def exact_positions(space: Space, rows: Rows, queries: NDArray[Any], k: int) -> Positions:
    """Positions of the k nearest rows of each query, in no order, by comparing with all."""
    best = np.empty((len(queries), 0), np.int64)
    rough = np.empty((len(queries), 0), np.float32)
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = np.arange(start, min(start + _BLOCK_ROWS, len(rows)))
        rough = np.hstack([rough, _compared(space, queries, rows[block])])
        best = np.hstack([best, np.broadcast_to(block, (len(queries), len(block)))])
        if rough.shape[1] > k:
            top = np.argpartition(-rough, k - 1, axis=1)[:, :k]
            rough = np.take_along_axis(rough, top, 1)
            best = np.take_along_axis(best, top, 1)
    return best


def _compared(space: Space, queries: NDArray[Any], rows: Rows) -> NDArray[np.float32]:
    """Scores of shape (n, m), of float rows within 1e-3, at the speed of BLAS."""
    if space.kind == "float":
        return np.asarray(queries @ rows.astype(np.float32).T, dtype=np.float32)
    return np.array([scores(space, query, rows) for query in queries], dtype=np.float32)


def recall(found: Positions, truth: Positions) -> float:
    """Share of the true neighbours that were found."""
    same = [len(np.intersect1d(f, t)) for f, t in zip(found, truth, strict=True)]
    return sum(same) / truth.size
