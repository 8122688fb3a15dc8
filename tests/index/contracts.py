"""What every index over kept rows promises, whatever it is made of."""

from collections.abc import Callable

import numpy as np

from index.exact import ExactIndex
from index.live import LiveIndex
from index.pieces import Batch, Sealed
from index.spaces import Space
from index.vectors import IndexOptions, VectorIndex
from tests.index.kit import rows

Make = Callable[[Space, Batch], VectorIndex]


def index_contract(space: Space, make: Make, n: int = 300) -> None:
    """Same ids, order and scores as the reference: plain, filtered, with rows withdrawn."""
    held = rows(space, n, seed=4)
    held[n // 2 :: 7] = held[0]  # ties
    batch = Batch(np.arange(1, n + 1), (np.arange(n) % 5).astype(np.int32), space.kept(held))
    index = make(space, batch)
    assert len(index) == n
    assert (np.asarray(index.rows).astype(space.dtype) == batch.rows).all()
    live = LiveIndex(space, sealed=[Sealed(batch.keys, batch.brands, index)])
    exact = ExactIndex(space)
    exact.add(*batch)
    queries = np.concatenate([rows(space, 20, seed=5), held[:5]])
    for withdrawn in ([], [1, 2, 3, n], list(range(10, n // 2))):
        live.remove(withdrawn)
        exact.remove(withdrawn)
        for k in (1, 10, n + 5):
            for brands in (None, [1], [0, 3], [9]):
                assert live.search(queries, k, brands) == exact.search(queries, k, brands)


def plain(options: IndexOptions) -> Make:
    """Make an index with these options."""
    return lambda space, batch: VectorIndex(space, batch.rows, options)
