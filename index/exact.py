"""The reference: nearest neighbours by comparing with everything, in forty lines of NumPy.

Slow and short on purpose. Every other index of this folder is right because it agrees with
this one. Not for use from several threads.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.spaces import Neighbor, Space, scores


class ExactIndex:
    """Keys, brand numbers and rows in plain lists, compared one query at a time."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self._rows: dict[int, tuple[int, NDArray[Any]]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, keys: NDArray[np.int64], brands: NDArray[np.int32], rows: NDArray[Any]) -> None:
        """Add rows of shape (n, width), each with its key and its brand's number."""
        for key, brand, row in zip(keys, brands, self.space.kept(rows), strict=True):
            self._rows[int(key)] = (int(brand), row)

    def remove(self, keys: Collection[int]) -> None:
        """Forget these keys."""
        for key in keys:
            del self._rows[key]

    def search(
        self, queries: NDArray[Any], k: int, brands: Collection[int] | None = None
    ) -> list[list[Neighbor]]:
        """Find min(k, rows of these brands) neighbours per query, by score, then by key."""
        wanted = {key: row for key, (b, row) in self._rows.items() if brands is None or b in brands}
        if not wanted:
            return [[] for _ in queries]
        keys, rows = list(wanted), np.stack(list(wanted.values()))
        found = []
        for query in self.space.checked(queries):
            pairs = zip(keys, scores(self.space, query, rows), strict=True)
            ordered = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))
            found.append([Neighbor(key, float(score)) for key, score in ordered[:k]])
        return found
