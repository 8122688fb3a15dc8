"""A searchable set of rows that changes while it is searched.

Rows live in sealed faiss pieces, which never change, and in one small delta. A search takes
the current tuple of pieces once and works on that: writers make new pieces and swap the
tuple, so that no reader ever waits or sees half a change. (faiss itself can not be searched
while rows are added: segmentation faults were measured.)

`seal` turns the delta into a sealed piece, `compact` merges pieces and drops withdrawn rows.
Both build beside the running index and may be called on a background thread.
"""

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from index.candidates import Proposal
from index.pieces import Batch, Delta, Piece, Sealed
from index.points import PointQuery, most_voted
from index.spaces import Keys, Neighbor, Space, scores
from index.vectors import IndexOptions

_MARGIN = 32


class DuplicateKey(ValueError):
    """A row with this key is in the index already."""

    reason: ClassVar[str] = "DUPLICATE_KEY"

    def __init__(self, space: str, key: int) -> None:
        super().__init__(f"space {space!r} holds key {key} already")
        self.space, self.key = space, key


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """When pieces are sealed and merged.

    Attributes:
        seal_rows: a delta of this size is sealed; it is also about what a search compares with
            one by one.
        tier_pieces: so many pieces of about the same size are merged into one.
        dead_share: a piece with a larger share of withdrawn rows is rewritten.
    """

    seal_rows: int = 4096
    tier_pieces: int = 4
    dead_share: float = 0.2
    index: IndexOptions = field(default_factory=IndexOptions)


@dataclass(frozen=True, slots=True)
class State:
    """What one search sees."""

    sealed: tuple[Sealed, ...]
    delta: Delta

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return (*self.sealed, self.delta) if self.delta.count else self.sealed

    @property
    def size(self) -> int:
        """Live rows."""
        return sum(piece.size for piece in self.pieces)


class LiveIndex:
    """Rows of one space under changing load; `search` on any thread, writes one at a time."""

    def __init__(
        self,
        space: Space,
        options: LiveOptions | None = None,
        sealed: Sequence[Sealed] = (),
    ) -> None:
        self.space = space
        self.options = options or LiveOptions()
        self._write = threading.Lock()  # held for swaps, never while building
        self._build = threading.Lock()  # one seal or compaction at a time
        self._state = State(tuple(sealed), Delta.empty(space, self.options.seal_rows))
        self._last_key = max((int(piece.keys[-1]) for piece in sealed), default=0)

    def __len__(self) -> int:
        return self._state.size

    @property
    def state(self) -> State:
        """The current pieces; they stay as they are for as long as the caller holds them."""
        return self._state

    def add(self, keys: Keys, brands: NDArray[np.int32], rows: NDArray[Any]) -> None:
        """Add rows; found by every search that starts after this returns.

        Args:
            keys: int64, shape (n,), each one new.
            brands: int32, shape (n,).
            rows: shape (n, width), as `Space.checked` takes them.

        Raises:
            DuplicateKey, DimensionMismatch, NotFinite, NotUnit: nothing was added.
        """
        kept, seen = self.space.kept(rows), set[int]()
        with self._write:
            state = self._state
            last = self._last_key
            for key in keys.tolist():
                if key <= last and (key in seen or _find(state, key) is not None):
                    raise DuplicateKey(self.space.name, key)
                seen.add(key)
                last = max(last, key)
            self._last_key = last
            delta = state.delta.with_rows(Batch(keys, brands, kept))
            self._state = State(state.sealed, delta)

    def remove(self, keys: Collection[int]) -> int:
        """Withdraw rows, unknown to every search that starts after this returns.

        Returns:
            How many of the keys were there.
        """
        with self._write:
            self._state, count = _without(self._state, keys)
            return count

    def remove_brand(self, brand: int) -> int:
        """Withdraw all rows of a brand, as `remove` does; how many there were."""
        with self._write:
            before = self._state
            sealed = []
            for piece in before.sealed:
                places = piece.of_brand(brand)
                sealed.append(piece.without(places) if len(places) else piece)
            places = before.delta.of_brand(brand)
            self._state = State(tuple(sealed), before.delta.without(places))
            return before.size - self._state.size

    def __contains__(self, key: int) -> bool:
        return _find(self._state, key) is not None

    def search(
        self, queries: NDArray[Any], k: int, brands: Collection[int] | None = None
    ) -> list[list[Neighbor]]:
        """Find the nearest rows of each query.

        Args:
            queries: shape (n, width), as `Space.checked` takes them. Not modified.
            k: at most this many neighbours per query, at least 1.
            brands: only rows of these brands; None: of all.

        Returns:
            n lists, best first, ties by key, each with min(k, live rows of these brands)
            entries.

        Raises:
            DimensionMismatch, NotFinite, NotUnit: the queries do not fit.
        """
        if k < 1:
            raise ValueError(f"k is at least 1, not {k}")
        checked, pieces = self.space.checked(queries), self._state.pieces
        found: list[list[Neighbor] | None] = [None] * len(checked)
        open_rows, fetch = np.arange(len(checked)), k + _MARGIN
        while len(open_rows):
            proposals = [piece.propose(checked[open_rows], fetch, brands) for piece in pieces]
            for i, row in enumerate(open_rows.tolist()):
                found[row] = _best(self.space, checked[row], pieces, proposals, i, k)
            open_rows = np.array([r for r in open_rows.tolist() if found[r] is None], np.int64)
            fetch *= 4
        return [neighbours or [] for neighbours in found]

    def most_voted(
        self, query: PointQuery, k: int, brands: Collection[int] | None = None
    ) -> list[Neighbor]:
        """Find the originals that share the most points with a query, see `index.points`.

        Args:
            k: at most this many.
            brands: only originals of these brands; None: of all. What is chance hangs on them.
        """
        pieces = self._state.pieces
        return most_voted([piece.hits(query, brands) for piece in pieces], k) if pieces else []

    def seal(self, least_rows: int = 1) -> bool:
        """Turn the delta into a sealed piece when it has so many rows; whether it did."""
        with self._build:
            delta = self._state.delta
            if delta.count < least_rows:
                return False
            made = Sealed.of(self.space, delta.live(), self.options.index)
            with self._write:
                now = self._state
                made = _buried(made, delta, now.delta)
                rest = now.delta.after(delta.count, self.options.seal_rows)
                sealed = (*now.sealed, made) if made.size else now.sealed
                self._state = State(sealed, rest)
            return True

    def compact(self, everything: bool = False) -> bool:
        """Merge pieces of like size and drop withdrawn rows; whether there was anything to do."""
        with self._build:
            before = self._state.sealed
            chosen = before if everything else self._due(before)
            if not chosen or (everything and len(before) == 1 and not before[0].dead_count):
                return False
            parts = [piece.live() for piece in chosen]
            whole = Batch(*(np.concatenate(column) for column in zip(*parts, strict=True)))
            made = Sealed.of(self.space, whole, self.options.index) if len(whole.keys) else None
            with self._write:
                now = self._state  # only `remove` can have touched sealed pieces meanwhile
                kept = []
                for old, new in zip(before, now.sealed, strict=True):
                    if old not in chosen:
                        kept.append(new)
                    elif made is not None and old is not new:
                        made = _buried(made, old, new)
                self._state = State((*kept, *([made] if made else [])), now.delta)
            return True

    def _due(self, sealed: tuple[Sealed, ...]) -> tuple[Sealed, ...]:
        """The pieces to merge now: a full tier of like sizes, or those with many dead rows."""
        tiers: dict[int, list[Sealed]] = {}
        for piece in sealed:
            tier = int(np.log(max(1, piece.size / self.options.seal_rows)) / np.log(4) + 0.5)
            tiers.setdefault(tier, []).append(piece)
        for _, alike in sorted(tiers.items()):
            if len(alike) >= self.options.tier_pieces:
                return tuple(alike)
        share = self.options.dead_share
        return tuple(piece for piece in sealed if piece.dead_count > share * len(piece.keys))


def _find(state: State, key: int) -> tuple[int, int] | None:
    """Which piece (-1: the delta) and which position."""
    if (place := state.delta.find(key)) >= 0:
        return -1, place
    for i, piece in enumerate(state.sealed):
        if (place := piece.find(key)) >= 0:
            return i, place
    return None


def _without(state: State, keys: Collection[int]) -> tuple[State, int]:
    places: dict[int, list[int]] = {}
    for key in set(keys):
        if (found := _find(state, key)) is not None:
            places.setdefault(found[0], []).append(found[1])
    sealed = tuple(
        piece.without(places[i]) if i in places else piece for i, piece in enumerate(state.sealed)
    )
    delta = state.delta.without(places[-1]) if -1 in places else state.delta
    return State(sealed, delta), sum(map(len, places.values()))


def _buried[P: (Sealed, Delta)](made: Sealed, old: P, new: P) -> Sealed:
    """`made` was built from `old`; withdraw from it what `new` has lost since."""
    if isinstance(old, Delta) and isinstance(new, Delta):
        lost = [int(old.keys[p]) for p in new.dead - old.dead if p < old.count]
    elif isinstance(old, Sealed) and isinstance(new, Sealed) and new.dead is not None:
        earlier = np.zeros_like(new.dead) if old.dead is None else old.dead
        lost = old.keys[new.dead & ~earlier].tolist()
    else:
        lost = []
    places = [place for key in lost if (place := made.find(key)) >= 0]
    return made.without(places) if places else made


def _best(
    space: Space,
    query: NDArray[Any],
    pieces: Sequence[Piece],
    proposals: Sequence[Proposal],
    i: int,
    k: int,
) -> list[Neighbor] | None:
    """The k best of query i by exact score, or None when a piece may hold a better one."""
    if not pieces:
        return []
    least = np.concatenate([p.rough[i] - q.error for p, q in zip(proposals, pieces, strict=True)])
    floor = np.partition(least, len(least) - k)[len(least) - k] if len(least) > k else -np.inf
    keys, values = [np.empty(0, np.int64)], [np.empty(0)]
    for piece, proposal in zip(pieces, proposals, strict=True):  # rescore what can be among the k
        worth = (proposal.positions[i] >= 0) & (proposal.rough[i] + piece.error >= floor)
        batch = piece.at(proposal.positions[i][worth])
        keys.append(batch.keys)
        values.append(scores(space, query, batch.rows))
    all_keys, exact = np.concatenate(keys), np.concatenate(values)
    order = np.lexsort((all_keys, -exact))[:k]
    last = exact[order[-1]] if len(order) == k else -np.inf
    for piece, proposal in zip(pieces, proposals, strict=True):
        if not proposal.complete and proposal.rough[i].min() + piece.error >= last:
            return None
    return [Neighbor(int(all_keys[j]), float(exact[j])) for j in order]
