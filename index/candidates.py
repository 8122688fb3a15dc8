"""What an index proposes: positions and rough scores, to be rescored exactly by the caller."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.spaces import BoolArray, Positions

Found = tuple[NDArray[Any], NDArray[np.int64]]
"""Values and positions, both of shape (n, k), best first; position -1 where missing."""

Search = Callable[[NDArray[Any], int], Found]
"""Takes queries of shape (n, width) and k."""


class Proposal(NamedTuple):
    """Candidates of n queries.

    Attributes:
        rough: float32, shape (n, m), within the index's `error` of the exact score; -inf
            where missing.
        positions: int64, shape (n, m); -1 where missing.
        complete: nothing more can be had by asking for more.
    """

    rough: NDArray[np.float32]
    positions: Positions
    complete: bool


def filtered(
    search: Search, queries: NDArray[Any], k: int, allowed: BoolArray | None, most: int
) -> Found:
    """Search what can not filter: ask for more, up to `most`, until k rows are allowed."""
    if allowed is None:
        return search(queries, k)
    wanted = k
    while True:
        values, positions = search(queries, wanted)
        good = (positions >= 0) & allowed[positions]
        if (good.sum(axis=1) >= k).all() or wanted >= most:
            order = np.argsort(~good, axis=1, kind="stable")[:, :k]
            taken = np.take_along_axis(np.where(good, positions, -1), order, 1)
            return np.take_along_axis(values, order, 1), taken
        wanted = min(wanted * 4, most)
