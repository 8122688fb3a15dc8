"""Weighing one listing picture: views, candidates, verification, scores; cheapest first.

The whole picture is looked up first. Candidates that could be copies by their vectors are
glanced at, and those that still could are verified. Only while nothing certain is found, the
parts of the picture are looked up too: its inside without borders, and the pictures within it.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from index.catalogue import Catalogue
from index.records import OriginalRecord
from models.batcher import DeadlineExpired
from models.features import LocalFeatures
from models.fingerprint import Detail, Fingerprinter, ListingPrint, ViewPrint
from models.images import Picture, UInt8Array
from models.views import Region
from service.matching import candidates
from service.matching.candidates import Candidate
from service.matching.score import ScoreModels
from service.matching.verify import Glance, Verification, Verifier

MOST_GLANCED, MOST_VERIFIED = 8, 6
"""Candidates that one pass takes a first and a closer look at, most likely first."""
SURE = 0.97
"""From this score on, the parts of a picture that one original fills are not looked up."""
_MOST = 0.6
"""Share of the picture that an original takes when it fills it."""
_INSETS, _INSETS_THOROUGH = 3, 4
_SURE_OUTLINE = 0.8
"""From this score on, a picture within the picture is looked up without being asked to: four in
five pasted pictures have it, and half as many rectangles in photographs that hold none."""
_OF_VIEWS = ("sscd_cosine", "layout_cosine", "pdq_agreement", "clip_cosine")
"""The signals that further views can raise."""
_GRID = (
    Region(0.0, 0.0, 0.6, 0.6, 0.5),
    Region(0.4, 0.0, 1.0, 0.6, 0.5),
    Region(0.0, 0.4, 0.6, 1.0, 0.5),
    Region(0.4, 0.4, 1.0, 1.0, 0.5),
    Region(0.2, 0.2, 0.8, 0.8, 0.5),
)
"""Parts that are looked up in thorough mode whatever they show."""


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """One candidate with everything that is known about it.

    Attributes:
        candidate: the original and its cheap signals.
        verification: None when it was not thought worth the while.
        values: all signals that are known, by name.
        score: calibrated, in [0, 1]; without verification that of the gate or of the glance,
            which decides nothing.
        restyle: given that it is a copy, the probability that it was drawn anew.
    """

    candidate: Candidate
    verification: Verification | None
    values: dict[str, float]
    score: float
    restyle: float


class Seen(Protocol):
    """A listing picture as far as it is needed to weigh it: a fingerprint, or what is kept of one.

    Attributes:
        rgb: uint8, shape (h, w, 3); only its edges are looked at.
    """

    @property
    def rgb(self) -> UInt8Array: ...

    @property
    def phash(self) -> int: ...

    def points(self, region: Region) -> LocalFeatures:
        """Key points of a part of it."""
        ...


@dataclass(slots=True)
class Clock:
    """Milliseconds of each step, by name, and the deadline of the call."""

    deadline: float | None = None
    steps_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step; raises DeadlineExpired before it when it is too late."""
        self.check()
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = (time.perf_counter() - began) * 1000
            self.steps_ms[name] = self.steps_ms.get(name, 0.0) + spent

    def check(self) -> None:
        """Raise DeadlineExpired when the deadline has passed."""
        if self.deadline is not None and (late := time.monotonic() - self.deadline) > 0:
            raise DeadlineExpired(late)


@dataclass(frozen=True, slots=True)
class Weigher:
    """Weighs listing pictures against the catalogue. Any thread may call it."""

    catalogue: Catalogue
    fingerprinter: Fingerprinter
    models: ScoreModels

    def weigh(
        self,
        picture: Picture,
        brands: Collection[str] | None,
        clock: Clock,
        *,
        thorough: bool = False,
        gate: float | None = None,
        told: Callable[[ListingPrint, Sequence[ViewPrint]], object] = lambda listing, views: None,
    ) -> list[Weighed]:
        """Find and score the originals that a picture may be made from, best first.

        Args:
            brands: ids of the brands to look among; None: all.
            thorough: look up all parts, also when something was found.
            gate: least score for a first and for a closer look; None is the calibrated ones.
            told: hears of the fingerprint that was weighed, with all views of it.
        """
        least = self.models.thresholds["gate"]
        if gate is not None:
            least = dict.fromkeys(least, gate)
        with clock.step("encode"):
            listing = self.fingerprinter.listing(picture, clock.deadline)
        views = [listing.whole]
        known = self._pass(listing, views, views, {}, brands, clock, least)
        sure = any(each.score >= SURE and _fills(each) for each in known.values())
        if thorough or not sure:
            with clock.step("views"):
                regions = _parts(listing, thorough)
            if regions:
                with clock.step("encode"):
                    parts = self.fingerprinter.views(picture.rgb, regions, clock.deadline)
                views = [*views, *parts]
                known = self._pass(listing, parts, views, known, brands, clock, least)
        told(listing, views)
        return sorted(known.values(), key=lambda each: (-each.score, each.candidate.record.key))

    def weigh_again(
        self,
        seen: Seen,
        views: Sequence[ViewPrint],
        brands: Collection[str] | None,
        clock: Clock,
    ) -> list[Weighed]:
        """Likewise for a picture that was fingerprinted before; all views are looked up at once."""
        least = self.models.thresholds["gate"]
        known = self._pass(seen, views, views, {}, brands, clock, least)
        return sorted(known.values(), key=lambda each: (-each.score, each.candidate.record.key))

    def plausible(
        self, phash: int, views: Sequence[ViewPrint], records: Sequence[OriginalRecord]
    ) -> list[bool]:
        """Which originals the gate would let through to verification, by vectors alone."""
        least = self.models.thresholds["gate"]["glance"]
        found = candidates.compare(self.fingerprinter, phash, views, records)
        return [self.models.gate.probability(each.values) >= least for each in found]

    def score(
        self,
        candidate: Candidate,
        verification: Verification | None,
        glance: Mapping[str, float] | None = None,
    ) -> Weighed:
        """Score what is known of one candidate."""
        values = dict(candidate.values) | dict(glance or {})
        if verification is not None:
            values |= verification.values
        return Weighed(
            candidate,
            verification,
            values,
            self.models.asking(values).probability(values),
            self.models.restyle.probability(values) if verification else 0.0,
        )

    def _pass(
        self,
        listing: Seen,
        asked: Sequence[ViewPrint],
        views: Sequence[ViewPrint],
        known: dict[int, Weighed],
        brands: Collection[str] | None,
        clock: Clock,
        least: Mapping[str, float],
    ) -> dict[int, Weighed]:
        """Look up some views and verify what they propose, with all views so far."""
        with clock.step("search"):
            keys = candidates.gather(self.catalogue, self.fingerprinter, asked, brands)
            wanted = list(dict.fromkeys([*keys, *known]))
            records = [each for each in self.catalogue.by_key(wanted) if each is not None]
            found = candidates.compare(self.fingerprinter, listing.phash, views, records)
        rated = [(self.models.gate.probability(each.values), each) for each in found]
        rated.sort(key=lambda pair: (-pair[0], pair[1].record.key))
        result = {each.record.key: self._again(each, known) for _, each in rated}
        likely = [
            each
            for rate, each in rated
            if rate >= least["glance"] and _news(each, known.get(each.record.key))
        ][:MOST_GLANCED]
        if not likely:
            return result
        parts = [(view.region, view.luma) for view in views]
        verifier = Verifier(listing.rgb, parts, listing.points)
        closer: list[tuple[Weighed, Glance]] = []
        with clock.step("glance"):
            blobs = self.catalogue.features_many([each.record.key for each in likely])
            for candidate, blob in zip(likely, blobs, strict=True):
                clock.check()
                if blob is None:
                    continue  # withdrawn since it was found
                glance = verifier.glance(Detail.from_bytes(blob))
                seen = self.score(candidate, None, glance.values)
                if result[candidate.record.key].verification is None:
                    result[candidate.record.key] = seen
                if seen.score >= least["verify"]:
                    closer.append((seen, glance))
        closer.sort(key=lambda pair: -pair[0].score)
        with clock.step("verify"):
            for seen, glance in closer[:MOST_VERIFIED]:
                clock.check()
                verified = self.score(seen.candidate, verifier.verify(glance))
                before = result[seen.candidate.record.key]
                if before.verification is None or verified.score >= before.score:
                    result[seen.candidate.record.key] = verified
        return result

    def _again(self, candidate: Candidate, known: Mapping[int, Weighed]) -> Weighed:
        """Score a candidate with what this pass says of it and what was verified before."""
        before = known.get(candidate.record.key)
        return self.score(candidate, before.verification if before else None)


def _fills(weighed: Weighed) -> bool:
    """Whether an original was verified to take most of the listing; the rest may hold another."""
    if weighed.verification is None:
        return False
    matrix = weighed.verification.agreement.matrix
    return abs(float(np.linalg.det(matrix[:2, :2]))) <= 1 / _MOST


def _news(candidate: Candidate, before: Weighed | None) -> bool:
    """Whether further views told more of a candidate than was known when it was verified."""
    if before is None or before.verification is None:
        return True
    old, new = before.candidate.values, candidate.values
    return any(new[name] > old[name] for name in _OF_VIEWS if name in new)


def _parts(listing: ListingPrint, thorough: bool) -> list[Region]:
    """The parts of a picture that are looked up in the second pass."""
    regions = [listing.unframed] if listing.unframed else []
    for region in listing.insets[: _INSETS_THOROUGH if thorough else _INSETS]:
        sure = thorough or region.score >= _SURE_OUTLINE
        if sure and all(region.overlap(other) < 0.8 for other in regions):
            regions.append(region)
    return [*regions, *_GRID] if thorough else regions
