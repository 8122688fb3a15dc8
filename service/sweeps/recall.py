"""Listings that were seen before, as a source of a sweep: originals that came later find them.

Planning asks the memory for the nearest of each original and keeps those that the gate of
the score thinks could be copies: these are the listings of the sweep. Each is then checked as
any listing, with the rights of its seller, from what is kept of it; no picture is read.

Any thread may call any method.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from index.catalogue import Catalogue
from index.memory import Memory
from index.records import OriginalRecord
from index.seen import Entry
from models.detail import read_preview
from models.print_record import PrintRecord
from models.sketch import Sketch, original_queries
from service.matching.results import CheckOptions, ImageVerdict
from service.sweeps.listing import Listing, Picture

log = logging.getLogger(__name__)

FORM = "REMEMBERED"
_SCHEME = "memory:"
_TOGETHER = 64
"""Originals that are looked for in one pass over the memory."""
_NEAREST, _MOST_NEAREST = 128, 8192
"""Views that an original is compared with per space: at first, and while a tenth of them could be
copies four times as many, up to the second."""

_LEAST = {"sscd": 0.30, "layout": 0.35, "pdq": 0.62, "clip": 0.60}
"""Views that are less alike in every space are not looked at. Of the copies of the evaluation that
can be found at all, 99.6 % are more alike than that in one of the first three."""

Spot = tuple[int, int]
"""Number of a remembered listing, and which of its pictures."""

CouldBe = Callable[[PrintRecord, Sequence[OriginalRecord]], Sequence[bool]]
"""Which originals a remembered picture may be made from, by its vectors alone."""

CheckAgain = Callable[[Sketch, Entry, CheckOptions], ImageVerdict]
"""What CheckListing would say of a remembered picture, offered by whom its entry says."""


class ListingForgotten(LookupError):
    """The listing is not remembered any more: it was deleted, or grew too old."""

    reason: ClassVar[str] = "LISTING_FORGOTTEN"

    def __init__(self, picture: str) -> None:
        super().__init__(picture)
        self.picture = picture

    def __str__(self) -> str:
        return "the listing was forgotten between being found and being checked"


def is_remembered(location: str) -> bool:
    """Whether a picture of a listing is one that is remembered."""
    return location.startswith(_SCHEME)


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture, ready to be checked.

    Attributes:
        sha256: of the file that was sent.
        check: says what CheckListing would.
    """

    sha256: bytes
    check: Callable[[CheckOptions], ImageVerdict]


@dataclass(frozen=True, slots=True)
class Recall:
    """Finds remembered listings by originals, and checks them.

    Attributes:
        memory: what is remembered.
        catalogue: the originals.
        could_be, check_again: see there.
        flush: waits until what was answered before is in the memory.
    """

    memory: Memory
    catalogue: Catalogue
    could_be: CouldBe
    check_again: CheckAgain
    flush: Callable[[], None] = lambda: None

    def listings(
        self, keys: Sequence[int], turn: Callable[[], None] = lambda: None
    ) -> Iterator[Listing]:
        """Yield the remembered listings that may be copies of originals, oldest first.

        Args:
            keys: of the originals.
            turn: called now and then; may wait, or raise to stop.
        """
        self.flush()
        spots: set[Spot] = set()
        for part in batched(keys, _TOGETHER):
            records = [each for each in self.catalogue.by_key(part) if each is not None]
            spots |= self._candidates(records, turn)
        pictures: dict[int, list[int]] = defaultdict(list)
        for number, picture in sorted(spots):
            pictures[number].append(picture)
        for number, places in pictures.items():
            entry = self.memory.entry(number)
            if entry is not None:
                found = (Picture(f"{_SCHEME}{number}/{p}", f"picture {p + 1}") for p in places)
                yield Listing(
                    entry.listing_id, entry.seller, tuple(found), territory=entry.territory
                )

    def seen(self, location: str) -> Seen:
        """What is kept of a remembered picture.

        Args:
            location: as `listings` names it.

        Raises:
            ListingForgotten
        """
        number, _, picture = location.removeprefix(_SCHEME).partition("/")
        entry = self.memory.entry(int(number))
        data = self.memory.print(int(number), int(picture))
        if entry is None or data is None:
            raise ListingForgotten(location)
        again, sketch, sha256 = self.check_again, Sketch.from_bytes(data), entry.digests
        return Seen(sha256[int(picture)][0], lambda how: again(sketch, entry, how))

    def _candidates(self, records: Sequence[OriginalRecord], turn: Callable[[], None]) -> set[Spot]:
        """The pictures that could be copies of some originals."""
        found: set[Spot] = set()
        looked: dict[int, set[Spot]] = {record.key: set() for record in records}
        queries = {record.key: self._queries(record) for record in records}
        left, nearest = list(records), _NEAREST
        while left:
            near = self._near({r.key: queries[r.key] for r in left}, nearest, turn)
            new: dict[Spot, list[OriginalRecord]] = defaultdict(list)
            for record in left:
                for spot in near[record.key] - looked[record.key]:
                    new[spot].append(record)
                    looked[record.key].add(spot)
            passed: dict[int, int] = defaultdict(int)
            for place, (spot, originals) in enumerate(sorted(new.items())):
                if place % _TOGETHER == 0:
                    turn()
                for record in self._plausible(spot, originals):
                    found.add(spot)
                    passed[record.key] += 1
            left = [record for record in left if passed[record.key] * 10 >= nearest]
            nearest *= 4
            if left and nearest > _MOST_NEAREST:
                names = ", ".join(f"{r.brand}/{r.original}" for r in left[:5])
                log.warning("more remembered listings look like %s than are compared", names)
                break
        return found

    def _queries(self, record: OriginalRecord) -> Mapping[str, NDArray[np.generic]]:
        coded = self.catalogue.previews_many([record.key])[0]
        return {} if coded is None else original_queries(record.vectors, read_preview(coded))

    def _near(
        self,
        queries: Mapping[int, Mapping[str, NDArray[np.generic]]],
        nearest: int,
        turn: Callable[[], None],
    ) -> Mapping[int, set[Spot]]:
        """The pictures with a view among the nearest of each original, in any orientation."""
        near: dict[int, set[Spot]] = {key: set() for key in queries}
        for space in self.memory.spaces:
            asked = [(key, rows[space]) for key, rows in queries.items() if space in rows]
            if not asked:
                continue
            rows = np.concatenate([each for _, each in asked])
            hits = iter(
                self.memory.search(space, rows, nearest, least=_LEAST.get(space, -1.0), turn=turn)
            )
            for key, each in asked:
                best: dict[Spot, float] = {}
                for _ in each:
                    for hit in next(hits):
                        spot = hit.row.number, hit.row.picture
                        best[spot] = max(hit.score, best.get(spot, -1.0))
                ranked = sorted(best, key=lambda spot: (-best[spot], spot))
                near[key].update(ranked[:nearest])
        return near

    def _plausible(
        self, spot: Spot, originals: Sequence[OriginalRecord]
    ) -> Iterator[OriginalRecord]:
        data = self.memory.print(*spot)
        if data is not None:
            verdicts = self.could_be(Sketch.record_of(data), originals)
            yield from (r for r, could in zip(originals, verdicts, strict=True) if could)
