"""The partition function: listings in, findings out. Every engine runs this one.

It decides nothing of its own: each picture goes through the check that CheckListing makes,
with the same seller, territory and options.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from concurrent.futures import Future
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from models.batcher import BatcherStopped, DeadlineExpired, QueueFull
from models.images import Limits
from models.sketch import Kept
from service.auditing import Judged, record_listing
from service.matching.results import CheckOptions, ImageVerdict, Match, Provenance, Verdict
from service.sweeps.access import Access
from service.sweeps.errors import ExtraMissing, SourceNotAllowed, SourceNotFound, SourceUnreadable
from service.sweeps.families import Families
from service.sweeps.findings import Finding, FoundMatch
from service.sweeps.listing import Listing, Picture, Problem
from service.sweeps.recall import ListingForgotten, Recall, Seen, is_remembered
from service.sweeps.target import Target, brand_of

log = logging.getLogger(__name__)

Check = Callable[[bytes, Listing, CheckOptions], ImageVerdict]
"""What CheckListing does with one picture of a listing."""

Keep = Callable[[Kept], object]
"""Gets what may be remembered of a picture."""

_RANK = (Verdict.CLEAR, Verdict.AUTHORISED, Verdict.REVIEW, Verdict.COPY)
_OF_THE_MACHINE = (BatcherStopped, DeadlineExpired)
"""Say nothing about the picture: the server stops, or the sweep was told to."""
_UNREADABLE = (
    SourceNotAllowed,
    SourceNotFound,
    SourceUnreadable,
    ExtraMissing,
    ListingForgotten,
)
_TRIES, _PAUSE_S = 200, 0.1


class Interrupted(Exception):
    """The sweep was cancelled or the server stops; what was begun is done again later."""


def go_on() -> None:
    """The turn of whoever has the machine to itself."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the audit log is to say of a listing; it travels to where the log is written."""

    action: str
    details: Mapping[str, Any]
    brands: frozenset[str]
    prints: Mapping[int, bytes]


class Entries:
    """Takes entries, to be written later. Belongs to one thread."""

    def __init__(self) -> None:
        self.made: list[Entry] = []

    def record(
        self,
        action: str,
        details: Mapping[str, Any],
        *,
        brands: Collection[str] = (),
        prints: Mapping[int, bytes] | None = None,
    ) -> "Future[int]":
        """Keep an entry; the future says nothing yet."""
        self.made.append(Entry(action, details, frozenset(brands), prints or {}))
        return Future()


@dataclass(frozen=True, slots=True)
class Inspected:
    """One finding for each listing, in their order, and what the audit log is to say of them."""

    findings: Sequence[Finding]
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class Noting:
    """Remembers what is checked.

    Attributes:
        check: as `Check`, and hands over what may be remembered of the picture.
        note: takes what was handed over of a listing.
    """

    check: Callable[[bytes, Listing, CheckOptions, Keep], ImageVerdict]
    note: Callable[[Listing, Sequence[Kept]], object]


@dataclass(frozen=True, slots=True)
class Inspector:
    """Looks at listings. Any thread may call it.

    Attributes:
        check: see `Check`.
        families: names the family of a matched original.
        access: where pictures may be read.
        provenance: what answers under a policy are computed with.
        recall: reads remembered pictures, where there are any.
        noting: has what is checked remembered, where anything is.
    """

    check: Check
    families: Families
    access: Access
    provenance: Callable[[str], Provenance]
    recall: Recall | None = None
    noting: Noting | None = None

    def inspect(
        self,
        listings: Sequence[Listing],
        target: Target,
        options: CheckOptions,
        sweep: str,
        turn: Callable[[], None] = go_on,
    ) -> Inspected:
        """Look at listings.

        Args:
            target: originals to look for.
            options: `target.options`.
            sweep: id, for the audit log.
            turn: called before each picture; waits for the machine, or raises `Interrupted`.

        Raises:
            Interrupted; BatcherStopped, StoreClosed: the server stops.
        """
        entries = Entries()
        findings = []
        allowed = replace(self, access=self.access.of_brand(brand_of(sweep)))
        for listing in listings:
            judged: list[Judged] = []
            finding = allowed._listing(listing, target, options, turn, judged)
            findings.append(finding)
            if finding.verdict not in (None, Verdict.CLEAR):
                record_listing(
                    entries,
                    listing.listing_id,
                    listing.seller,
                    finding.verdict,
                    judged,
                    options,
                    self.provenance(options.policy),
                    {"territory": listing.territory, "sweep": sweep},
                )
        return Inspected(findings, entries.made)

    def _listing(
        self,
        listing: Listing,
        target: Target,
        options: CheckOptions,
        turn: Callable[[], None],
        judged: list[Judged],
    ) -> Finding:
        """Look at one listing; `judged` gets what the audit log is to know of its pictures."""
        if listing.problem is not None:
            return Finding(listing.listing_id, listing.seller, None, problems=(listing.problem,))
        best: dict[str, tuple[Match, Picture]] = {}
        verdicts: list[Verdict] = []
        problems: list[Problem] = []
        kept: list[Kept] = []
        checked = 0
        for position, picture in enumerate(listing.pictures):
            turn()
            try:
                seen = self._seen(picture, listing, kept.append)
            except _UNREADABLE as error:
                problems.append(Problem(error.reason, str(error), picture.name))
                continue
            try:
                found = self._check(seen, options, turn)
            except (Interrupted, *_OF_THE_MACHINE):
                raise
            except Exception as error:
                if getattr(error, "reason", "") == "STORE_CLOSED":
                    raise
                problems.append(_problem(error, picture))
                judged.append(Judged(position, seen.sha256, None, problems[-1].reason))
                verdicts.append(Verdict.REVIEW)  # what was not checked is not cleared
                continue
            checked += 1
            found = _wanted(found, target)
            verdicts.append(found.verdict)
            if found.verdict is not Verdict.CLEAR:
                judged.append(Judged(position, seen.sha256, found))
            for match in found.matches:
                before = best.get(match.original)
                if before is None or _better(match, before[0]):
                    best[match.original] = match, picture
        if self.noting is not None:
            self.noting.note(listing, kept)
        if problems and verdicts:
            verdicts.append(Verdict.REVIEW)
        ordered = sorted(best.values(), key=lambda pair: (-pair[0].score, pair[0].original))
        return Finding(
            listing.listing_id,
            listing.seller,
            max(verdicts, key=_RANK.index, default=None),
            checked,
            tuple(self._match(*pair, options.brands) for pair in ordered),
            tuple(problems),
        )

    def _seen(self, picture: Picture, listing: Listing, keep: Keep) -> Seen:
        """Read a picture, or what is kept of it."""
        if self.recall is not None and is_remembered(picture.location):
            return self.recall.seen(picture.location)
        image = self.access.read(
            picture.location, picture.offset, picture.length, Limits().max_bytes
        )
        digest = sha256(image).digest()
        if (noting := self.noting) is not None:
            return Seen(digest, lambda how: noting.check(image, listing, how, keep))
        return Seen(digest, lambda how: self.check(image, listing, how))

    def _check(self, seen: Seen, options: CheckOptions, turn: Callable[[], None]) -> ImageVerdict:
        """Check a picture; a full encoder is waited for, since nobody waits for us."""
        for _ in range(_TRIES):
            try:
                return seen.check(options)
            except QueueFull as error:
                time.sleep(min(error.retry_after_s, _PAUSE_S))
                turn()
        return seen.check(options)

    def _match(self, match: Match, picture: Picture, brands: Set[str]) -> FoundMatch:
        return FoundMatch(
            original=match.original,
            family=self.families.name(match.key, brands) or match.original,
            kind=match.kind,
            verdict=match.verdict,
            score=match.score,
            picture=picture.name,
            note=match.note,
            edits=tuple(edit.description for edit in match.edits),
            licence=match.licence,
        )


def _wanted(found: ImageVerdict, target: Target) -> ImageVerdict:
    """What was found of the chosen originals, when some are chosen."""
    if not target.originals:
        return found
    matches = tuple(match for match in found.matches if match.original in target.originals)
    verdicts = (match.verdict for match in matches)
    return replace(
        found,
        matches=matches,
        verdict=max(verdicts, key=_RANK.index, default=Verdict.CLEAR),
    )


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
