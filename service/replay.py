"""Replaying a verdict of the audit log: would it be another one today, and why?

From the fingerprint that was kept the picture is looked up and compared anew, and what was
measured of a matched original by key points and pixels is taken from the log: neither picture
can have changed since. So thresholds, score, rights, withdrawals and identical pictures are told
for certain; an original that was registered since and passes the gate is named, since only the
picture itself can tell whether it matches. Who has the picture hands it in: its digest must be
that of the log, and it is checked in full.

Rows were rounded to float16 and machines differ, so cosines move in the fourth digit: a score
counts as moved from `TOLERANCE` on.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from index.catalogue import Catalogue
from index.chain import Link
from index.ledger import BrandNotFound
from index.records import OriginalRecord
from models.fingerprint import Fingerprinter
from models.print_record import PrintRecord
from service.auditing import JUDGE
from service.matching import candidates, decide
from service.matching.pipeline import Matcher
from service.matching.results import CheckOptions, Match, MatchKind, Provenance, Verdict
from service.matching.signals import VERIFIED
from service.replayed import (
    Cause,
    Compared,
    ImageDiffers,
    NotReplayable,
    Reason,
    Replayed,
    ReplayedPicture,
)
from service.rights import GRAVEST, Offer, RightsChecker

TOLERANCE = 0.01
"""In scores; see `tests/service/test_replay.py`, which measures what rounding does."""

_VERIFIED = frozenset(signal.name for signal in VERIFIED)


class Replayer:
    """Replays verdicts of one catalogue. Any thread may call it."""

    def __init__(
        self,
        catalogue: Catalogue,
        fingerprinter: Fingerprinter,
        matcher: Matcher,
        rights: RightsChecker,
    ) -> None:
        self._catalogue, self._fingerprinter = catalogue, fingerprinter
        self._matcher, self._rights = matcher, rights

    def replay(
        self, sequence: int, images: Sequence[bytes] = (), deadline: float | None = None
    ) -> Replayed:
        """Judge the pictures of an entry by what is known today.

        Args:
            images: pictures of the listing, in any order.
            deadline: `time.monotonic()` after which no further step begins.

        Raises:
            AuditEntryNotFound, NotReplayable, ImageDiffers, PrintUnreadable.
            What checking a picture raises.
        """
        link, prints = self._catalogue.audit.get(sequence)
        if link.entry["action"] != JUDGE:
            raise NotReplayable(sequence, link.entry["action"])
        details = link.entry["details"]
        handed = _by_position(link, images)
        options = self._options(details["options"])
        then = _provenance(details["provenance"])
        case = _Case(
            options=options,
            offer=self._rights.offer(details["seller"], details.get("territory", "")),
            then=then,
            now=self._matcher.provenance(options.policy),
            newest_key=self._catalogue.newest_key(int(then.snapshot.rpartition("+")[2])),
            blind=bool(details["options"]["brands"]) and not options.brands,
            deadline=deadline,
        )
        pictures = tuple(
            self._picture(case, image, prints.get(image["position"]), handed)
            for image in details["images"]
        )
        # One that can not be told of keeps its verdict, and a picture that was not checked is
        # never cleared.
        today = [each.today or each.logged or Verdict.REVIEW for each in pictures]
        return Replayed(
            sequence=sequence,
            logged=Verdict(details["verdict"]),
            today=min(today, key=GRAVEST.index),
            certain=all(each.certain for each in pictures),
            pictures=pictures,
            logged_provenance=case.then,
            provenance=case.now,
        )

    def _picture(
        self,
        case: "_Case",
        image: Mapping[str, Any],
        kept: bytes | None,
        handed: Mapping[int, bytes],
    ) -> ReplayedPicture:
        position = image["position"]
        if position in handed and not case.blind:
            found = self._rights.check(handed[position], case.options, case.offer, case.deadline)
            return self._compare(case, image, found.matches, [], complete=True, certain=True)
        if "error" in image:
            return ReplayedPicture(position, None, None, False, False, (), ())
        record = PrintRecord.from_bytes(kept) if kept else None
        doubts: list[Reason] = []
        if record is None:
            doubts.append(Reason(Cause.FINGERPRINT_DROPPED, "its fingerprint was dropped"))
        elif record.schema != self._fingerprinter.schema:
            words = f"fingerprints of schema {record.schema} can not be compared with today's"
            doubts.append(Reason(Cause.ENCODER_CHANGED, words))
            record = None
        matches = self._again(case, image, record)
        if record is not None and not case.blind:
            known = {match["key"] for match in image["matches"]}
            matches += self._identical(record, known, case)
            known |= {match.key for match in matches}
            doubts += self._added(record, known, case)
        matches = self._rights.apply(matches, case.offer)
        return self._compare(case, image, matches, doubts, complete=False, certain=not doubts)

    def _standing(self, keys: Sequence[int]) -> Sequence[OriginalRecord | None]:
        """The originals of these keys; None for one that is gone, or that matches no more."""
        return [
            record if record is not None and record.state == "ACTIVE" else None
            for record in self._catalogue.by_key(keys)
        ]

    def _again(
        self, case: "_Case", image: Mapping[str, Any], record: PrintRecord | None
    ) -> list[Match]:
        """The matches of the log whose originals are still there, scored as of today."""
        logged = image["matches"]
        originals = self._standing([match["key"] for match in logged])
        present = [original for original in originals if original is not None]
        cheap: dict[int, Mapping[str, float]] = {}
        if record is not None and record.views and record.phash is not None:
            views = [view.restored() for view in record.views]
            compared = candidates.compare(self._fingerprinter, record.phash, views, present)
            cheap = {each.record.key: each.values for each in compared}
        thresholds, found = self._matcher.policies.of(case.options.policy), list[Match]()
        for match, original in zip(logged, originals, strict=True):
            if original is None:
                continue
            values = {name: value for name, value, *_ in match["evidence"] if value is not None}
            kind = MatchKind(match["kind"])
            if kind is MatchKind.EXACT:
                name = match["original"]
                found.append(decide.identical(match["key"], name, match["brand"], name))
                continue
            values |= {k: v for k, v in cheap.get(match["key"], {}).items() if v == v}
            verified = not _VERIFIED.isdisjoint(values)
            score = self._matcher.policies.score_of(values, verified=verified)
            verdict = decide.verdict_of(score, thresholds) if verified else Verdict.CLEAR
            found.append(
                Match(match["key"], match["original"], match["brand"], kind, verdict, score, ())
            )
        return found

    def _identical(self, record: PrintRecord, known: set[int], case: "_Case") -> list[Match]:
        """Originals with the same bytes or pixels that are not in the log."""
        keys = self._catalogue.find_digest(sha256=record.sha256, pixel_sha256=record.pixel_sha256)
        found = []
        for original in self._standing([key for key in keys if key not in known]):
            if original is None or not case.looks_at(original.brand):
                continue
            brand = f"brands/{original.brand}"
            name = f"{brand}/originals/{original.original}"
            found.append(decide.identical(original.key, name, brand, name))
        return found

    def _added(self, record: PrintRecord, known: set[int], case: "_Case") -> list[Reason]:
        """Originals registered since that would be verified; only the picture can tell more."""
        if not record.views or record.phash is None:
            return []  # the digests agreed, and nothing else was looked at
        views = [view.restored() for view in record.views]
        brands = case.options.brands or None
        keys = candidates.gather(self._catalogue, views, brands)
        new = [key for key in keys if key > case.newest_key and key not in known]
        originals = [each for each in self._standing(new) if each is not None]
        reasons = []
        for each in candidates.compare(self._fingerprinter, record.phash, views, originals):
            rate = self._matcher.policies.score_of(each.values, verified=False)
            if rate >= self._matcher.policies.gate:
                name = f"brands/{each.record.brand}/originals/{each.record.original}"
                words = f"{name} was registered since and would be looked at closely ({rate:.2f})"
                reasons.append(Reason(Cause.ORIGINAL_ADDED, words, name))
        return reasons

    def _compare(
        self,
        case: "_Case",
        image: Mapping[str, Any],
        matches: Sequence[Match],
        doubts: Sequence[Reason],
        *,
        complete: bool,
        certain: bool,
    ) -> ReplayedPicture:
        """Lay the matches of today beside those of the log."""
        today = {match.key: match for match in matches}
        reasons, rows = list(doubts), list[Compared]()
        for old in image.get("matches", ()):
            new = today.pop(old["key"], None)
            reasons += self._why(case, old, new)
            rows.append(
                Compared(
                    old["original"],
                    Verdict(old["verdict"]),
                    new.verdict if new else None,
                    old["score"],
                    new.score if new else None,
                )
            )
        for new in today.values():
            cause = Cause.SCORE_MOVED
            words = f"{new.original} matches today ({new.score:.2f})"
            if new.key > case.newest_key:
                cause, words = Cause.ORIGINAL_ADDED, f"{words}; it was registered since"
            reasons.append(Reason(cause, words, new.original))
            rows.append(Compared(new.original, None, new.verdict, None, new.score))
        verdict = min((m.verdict for m in matches), key=GRAVEST.index, default=Verdict.CLEAR)
        logged = Verdict(image["verdict"]) if "verdict" in image else None
        return ReplayedPicture(
            image["position"], logged, verdict, complete, certain, tuple(reasons), tuple(rows)
        )

    def _why(self, case: "_Case", old: Mapping[str, Any], new: Match | None) -> list[Reason]:
        """Why one original of the log gets another answer, if it does."""
        name, was = old["original"], Verdict(old["verdict"])
        if new is None:
            if self._standing([old["key"]])[0] is None:
                words = f"{name} is withdrawn or lost a dispute"
                return [Reason(Cause.ORIGINAL_WITHDRAWN, words, name)]
            return [Reason(case.cause, f"{name} does not match any more{case.because}", name)]
        moved = abs(new.score - old["score"]) > TOLERANCE
        if moved:
            words = f"the score of {name} is {new.score:.2f} and was {old['score']:.2f}"
            return [Reason(case.cause, words + case.because, name)]
        if new.verdict is was:
            return []
        if Verdict.AUTHORISED in (new.verdict, was):
            words = f"who may use {name} has changed: {was.value} then, {new.verdict.value} today"
            return [Reason(Cause.RIGHTS_CHANGED, words, name)]
        words = f"{new.score:.2f} was {was.value} by {case.then.policy}, and is "
        words += f"{new.verdict.value} by {case.now.policy}"
        return [Reason(Cause.POLICY_CHANGED, words, name)]

    def _options(self, logged: Mapping[str, Any]) -> CheckOptions:
        """The options of then, without brands that are there no more."""
        options = CheckOptions(**{**logged, "brands": frozenset(self._there(logged["brands"]))})
        if options.policy and options.policy not in self._matcher.policies.thresholds:
            return replace(options, policy="")
        return options

    def _there(self, brands: Sequence[str]) -> Iterator[str]:
        """Those of some brands that exist."""
        for brand in brands:
            with suppress(BrandNotFound):
                yield self._catalogue.get_brand(brand).brand


@dataclass(frozen=True, slots=True)
class _Case:
    """What is the same for all pictures of an entry.

    Attributes:
        newest_key: of the originals that were registered then.
        blind: the check was about brands none of which is there any more.
    """

    options: CheckOptions
    offer: Offer
    then: Provenance
    now: Provenance
    newest_key: int
    blind: bool
    deadline: float | None

    @property
    def cause(self) -> Cause:
        """What a score that has moved is put down to."""
        if self.then.schema != self.now.schema:
            return Cause.ENCODER_CHANGED
        if (self.then.model, self.then.calibration) != (self.now.model, self.now.calibration):
            return Cause.MODEL_CHANGED
        return Cause.SCORE_MOVED

    @property
    def because(self) -> str:
        """The same in words, to be added to a sentence."""
        if self.cause is Cause.ENCODER_CHANGED:
            return f": schema {self.then.schema} then, {self.now.schema} today"
        if self.cause is Cause.MODEL_CHANGED:
            before = self.then.calibration or self.then.model
            return f": {before} then, {self.now.calibration or self.now.model} today"
        return ""

    def looks_at(self, brand: str) -> bool:
        """Whether the check was about this brand."""
        return not self.options.brands or brand in self.options.brands


def _by_position(link: Link, images: Sequence[bytes]) -> dict[int, bytes]:
    """The pictures by their place in the entry. Raises ImageDiffers."""
    logged = link.entry["details"]["images"]
    given = {sha256(image).hexdigest(): image for image in images}
    for digest in given.keys() - {image["sha256"] for image in logged}:
        raise ImageDiffers(digest, link.sequence)
    return {i["position"]: given[i["sha256"]] for i in logged if i["sha256"] in given}


def _provenance(logged: Mapping[str, Any]) -> Provenance:
    known = {name: logged[name] for name in Provenance.__dataclass_fields__ if name in logged}
    return Provenance(**{**known, "encoders": tuple(known["encoders"])})
