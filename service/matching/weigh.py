"""Weighing one listing picture: views, candidates, verification, scores; cheapest first.

The whole picture is looked up first. Candidates that could be copies by their vectors are
glanced at, the key points of those that still could are matched, and what is left is verified.
Only while nothing certain is found, the parts of the picture are looked up too: its inside
without borders, and the pictures within it.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
from service.matching.verify import Glance, Look, Verification, Verifier

MOST = {"glance": 8, "points": 6, "verify": 6}
"""Candidates that each look of one pass is taken at, most likely first."""
SURE = 0.97
"""From this score on, an original that fills a picture settles what it shows: its parts are not
looked up, and of the other candidates only likely ones are looked at."""
BESIDE = 0.1
"""From this score on, by vectors alone, an original is looked at beside one that settles a picture.
Another registration of the same photograph is far above it, a lookalike of the product below."""
PLAIN = 0.97
"""From this score on, at a glance, an original is verified before key points are matched. Two in
three of these are settled by it."""
_NEVER = 2.0
_STEADY = 0.6
"""From this share of the detail on that one map lays on its place, key points can say nothing
against a copy; see `signals.VERIFIED` of parallax."""
_FILLED = 0.6
"""Share of the picture that an original takes when it fills it."""
_INSETS, _INSETS_THOROUGH = 3, 4
SAME_PART = 0.8
"""Parts of a picture with this intersection over union are one, and looked up once."""
SURE_OUTLINE = 0.09
"""From this probability on, a picture within the picture is looked up without being asked to: nine
in ten pasted pictures have it, and one rectangle in every sixth picture that holds none."""
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
        look: the closest that was taken at it; None when it was not thought worth the while.
        values: all signals that are known, by name.
        score: calibrated, in [0, 1]; without verification that of the last look there was,
            which decides nothing.
        restyle: given that it is a copy, the probability that it was drawn anew.
    """

    candidate: Candidate
    look: Look | None
    values: dict[str, float]
    score: float
    restyle: float

    @property
    def verification(self) -> Verification | None:
        """The look, when it was the closest there is."""
        return self.look if isinstance(self.look, Verification) else None


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
        beside: bool = False,
        gate: float | None = None,
        told: Callable[[ListingPrint, Sequence[ViewPrint]], object] = lambda listing, views: None,
    ) -> list[Weighed]:
        """Find and score the originals that a picture may be made from, best first.

        Args:
            brands: ids of the brands to look among; None: all.
            thorough: look up all parts, also when something was found, match the key points of
                every likely original; and `beside`.
            beside: look at unlikely originals, too, when one settles what the picture shows.
            gate: least score for each of the looks, which are all taken; None is the calibrated
                ones.
            told: hears of the fingerprint that was weighed, with all views of it.
        """
        least = self._least(beside or thorough)
        if gate is not None:
            least = dict.fromkeys(least, gate)
        if gate is not None or thorough:
            least["plain"] = _NEVER
        with clock.step("encode"):
            listing = self.fingerprinter.listing(picture, clock.deadline)
        views = [listing.whole]
        known = self._pass(listing, views, views, {}, brands, clock, least)
        if thorough or not any(map(_settles, known.values())):
            with clock.step("views"):
                regions = _parts(listing, thorough)
            if regions:
                with clock.step("encode"):
                    parts = self.fingerprinter.views(picture.rgb, regions, clock.deadline)
                views = [*views, *parts]
                known = self._pass(listing, parts, views, known, brands, clock, least)
        told(listing, views)
        return _likeliest(known.values(), 0.0)

    def weigh_again(
        self,
        seen: Seen,
        views: Sequence[ViewPrint],
        brands: Collection[str] | None,
        clock: Clock,
        *,
        beside: bool = False,
    ) -> list[Weighed]:
        """Likewise for a picture that was fingerprinted before; all views are looked up at once."""
        known = self._pass(seen, views, views, {}, brands, clock, self._least(beside))
        return _likeliest(known.values(), 0.0)

    def _least(self, beside: bool) -> dict[str, float]:
        """The scores from which the looks are taken, and one beside a settled picture."""
        least = dict(self.models.thresholds["gate"])
        plain = max(PLAIN, *least.values())
        return least | {"beside": least["glance"] if beside else BESIDE, "plain": plain}

    def plausible(
        self, phash: int, views: Sequence[ViewPrint], records: Sequence[OriginalRecord]
    ) -> list[bool]:
        """Which originals the gate would let through to verification, by vectors alone."""
        least = self.models.thresholds["gate"]["glance"]
        found = candidates.compare(self.fingerprinter, phash, views, records)
        return [self.models.gate.probability(each.values) >= least for each in found]

    def score(self, candidate: Candidate, look: Look | None) -> Weighed:
        """Score what is known of one candidate."""
        values = dict(candidate.values) | (look.values if look is not None else {})
        return Weighed(
            candidate,
            look,
            values,
            self.models.asking(values).probability(values),
            self.models.restyle.probability(values) if isinstance(look, Verification) else 0.0,
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
        result = {each.record.key: self._again(each, known) for each in found}
        likely = [
            each
            for each in _likeliest(result.values(), least["glance"])
            if _news(each.candidate, known.get(each.candidate.record.key))
        ][: MOST["glance"]]
        if not likely:
            return result
        parts = [(view.region, view.luma) for view in views]
        verifier = Verifier(listing.rgb, parts, listing.points)
        blobs = self.catalogue.features_many([each.candidate.record.key for each in likely])
        # An original without a detail was withdrawn since it was found.
        there = [(each, blob) for each, blob in zip(likely, blobs, strict=True) if blob is not None]
        seen = self._look_closer(there[:1], verifier, clock, least, MOST)
        settled = any(map(_settles, seen))
        rest = [one for one in there[1:] if not settled or one[0].score >= least["beside"]]
        # The likeliest has had one of the looks of each step that it got as far as.
        left = {step: most - (k < len(seen)) for k, (step, most) in enumerate(MOST.items())}
        for each in (*seen, *self._look_closer(rest, verifier, clock, least, left)):
            before = result[each.candidate.record.key]
            if before.verification is None or (each.verification and each.score >= before.score):
                result[each.candidate.record.key] = each
        return result

    def _look_closer(
        self,
        asked: Sequence[tuple[Weighed, bytes]],
        verifier: Verifier,
        clock: Clock,
        least: Mapping[str, float],
        most: Mapping[str, int],
    ) -> list[Weighed]:
        """Take the looks at some candidates, each at those that the look before left.

        What a glance is nearly sure of is verified at once; its key points are matched only when
        that does not settle it. They tell copies from other pictures by nothing that
        verification does not tell, but by the better map that they may propose.
        """

        def glance(blob: bytes) -> Glance:
            return verifier.glance(Detail.from_bytes(blob))

        def looks[B, L: Look](
            step: str, asked: Sequence[tuple[Weighed, B]], look: Callable[[B], L], from_: float
        ) -> list[tuple[Weighed, L]]:
            return self._looks(step, asked, look, from_, most[step], clock)

        glanced = looks("glance", asked, glance, least["glance"])
        plain = looks("verify", glanced, verifier.verify, least["plain"])
        settled = {each.candidate.record.key for each, _ in plain if _settles_alone(each)}
        rest = [one for one in glanced if one[0].candidate.record.key not in settled]
        pointed = looks("points", rest, verifier.points, least["points"])
        verified = looks("verify", pointed, verifier.verify, least["verify"])
        every = (each for each, _ in (*glanced, *plain, *pointed, *verified))
        return list({each.candidate.record.key: each for each in every}.values())

    def _looks[B, L: Look](
        self,
        step: str,
        asked: Sequence[tuple[Weighed, B]],
        look: Callable[[B], L],
        least: float,
        most: int,
        clock: Clock,
    ) -> list[tuple[Weighed, L]]:
        """Take one look at the likeliest of some candidates, by what the look before showed."""
        before = {each.candidate.record.key: seen for each, seen in asked}
        found = []
        with clock.step(step):
            for each in _likeliest((each for each, _ in asked), least)[:most]:
                clock.check()
                seen = look(before[each.candidate.record.key])
                found.append((self.score(each.candidate, seen), seen))
        return found

    def _again(self, candidate: Candidate, known: Mapping[int, Weighed]) -> Weighed:
        """Score a candidate with what this pass says of it and what was seen before."""
        before = known.get(candidate.record.key)
        return self.score(candidate, before.look if before else None)


def _likeliest(weighed: Iterable[Weighed], least: float) -> list[Weighed]:
    """Those with at least some score, best first, ties by key."""
    likely = [each for each in weighed if each.score >= least]
    return sorted(likely, key=lambda each: (-each.score, each.candidate.record.key))


def _settles(weighed: Weighed) -> bool:
    """Whether one original is what a picture shows; see `SURE`."""
    return weighed.score >= SURE and _fills(weighed)


def _settles_alone(weighed: Weighed) -> bool:
    """Whether it does without key points. They could not speak against it, either."""
    return _settles(weighed) and weighed.values["steady"] >= _STEADY


def _fills(weighed: Weighed) -> bool:
    """Whether an original was verified to take most of the listing; the rest may hold another."""
    if weighed.verification is None:
        return False
    matrix = weighed.verification.agreement.matrix
    return abs(float(np.linalg.det(matrix[:2, :2]))) <= 1 / _FILLED


def _news(candidate: Candidate, before: Weighed | None) -> bool:
    """Whether further views told more of a candidate than was known when it was looked at."""
    if before is None or before.look is None:
        return True
    old, new = before.candidate.values, candidate.values
    return any(new[name] > old[name] for name in _OF_VIEWS if name in new)


def _parts(listing: ListingPrint, thorough: bool) -> list[Region]:
    """The parts of a picture that are looked up in the second pass."""
    regions = [listing.unframed] if listing.unframed else []
    for region in listing.insets[: _INSETS_THOROUGH if thorough else _INSETS]:
        sure = thorough or region.score >= SURE_OUTLINE
        if sure and all(region.overlap(other) < SAME_PART for other in regions):
            regions.append(region)
    return [*regions, *_GRID] if thorough else regions
