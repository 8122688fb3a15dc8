"""Conflicting registrations: does a new original copy an earlier one of another brand?

Nearly all do not, and most say so by their vectors alone, which are there anyway: one search
per kind of vector among the other brands. Only a picture that is near to some original is
checked as a listing would be, by the matcher; so the two can not disagree about what a copy
is. Every method may be called from any thread.

What the look at the vectors passes on was measured on labelled pictures
(`python -m scripts.conflicts`); the README has the shares. An original is compared as a
whole, so one that was put into a frame or a collage may slip through; `full` checks every
picture at the price of its time.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from index.catalogue import Catalogue
from index.records import Conflict, OriginalRecord, Screening
from index.selection import AllBut
from models.fingerprint import Fingerprinter
from service.matching.pipeline import Matcher
from service.matching.results import CheckOptions, Match, Provenance, Verdict

MARGINS: Mapping[str, float] = {"sscd": 0.2, "layout": 0.25}
"""How much more alike than an unrelated picture an original has to be for the check."""

NEAR_PDQ = 0.664
"""Share of equal bits from which an original is worth the check."""

POLICY = "balanced"
MOST_CONFLICTS = 10

_MATCH = TypeAdapter(Match)
_PROVENANCE = TypeAdapter(Provenance)

type Vectors = Mapping[str, NDArray[Any]]


class ConflictChecker:
    """Compares new originals with those of other brands.

    Args:
        catalogue: the originals.
        matcher, fingerprinter: of the same catalogue.
        full: check every picture, also one that is near to no original.
    """

    def __init__(
        self, catalogue: Catalogue, matcher: Matcher, fingerprinter: Fingerprinter, full: bool
    ) -> None:
        self._catalogue, self._matcher, self._full = catalogue, matcher, full
        self._fingerprinter = fingerprinter

    def screen(
        self, brand: str, image: bytes, vectors: Vectors, deadline: float | None = None
    ) -> Screening:
        """Compare a picture with all originals that are searchable now.

        Args:
            brand: that registers it; its own originals are left out.
            image: the encoded picture.
            vectors: of its fingerprint as an original.
            deadline: `time.monotonic()` after which no further step begins.

        Raises:
            what `Matcher.check` raises.
        """
        until_key = self._catalogue.searchable_key
        least = self._least(vectors)
        rival = partial(_near, vectors, {} if self._full else least)
        if not self._full and not self.is_near(brand, vectors):
            return Screening(until_key, (), rival)
        others = AllBut({brand})
        if self._catalogue.counts()["brands"] <= len(others):
            return Screening(until_key, (), rival)
        options = CheckOptions(brands=others, max_matches=MOST_CONFLICTS, policy=POLICY)
        found = self._matcher.check(image, options, deadline)
        provenance = _PROVENANCE.dump_python(self._matcher.provenance(POLICY), mode="json")
        conflicts = tuple(
            Conflict(match.key, _MATCH.dump_python(match, mode="json"), provenance)
            for match in found.matches
            if match.verdict is Verdict.COPY
        )
        return Screening(until_key, conflicts, rival)

    def is_near(self, brand: str, vectors: Vectors) -> bool:
        """Whether the vectors alone allow that it copies an original of another brand."""
        others = AllBut({brand})
        if self._catalogue.counts()["brands"] <= len(others):
            return False
        for space, score in self._least(vectors).items():
            if space in vectors:
                query = np.asarray(vectors[space])[None]
                (found,) = self._catalogue.search(space, query, 1, brands=others)
                if found and found[0].score >= score:
                    return True
        return False

    def _least(self, vectors: Vectors) -> dict[str, float]:
        """The similarity from which an original is worth the check, by kind of vector."""
        least = {"pdq": NEAR_PDQ}
        for space, margin in MARGINS.items():
            rows = np.asarray(vectors[space])[None]
            ordinary = self._fingerprinter.ordinariness(space, rows)
            least[space] = margin + (0.0 if ordinary is None else float(ordinary[0]))
        return least


def _near(vectors: Vectors, least: Mapping[str, float], other: OriginalRecord) -> bool:
    """Whether two originals are so alike that one may copy the other; without `least`: always."""
    return not least or any(
        _similarity(vectors[space], other.vectors[space]) >= score
        for space, score in least.items()
        if space in vectors and space in other.vectors
    )


def match_of(value: Mapping[str, Any]) -> Match:
    """The match that was kept as evidence."""
    return _MATCH.validate_python(value)


def provenance_of(value: Mapping[str, Any]) -> Provenance:
    """What the evidence was computed with."""
    return _PROVENANCE.validate_python(value)


def _similarity(a: NDArray[Any], b: NDArray[Any]) -> float:
    """As `index.spaces.scores` gives it: a cosine, or the share of equal bits."""
    if a.dtype == np.uint8:
        return 1 - int(np.bitwise_count(a ^ b).sum()) / (8 * len(a))
    return float(np.dot(a.astype(np.float64), b.astype(np.float64)))
