"""Who may copy: turns the matches of a seller with a right into AUTHORISED.

The rules, in order:

- A right is the brand's list of its own sellers, or a licence in force that names the seller or a
  programme of the seller's. A seller without an id has none.
- Each match is judged for itself. COPY and REVIEW become AUTHORISED when a right extends to
  that very original; one that no right extends to stays what it is, of the same brand as well.
- The verdict of a picture is the gravest of its matches: COPY, REVIEW, AUTHORISED, CLEAR. So a
  right to one original never excuses the copy of another.
- Where a right would decide, the picture is looked at once more without what is allowed: a
  check ends as soon as it is sure, and an allowed original must not hide another one.

"Now" is the moment at which a listing begins to be checked, on the server's clock in UTC. The
store is read for each picture and nothing is kept, so a change counts from the next call on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from index.catalogue import Catalogue
from index.licences import Holding, Licence
from index.records import OriginalRecord
from index.selection import AllBut
from models.sketch import Kept, Sketch
from service.matching.decide import DOUBT
from service.matching.pipeline import Matcher
from service.matching.results import CheckOptions, ImageVerdict, Match, Verdict

GRAVEST = (Verdict.COPY, Verdict.REVIEW, Verdict.AUTHORISED, Verdict.CLEAR)
"""Of several verdicts the first of these counts."""

_EVERY_MATCH = 1000
"""A match that is left out could be the one that no right extends to."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Who offers, where, and when that was asked.

    Attributes:
        seller: the caller's id of the seller; empty for one who is not known.
        territory: ISO 3166-1 alpha-2, empty when it is not known.
        now_ns: nanoseconds since 1970, UTC.
    """

    seller: str
    territory: str
    now_ns: int


@dataclass(frozen=True, slots=True)
class Right:
    """Why a seller may use an original; `licence` is empty for one of the brand's own."""

    licence: str
    note: str


class RightsChecker:
    """Checks listing pictures with a look at who offers them. Any thread may call it.

    Args:
        catalogue: originals and licences.
        matcher: of the same catalogue.
        clock: nanoseconds since 1970.
    """

    def __init__(self, catalogue: Catalogue, matcher: Matcher, clock: Callable[[], int]) -> None:
        self._catalogue, self._matcher, self._clock = catalogue, matcher, clock

    def offer(self, seller: str, territory: str = "") -> Offer:
        """An offer that is checked from now on; one for all pictures of a listing."""
        return Offer(seller, territory, self._clock())

    def check(
        self,
        data: bytes,
        options: CheckOptions,
        offer: Offer,
        deadline: float | None = None,
        keep: Callable[[Kept], object] | None = None,
    ) -> ImageVerdict:
        """Check one listing picture, as `Matcher.check` does, and apply the seller's rights.

        Raises:
            what `Matcher.check` raises.
        """
        wanted = [keep]  # by the first look alone

        def look(how: CheckOptions) -> ImageVerdict:
            return self._matcher.check(data, how, deadline, wanted.pop() if wanted else None)

        return self._permitting(look, options, offer)

    def check_again(self, sketch: Sketch, options: CheckOptions, offer: Offer) -> ImageVerdict:
        """Check a listing picture that was seen before, as `Matcher.check_again` does.

        The rights are those of now, not of when the picture was seen.
        """
        return self._permitting(lambda how: self._matcher.check_again(sketch, how), options, offer)

    def _permitting(
        self, look: Callable[[CheckOptions], ImageVerdict], options: CheckOptions, offer: Offer
    ) -> ImageVerdict:
        """Look at a picture and apply the rights of the one who offers it."""
        if not self._catalogue.licences.holds_any(offer.seller):
            return look(options)
        wide = replace(options, max_matches=_EVERY_MATCH)
        found = look(wide)
        holdings: dict[str, Holding] = {}
        matches = self._judged(found.matches, offer, holdings)
        steps_ms = dict(found.steps_ms)
        verdicts = {match.verdict for match in matches}
        if Verdict.AUTHORISED in verdicts and Verdict.COPY not in verdicts:
            further = self._further(wide, offer, holdings)
            if further is not None:
                more = look(further)
                known = {match.key for match in matches}
                new = [match for match in more.matches if match.key not in known]
                matches += self._judged(new, offer, holdings)
                for step, ms in more.steps_ms.items():
                    steps_ms[step] = steps_ms.get(step, 0.0) + ms
        if Verdict.AUTHORISED in verdicts:
            matches.sort(key=lambda match: (GRAVEST.index(match.verdict), -match.score, match.key))
        verdict = min((m.verdict for m in matches), key=GRAVEST.index, default=Verdict.CLEAR)
        kept = tuple(matches[: options.max_matches])
        return replace(found, verdict=verdict, matches=kept, steps_ms=steps_ms)

    def apply(self, matches: Sequence[Match], offer: Offer) -> list[Match]:
        """Apply the seller's rights to matches that were found before."""
        return self._judged(matches, offer, {})

    def _judged(
        self, matches: Sequence[Match], offer: Offer, holdings: dict[str, Holding]
    ) -> list[Match]:
        """The matches, those AUTHORISED to which a right extends."""
        accused = [m for m in matches if m.verdict in (Verdict.COPY, Verdict.REVIEW)]
        records = self._catalogue.by_key([match.key for match in accused])
        rights: dict[int, Right] = {}
        for match, record in zip(accused, records, strict=True):
            if record is None:
                continue  # withdrawn since it was found
            if record.brand not in holdings:
                held = self._catalogue.licences.held(offer.seller, record.brand)
                holdings[record.brand] = held
            right = right_to(record, holdings[record.brand], offer)
            if right is not None:
                rights[match.key] = right
        return [
            replace(
                match,
                verdict=Verdict.AUTHORISED,
                licence=rights[match.key].licence,
                note=_allowed(match.note, rights[match.key]),
            )
            if match.key in rights
            else match
            for match in matches
        ]

    def _further(
        self, options: CheckOptions, offer: Offer, holdings: Mapping[str, Holding]
    ) -> CheckOptions | None:
        """How to look for what the allowed originals may hide; None when there is nothing.

        A brand of which everything is allowed is left out. Of one of which only a part is
        allowed every view is looked up, whatever is found first.
        """
        whole = {brand for brand, held in holdings.items() if _holds_all(held, offer)}
        partly = any(
            (held.own or held.licences) and brand not in whole for brand, held in holdings.items()
        )
        left = options.brands
        if isinstance(left, AllBut):
            left = AllBut({*left, *whole})
        elif left:
            left = frozenset(left - whole)
            if not left:
                return None
        elif whole:
            left = AllBut(whole)
        if isinstance(left, AllBut) and len(left) >= self._catalogue.counts()["brands"]:
            return None
        return replace(options, brands=left, thorough=options.thorough or partly)


def right_to(original: OriginalRecord, held: Holding, offer: Offer) -> Right | None:
    """Why an original may be used by who holds this; None when it may not.

    The brand's own sellers need no licence. Of several licences the first by id is named.
    """
    if held.own:
        return Right("", f"The seller is one of the own sellers of brands/{original.brand}.")
    for licence in held.licences:
        if licence.reaches(offer.now_ns, offer.territory) and licence.covers(original):
            name = licence_name(licence)
            return Right(name, f"The seller may use it by {name}.")
    return None


def _allowed(note: str, right: Right) -> str:
    """The note of a match to which a right extends."""
    return f"{note.removesuffix(DOUBT).rstrip()} {right.note}".strip()


def licence_name(licence: Licence) -> str:
    """`brands/{brand}/licences/{licence}`."""
    return f"brands/{licence.brand}/licences/{licence.licence}"


def _holds_all(held: Holding, offer: Offer) -> bool:
    """Whether every original of a brand may be used."""
    return held.own or any(
        licence.scope == "ALL" and licence.reaches(offer.now_ns, offer.territory)
        for licence in held.licences
    )
