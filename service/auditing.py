"""What the audit log says of a verdict: everything that a dispute about it will ask.

The listing picture is not kept, only its digest, and beside the entry its fingerprint (see
`models.print_record`). No words of the file, no picture, no annotation.
"""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Protocol

from service.matching.results import (
    CheckOptions,
    Comparison,
    Evidence,
    ImageVerdict,
    Match,
    Provenance,
    Verdict,
)

JUDGE, COMPARE = "listing.judge", "images.compare"
"""Actions of the entries that are made here."""


class Recorder(Protocol):
    """Takes entries: the audit log, or who hands them on to it."""

    def record(
        self,
        action: str,
        details: Mapping[str, Any],
        *,
        brands: Collection[str] = (),
        prints: Mapping[int, bytes] | None = None,
    ) -> "Future[int]":
        """As of `index.audit_log.AuditWriter`."""
        ...


@dataclass(frozen=True, slots=True)
class Judged:
    """One picture of a listing with a verdict other than CLEAR, or with an error.

    Attributes:
        position: in the listing, from 0.
        sha256: of its bytes.
        found: the verdict; None when it could not be checked.
        error: reason why not; empty when it was checked.
    """

    position: int
    sha256: bytes
    found: ImageVerdict | None
    error: str = ""


def record_listing(
    audit: Recorder,
    listing_id: str,
    seller: str,
    verdict: Verdict,
    pictures: Sequence[Judged],
    options: CheckOptions,
    provenance: Provenance,
    more: Mapping[str, Any] | None = None,
) -> "Future[int]":
    """Log the verdict of a listing; the future is done when it is on disk.

    Args:
        pictures: those that are not CLEAR.
        more: what else led to it, such as a territory.
    """
    details = {
        "listing_id": listing_id,
        "seller": seller,
        "verdict": verdict.value,
        "images": [_picture(one) for one in pictures],
        "options": asdict(options) | {"brands": sorted(options.brands)},
        "provenance": _versions(provenance),
        **(more or {}),
    }
    brands = {
        match.brand.removeprefix("brands/")
        for one in pictures
        if one.found is not None
        for match in one.found.matches
    }
    prints = {one.position: one.found.print for one in pictures if one.found and one.found.print}
    return audit.record(JUDGE, details, brands=brands, prints=prints)


def record_comparison(
    audit: Recorder, sha256s: Sequence[bytes], found: Comparison, provenance: Provenance
) -> "Future[int]":
    """Log a comparison of two pictures that were handed in."""
    details = {
        "images": [{"position": i, "sha256": each.hex()} for i, each in enumerate(sha256s)],
        "verdict": found.match.verdict.value,
        "match": match_details(found.match),
        "provenance": _versions(provenance),
    }
    return audit.record(COMPARE, details)


def match_details(match: Match) -> dict[str, Any]:
    """A match as plain values; evidence as rows of signal, value, threshold, supports."""
    plain = {**asdict(match)}
    plain["evidence"] = [_evidence(each) for each in match.evidence]
    return plain


def _picture(one: Judged) -> dict[str, Any]:
    plain: dict[str, Any] = {"position": one.position, "sha256": one.sha256.hex()}
    if one.found is None:
        return plain | {"error": one.error}
    return plain | {
        "verdict": one.found.verdict.value,
        "note": one.found.note,
        "matches": [match_details(match) for match in one.found.matches],
    }


def _evidence(one: Evidence) -> tuple[str, float, float, bool]:
    return one.signal, _short(one.value), _short(one.threshold), one.supports


def _short(value: float) -> float:
    """Six digits: more would be noise of the machine."""
    return float(f"{value:.6g}")


def _versions(provenance: Provenance) -> dict[str, Any]:
    return asdict(provenance) | {"copycatch": version("copycatch")}
