"""What a sweep found out about one listing, in the words of CheckListing.

Plain frozen values and their bytes. Everything that differs from run to run (times, places
in a queue) is left out: the same listing against the same originals gives the same bytes,
whichever engine made them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.matching.results import MatchKind, Verdict
from service.sweeps.listing import Problem

FLAGGED = (Verdict.COPY, Verdict.REVIEW, Verdict.AUTHORISED)
"""Verdicts that name an original."""


@dataclass(frozen=True, slots=True)
class FoundMatch:
    """One original that a listing was found alike: the best of its pictures.

    Attributes:
        original: resource name `brands/{brand}/originals/{original}`.
        family: resource name of the oldest original that is nearly the same picture; itself
            when there is no other.
        kind, verdict, score, note: as in `service.matching.results.Match`.
        picture: name of the listing picture.
        edits: what was done to the original, in words.
        licence: name of the licence that allows it; empty without one.
    """

    original: str
    family: str
    kind: MatchKind
    verdict: Verdict
    score: float
    picture: str
    note: str = ""
    edits: tuple[str, ...] = ()
    licence: str = ""

    @property
    def brand(self) -> str:
        """The brand's resource name."""
        return self.original.partition("/originals/")[0]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one listing.

    Attributes:
        listing_id, seller: from the manifest.
        verdict: the highest of its pictures, at least REVIEW when one of them could not be
            checked; None when none could be read, so that there is nothing to judge.
        pictures: how many were checked.
        matches: best first, at most one for each original.
        problems: why the listing, or some of its pictures, could not be checked.
    """

    listing_id: str
    seller: str
    verdict: Verdict | None
    pictures: int = 0
    matches: tuple[FoundMatch, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def flagged(self) -> bool:
        """Whether there is anything to look at."""
        return self.verdict is not Verdict.CLEAR or bool(self.problems)

    @property
    def families(self) -> tuple[str, ...]:
        """Families that it was found to copy, each once, best first."""
        return tuple(dict.fromkeys(m.family for m in self.matches if m.verdict in FLAGGED))


def encode_finding(finding: Finding) -> bytes:
    """The bytes of a finding: JSON that a person can read, equal for equal findings."""
    plain: dict[str, Any] = {"id": finding.listing_id, "pictures": finding.pictures}
    if finding.seller:
        plain["seller"] = finding.seller
    if finding.verdict is not None:
        plain["verdict"] = finding.verdict.value
    if finding.matches:
        plain["matches"] = [_plain(match) for match in finding.matches]
    if finding.problems:
        plain["problems"] = [[p.reason, p.message, p.picture] for p in finding.problems]
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()


def decode_finding(data: bytes) -> Finding:
    """The finding of these bytes."""
    plain: Mapping[str, Any] = json.loads(data)
    verdict = plain.get("verdict")
    return Finding(
        plain["id"],
        plain.get("seller", ""),
        Verdict(verdict) if verdict else None,
        plain["pictures"],
        tuple(_match(each) for each in plain.get("matches", ())),
        tuple(Problem(*each) for each in plain.get("problems", ())),
    )


def _plain(match: FoundMatch) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "original": match.original,
        "family": match.family,
        "kind": match.kind.value,
        "verdict": match.verdict.value,
        # Six digits: what is left of two sums in another order is no difference.
        "score": round(match.score, 6),
        "picture": match.picture,
        "note": match.note,
    }
    if match.edits:
        plain["edits"] = list(match.edits)
    if match.licence:
        plain["licence"] = match.licence
    return plain


def _match(plain: Mapping[str, Any]) -> FoundMatch:
    return FoundMatch(
        plain["original"],
        plain["family"],
        MatchKind(plain["kind"]),
        Verdict(plain["verdict"]),
        plain["score"],
        plain["picture"],
        plain["note"],
        tuple(plain.get("edits", ())),
        plain.get("licence", ""),
    )
