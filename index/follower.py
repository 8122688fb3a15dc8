"""The live indexes as followers of the store: each commit is applied once, in order.

Runs in the store's writer thread, before the callers of a commit go on: so what they wrote
is searchable when they return.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

from index.live import LiveIndex, State
from index.records import Change, OriginalRecord
from index.recovery import add_records, follow_state
from index.spaces import UnknownSpace

log = logging.getLogger(__name__)


class IndexBehind(RuntimeError):
    """A committed write could not be made searchable; a restart brings the index up to date."""

    reason: ClassVar[str] = "INDEX_BEHIND"

    def __init__(self, why: str) -> None:
        super().__init__(f"the index is behind the store until a restart: {why}")
        self.why = why


@dataclass(frozen=True, slots=True)
class Written:
    """What a write tells the indexes; no change when it found that it was made before.

    No record when the change is about no original.
    """

    record: OriginalRecord | None
    change: Change | None


@dataclass(frozen=True, slots=True)
class Outcome[T]:
    """What a write returns, and all that it tells the indexes.

    Attributes:
        gone: number of a brand that was deleted, 0 for none.
        reached: change up to which nothing is left to tell, 0 when `written` says all.
    """

    value: T
    written: tuple[Written, ...]
    gone: int = 0
    reached: int = 0


class Follower:
    """The live indexes of a catalogue and the change at which they stand.

    Attributes:
        key: every searchable original up to this key can be found.
    """

    def __init__(self, indexes: Mapping[str, LiveIndex], sequence: int, key: int) -> None:
        self.indexes, self.sequence, self.key = indexes, sequence, key
        self.behind: IndexBehind | None = None
        self._applying = threading.Lock()  # the indexes and the sequence move together

    def index(self, space: str) -> LiveIndex:
        """Raises UnknownSpace."""
        if space not in self.indexes:
            raise UnknownSpace(space, tuple(self.indexes))
        return self.indexes[space]

    def check(self) -> None:
        """Raises IndexBehind."""
        if self.behind is not None:
            raise self.behind

    def apply(self, written: Sequence[Written]) -> None:
        """Let the indexes follow a commit.

        Raises:
            IndexBehind: now and at every check from here on; searches still see what was
                there before.
        """
        try:
            with self._applying:
                for kind, group in groupby(written, lambda w: w.change and w.change.kind):
                    records = [w.record for w in group if w.record is not None]
                    if kind == "REGISTER":
                        add_records(self.indexes, records)
                        self.key = max(record.key for record in records)
                    elif kind == "UPDATE":
                        for record in records:
                            follow_state(self.indexes, record)
                    elif kind == "WITHDRAW":
                        for index in self.indexes.values():
                            index.remove([record.key for record in records])
                self.sequence = max(w.change.sequence for w in written if w.change)
        except BaseException as error:
            self.behind = IndexBehind(f"{type(error).__name__}: {error}")
            log.exception("a committed write is not searchable until a restart")
            raise self.behind from error

    def forget(self, brand: int, reached: int) -> None:
        """Take all rows of a brand out of the indexes, ahead of the changes that say so.

        Args:
            brand: its number, 0 for none.
            reached: the last change of rows that have left before.
        """
        with self._applying:
            if brand:
                for index in self.indexes.values():
                    index.remove_brand(brand)
            self.sequence = max(self.sequence, reached)

    def states(self) -> tuple[int, dict[str, State]]:
        """The sequence and the states of all spaces at that sequence."""
        with self._applying:
            return self.sequence, {name: index.state for name, index in self.indexes.items()}
