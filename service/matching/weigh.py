"""Weighing one listing picture: views, candidates, verification, scores; cheapest first.

The whole picture is looked up first. Candidates that could be copies by their vectors are
looked at, ever more closely (`service.matching.looks`).
Only while nothing certain is found, the parts of the picture are looked up too: its inside without
borders, and the pictures within it; and then, where that is asked for, the originals that share key
points with it (`service.matching.placing`). Where originals are much alike, it is asked last which
of them the picture shows (`service.matching.among`).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from index.records import OriginalRecord
from models.features import LocalFeatures
from models.fingerprint import Fingerprinter, ListingPrint, ViewPrint
from models.images import Picture, UInt8Array
from models.views import WHOLE, Region, around_subject
from service.matching import candidates
from service.matching.among import beside_siblings
from service.matching.candidates import Candidate
from service.matching.clock import Clock
from service.matching.looks import MOST, SURE, Looks, Weighed, bars, likeliest
from service.matching.originals import Originals
from service.matching.placing import Placed, place
from service.matching.score import ScoreModels
from service.matching.verify import Verifier

_INSETS = 3
"""Pictures within a picture that are looked up without being asked to."""
SAME_PART = 0.8
"""Parts of a picture with this intersection over union are one, and looked up once."""
SURE_OUTLINE = 0.06
"""From this probability on, a picture within the picture is looked up without being asked to: nine
in ten pasted pictures have it, and one rectangle in every fourth picture that holds none."""
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


class Seen(Protocol):
    """A listing picture as far as it is needed to weigh it: a fingerprint, or what is kept of one.

    Attributes:
        rgb: uint8, shape (h, w, 3); only its edges are looked at.
    """

    @property
    def rgb(self) -> UInt8Array: ...

    @property
    def phash(self) -> int: ...

    def points(self, region: Region, side: int = ...) -> LocalFeatures:
        """Key points of a part of it, reduced to a longest side."""
        ...


@dataclass(frozen=True, slots=True)
class Weigher:
    """Weighs listing pictures against the catalogue. Any thread may call it.

    Attributes:
        key_points: whether key points are looked up also when nobody asks to be thorough.
    """

    catalogue: Originals
    fingerprinter: Fingerprinter
    models: ScoreModels
    key_points: bool = False

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
            thorough: look up all parts, also when something was found, and key points; match those
                of every likely original; and `beside`.
            beside: look at unlikely originals, too, when one settles what the picture shows.
            gate: least score for each of the looks, which are all taken; None is the calibrated
                ones.
            told: hears of the fingerprint that was weighed, with all views of it.
        """
        least = bars(self.models, beside=beside or thorough, every=thorough, gate=gate)
        with clock.step("encode"):
            listing = self.fingerprinter.listing(picture, clock.deadline)
        views = [listing.whole]
        known = self._pass(listing, views, views, {}, brands, clock, least)
        if thorough or not any(each.settles for each in known.values()):
            regions = _parts(listing, thorough)
            if regions:
                with clock.step("encode"):
                    parts = self.fingerprinter.views(picture.rgb, regions, clock.deadline)
                views = [*views, *parts]
                known = self._pass(listing, parts, views, known, brands, clock, least)
            if thorough or self.key_points:
                views, found = self._by_points(listing, views, known, brands, clock, least)
                known = known | found
        told(listing, views)
        return likeliest(known.values(), 0.0)

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
        least = bars(self.models, beside=beside)
        known = self._pass(seen, views, views, {}, brands, clock, least)
        return likeliest(known.values(), 0.0)

    def plausible(
        self, phash: int, views: Sequence[ViewPrint], records: Sequence[OriginalRecord]
    ) -> list[bool]:
        """Which originals the gate would let through to verification, by vectors alone."""
        least = self.models.thresholds["gate"]["glance"]
        found = candidates.compare(self.fingerprinter, phash, views, records)
        return [self.models.gate.probability(each.values) >= least for each in found]

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
            keys = candidates.gather(self.catalogue, asked, brands)
            wanted = list(dict.fromkeys([*keys, *known]))
            records = [each for each in self.catalogue.by_key(wanted) if each is not None]
            found = candidates.compare(self.fingerprinter, listing.phash, views, records)
        result = {each.record.key: self._again(each, known) for each in found}
        # Whatever a look at it showed before, a part of the picture may show it plainly.
        fresh = [
            Weighed.of(self.models, each.candidate, None) if each.look else each
            for each in result.values()
        ]
        likely = [
            each
            for each in likeliest(fresh, least["glance"])
            if _news(each.candidate, known.get(each.key))
        ][: MOST["glance"]]
        if not likely:
            return result
        parts = [(view.region, view.luma) for view in views]
        verifier = Verifier(listing.rgb, parts, listing.points)
        blobs = self.catalogue.features_many([each.key for each in likely])
        # An original without a detail was withdrawn since it was found.
        there = [(each, blob) for each, blob in zip(likely, blobs, strict=True) if blob is not None]
        for each in Looks(self.models, verifier, clock, least).take(there):
            before = result[each.key]
            if before.verification is None or (each.verification and each.score >= before.score):
                result[each.key] = each
        with clock.step("verify"):
            likely = likeliest(result.values(), least["siblings"])
            return result | beside_siblings(self.catalogue, self.models, verifier, likely)

    def _by_points(
        self,
        listing: ListingPrint,
        views: list[ViewPrint],
        known: Mapping[int, Weighed],
        brands: Collection[str] | None,
        clock: Clock,
        least: Mapping[str, float],
    ) -> tuple[list[ViewPrint], dict[int, Weighed]]:
        """Look up key points, and verify the originals that they place.

        Returns:
            All views with those of these places, and of what was found what says more than is
            known, by key.
        """
        with clock.step("points"):
            sure = [key for key, each in known.items() if each.score >= SURE]
            placed = place(self.catalogue, listing, brands, sure)
        if not placed:
            return views, {}
        records = self.catalogue.by_key(list(placed))
        there = [(each, placed[each.key]) for each in records if each is not None]
        views, verifier, found = self.placed(listing, views, there, clock)
        with clock.step("verify"):
            likely = likeliest(found.values(), least["siblings"])
            found |= beside_siblings(self.catalogue, self.models, verifier, likely)
        return views, {key: each for key, each in found.items() if _better(each, known)}

    def placed(
        self,
        listing: ListingPrint,
        views: Sequence[ViewPrint],
        placed: Sequence[tuple[OriginalRecord, Placed]],
        clock: Clock,
    ) -> tuple[list[ViewPrint], Verifier, dict[int, Weighed]]:
        """Verify originals where key points have placed them, whatever other views say of them.

        Returns:
            All views with those of these places, what verified them, and what was found, by key.
        """
        with clock.step("encode"):
            regions = _apart([at.region for _, at in placed], [view.region for view in views])
            parts = self.fingerprinter.views(listing.rgb, regions, clock.deadline)
        views = [*views, *parts]
        with clock.step("search"):
            records = [record for record, _ in placed]
            found = candidates.compare(self.fingerprinter, listing.phash, views, records)
        everywhere = [(view.region, view.luma) for view in views]
        verifier = Verifier(listing.rgb, everywhere, listing.points)
        weighed = {}
        with clock.step("verify"):
            for each, (record, at) in zip(found, placed, strict=True):
                clock.check()
                look = verifier.verify(verifier.placed(at.detail, at.fit, at.region))
                weighed[record.key] = Weighed.of(self.models, each, look)
        return views, verifier, weighed

    def _again(self, candidate: Candidate, known: Mapping[int, Weighed]) -> Weighed:
        """Score a candidate with what this pass says of it and what was seen before."""
        before = known.get(candidate.record.key)
        return Weighed.of(self.models, candidate, before.look if before else None)


def _news(candidate: Candidate, before: Weighed | None) -> bool:
    """Whether further views told more of a candidate than was known when it was looked at."""
    if before is None or before.look is None:
        return True
    old, new = before.candidate.values, candidate.values
    return any(new[name] > old[name] for name in _OF_VIEWS if name in new)


def _better(each: Weighed, known: Mapping[int, Weighed]) -> bool:
    """Whether it says more for a copy than what was known of the original."""
    before = known.get(each.key)
    return before is None or before.verification is None or each.score > before.score


def _parts(listing: ListingPrint, thorough: bool) -> list[Region]:
    """The parts of a picture that are looked up in the second pass."""
    if thorough:
        proposed = [*listing.insets, around_subject(listing.rgb)]
    else:
        proposed = [each for each in listing.insets[:_INSETS] if each.score >= SURE_OUTLINE]
    regions = [listing.unframed] if listing.unframed else []
    regions += _apart([each for each in proposed if each], (WHOLE, *regions))
    return [*regions, *_GRID] if thorough else regions


def _apart(proposed: Iterable[Region], seen: Sequence[Region]) -> list[Region]:
    """Those parts that are none of the others, nor of those that are looked up already."""
    new: list[Region] = []
    for region in proposed:
        if all(region.overlap(other) < SAME_PART for other in (*seen, *new)):
            new.append(region)
    return new
