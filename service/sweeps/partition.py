"""The partition function: listings in, findings out. Every engine runs this one.

It decides nothing of its own: each picture goes through the check that CheckListing makes,
with the same seller, territory and options.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from models.batcher import BatcherStopped, DeadlineExpired, QueueFull
from models.images import Limits
from service.matching.results import CheckOptions, ImageVerdict, Match, Verdict
from service.sweeps.access import (
    Access,
    ExtraMissing,
    SourceNotAllowed,
    SourceNotFound,
    SourceUnreadable,
)
from service.sweeps.families import Families
from service.sweeps.findings import Finding, FoundMatch
from service.sweeps.listing import Listing, Picture, Problem

log = logging.getLogger(__name__)

Check = Callable[[bytes, Listing, CheckOptions], ImageVerdict]
"""What CheckListing does with one picture of a listing."""

_RANK = (Verdict.CLEAR, Verdict.AUTHORISED, Verdict.REVIEW, Verdict.COPY)
_OF_THE_MACHINE = (BatcherStopped, DeadlineExpired)
"""Say nothing about the picture: the server stops, or the sweep was told to."""
_TRIES, _PAUSE_S = 200, 0.1


class Interrupted(Exception):
    """The sweep was cancelled or the server stops; what was begun is done again later."""


def go_on() -> None:
    """The turn of whoever has the machine to itself."""


@dataclass(frozen=True, slots=True)
class Target:
    """Which originals a sweep looks for.

    Attributes:
        brands: brand ids; empty means all.
        originals: resource names of chosen originals; empty means all of the brands.
    """

    brands: frozenset[str] = frozenset()
    originals: frozenset[str] = frozenset()

    def options(self, policy: str, thorough: bool) -> CheckOptions:
        """How each picture is checked."""
        chosen = {name.split("/")[1] for name in self.originals}
        return CheckOptions(
            brands=self.brands | chosen,
            # Of chosen originals none may be crowded out by others of their brand.
            max_matches=50 if self.originals else 10,
            thorough=thorough,
            policy=policy,
        )


@dataclass(frozen=True, slots=True)
class Inspector:
    """Looks at listings. Any thread may call it.

    Attributes:
        check: see `Check`.
        families: names the family of a matched original.
        access: where pictures may be read.
    """

    check: Check
    families: Families
    access: Access

    def inspect(
        self,
        listings: Sequence[Listing],
        target: Target,
        options: CheckOptions,
        turn: Callable[[], None] = go_on,
    ) -> list[Finding]:
        """Return one finding for each listing, in their order.

        Args:
            target: originals to look for.
            options: `target.options`.
            turn: called before each picture; waits for the machine, or raises `Interrupted`.

        Raises:
            Interrupted; BatcherStopped, StoreClosed: the server stops.
        """
        return [self._listing(listing, target, options, turn) for listing in listings]

    def _listing(
        self, listing: Listing, target: Target, options: CheckOptions, turn: Callable[[], None]
    ) -> Finding:
        if listing.problem is not None:
            return Finding(listing.listing_id, listing.seller, None, problems=(listing.problem,))
        best: dict[str, tuple[Match, Picture]] = {}
        verdicts: list[Verdict] = []
        problems: list[Problem] = []
        checked = 0
        for picture in listing.pictures:
            turn()
            try:
                image = self.access.read(
                    picture.location, picture.offset, picture.length, Limits().max_bytes
                )
            except (SourceNotAllowed, SourceNotFound, SourceUnreadable, ExtraMissing) as error:
                problems.append(Problem(error.reason, str(error), picture.name))
                continue
            try:
                found = self._check(image, listing, options, turn)
            except (Interrupted, *_OF_THE_MACHINE):
                raise
            except Exception as error:
                if getattr(error, "reason", "") == "STORE_CLOSED":
                    raise
                problems.append(_problem(error, picture))
                verdicts.append(Verdict.REVIEW)  # what was not checked is not cleared
                continue
            checked += 1
            matches = _wanted(found, target)
            verdicts.append(found.verdict if not target.originals else _highest(matches))
            for match in matches:
                before = best.get(match.original)
                if before is None or _better(match, before[0]):
                    best[match.original] = match, picture
        if problems and verdicts:
            verdicts.append(Verdict.REVIEW)
        ordered = sorted(best.values(), key=lambda pair: (-pair[0].score, pair[0].original))
        return Finding(
            listing.listing_id,
            listing.seller,
            max(verdicts, key=_RANK.index, default=None),
            checked,
            tuple(self._match(*pair) for pair in ordered),
            tuple(problems),
        )

    def _check(
        self, image: bytes, listing: Listing, options: CheckOptions, turn: Callable[[], None]
    ) -> ImageVerdict:
        """Check a picture; a full encoder is waited for, since nobody waits for us."""
        for _ in range(_TRIES):
            try:
                return self.check(image, listing, options)
            except QueueFull as error:
                time.sleep(min(error.retry_after_s, _PAUSE_S))
                turn()
        return self.check(image, listing, options)

    def _match(self, match: Match, picture: Picture) -> FoundMatch:
        return FoundMatch(
            original=match.original,
            family=self.families.name(match.key) or match.original,
            kind=match.kind,
            verdict=match.verdict,
            score=match.score,
            picture=picture.name,
            note=match.note,
            edits=tuple(edit.description for edit in match.edits),
            licence=match.licence,
        )


def _wanted(found: ImageVerdict, target: Target) -> Sequence[Match]:
    if not target.originals:
        return found.matches
    return [match for match in found.matches if match.original in target.originals]


def _highest(matches: Sequence[Match]) -> Verdict:
    return max((match.verdict for match in matches), key=_RANK.index, default=Verdict.CLEAR)


def _better(a: Match, b: Match) -> bool:
    return (_RANK.index(a.verdict), a.score) > (_RANK.index(b.verdict), b.score)


def _problem(error: Exception, picture: Picture) -> Problem:
    """What is told about a picture that could not be checked; the log has the rest of a defect."""
    reason = str(getattr(error, "reason", ""))
    if reason.startswith("IMAGE_"):
        return Problem(reason, str(error), picture.name)
    log.error("a picture of a sweep could not be checked", exc_info=error)
    words: Mapping[str, str] = {"": "a defect of the server; its log has more"}
    return Problem(reason or "INTERNAL", words.get(reason, str(error)), picture.name)
