"""The nearest remembered views of some queries, while rows go by.

Rows are compared roughly, all queries at once; those that may be among the best are kept and
compared exactly at the end. So nothing depends on the order in which rows come.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index import codes
from index.seen import RowId
from index.spaces import Space, scores

_MARGIN = 1e-5
"""How far a rough score may be off."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One view of a remembered picture near a query.

    Attributes:
        row: which one.
        score: cosine or share of equal bits, of the kept code; higher is more alike.
    """

    row: RowId
    score: float


class Best:
    """The k best hits of each query so far.

    Args:
        queries: shape (n, width), as `Space.checked` takes them.
        k: at most this many hits for each query.
        least: hits with a lower score are left out.
    """

    def __init__(self, space: Space, queries: NDArray[Any], k: int, least: float) -> None:
        self._space, self._k = space, k
        self._checked = space.checked(queries)
        self._queries = codes.prepared(space, queries)
        self._floor = np.full(len(queries), least - _MARGIN, np.float32)
        self._least = least
        self._found: list[list[tuple[NDArray[Any], ...]]] = [[] for _ in queries]

    def offer(self, keys: NDArray[np.int64], rows: codes.Codes) -> None:
        """Take rows into account."""
        alike = codes.compared(self._space, self._queries, rows)
        good = alike >= self._floor[:, None]
        for i in np.flatnonzero(good.any(axis=1)).tolist():
            at = np.flatnonzero(good[i])
            if len(at) > self._k:
                # More than the k best where the rough scores do not tell rows apart.
                kth = np.partition(alike[i][at], -self._k)[-self._k]
                at = at[alike[i][at] >= kth - 2 * _MARGIN]
            self._found[i].append((alike[i][at], keys[at], rows[at]))
            if sum(len(part[0]) for part in self._found[i]) > 4 * self._k:
                self._prune(i)

    def hits(self) -> list[list[Hit]]:
        """The best, by exact score, then by row."""
        result: list[list[Hit]] = []
        for query, parts in zip(self._checked, self._found, strict=True):
            if not parts:
                result.append([])
                continue
            _, keys, rows = (np.concatenate(column) for column in zip(*parts, strict=True))
            exact = scores(self._space, query, codes.decode(self._space, rows))
            order = np.lexsort((keys, -exact))[: self._k]
            result.append(
                [
                    Hit(RowId.of(int(keys[j])), float(exact[j]))
                    for j in order
                    if exact[j] >= self._least
                ]
            )
        return result

    def _prune(self, i: int) -> None:
        values, keys, rows = (np.concatenate(c) for c in zip(*self._found[i], strict=True))
        kth = np.partition(values, -self._k)[-self._k]
        self._floor[i] = max(self._floor[i], kth - 2 * _MARGIN)
        kept = values >= self._floor[i]
        self._found[i] = [(values[kept], keys[kept], rows[kept])]
