"""What the demo asked, what it expected and what it was answered."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from google.rpc import status_pb2

from copycatch.v1 import match_service_pb2 as match_pb2
from service.cli import output


@dataclass(frozen=True, slots=True)
class Listing:
    """A picture to ask about.

    Attributes:
        id: listing id.
        title: what it is, in words.
        image: encoded picture; empty when its file can not be sent.
        original: resource name of what it is a copy of; empty for none.
        verdicts: verdicts that are right; empty when nothing is expected.
        kinds: kinds that are right; empty when any is.
        error: why its file can not be sent; None when it can.
    """

    id: str
    title: str
    image: bytes
    original: str = ""
    verdicts: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    error: status_pb2.Status | None = None

    @property
    def expectation(self) -> str:
        """The expectation in words, as `COPY or REVIEW`; empty when there is none."""
        order = ("COPY", "REVIEW", "CLEAR", "AUTHORISED")
        return " or ".join(name for name in order if name in self.verdicts)


@dataclass(frozen=True, slots=True)
class Answer:
    """A listing with its answer.

    Attributes:
        listing: what was asked.
        result: what was answered.
        round_trip_ms: milliseconds from sending the picture to having the answer; 0 when it was
            not sent.
    """

    listing: Listing
    result: match_pb2.ImageResult
    round_trip_ms: float

    @property
    def best(self) -> match_pb2.Match | None:
        """The best match, if there is one."""
        return self.result.matches[0] if self.result.matches else None

    @property
    def verdict(self) -> str:
        """The verdict's name, or `ERROR`."""
        if self.result.HasField("error"):
            return "ERROR"
        return output.verdict_name(self.result.verdict)

    @property
    def mistake(self) -> str:
        """What differs from the expectation, in words; empty when nothing does."""
        listing = self.listing
        if not listing.verdicts:
            return ""
        if self.verdict not in listing.verdicts:
            return f"expected {listing.expectation}"
        if not listing.original or self.verdict == "CLEAR":
            return ""  # where CLEAR is right, there need be no match
        if self.best is None or self.best.original != listing.original:
            return f"expected a copy of {short(listing.original)}"
        kind = match_pb2.MatchKind.Name(self.best.kind)
        if listing.kinds and kind not in listing.kinds:
            wanted = " or ".join(sorted(listing.kinds)).lower().replace("_", " ")
            return f"expected the kind {wanted}"
        return ""

    @property
    def steps_ms(self) -> list[tuple[str, float]]:
        """Milliseconds of the server's steps, longest first."""
        steps = self.result.steps_ms.items()
        return sorted(steps, key=lambda step: -step[1])


def short(name: str) -> str:
    """Return `brand/original` of a resource name."""
    return name.removeprefix("brands/").replace("/originals/", "/")


def mistakes(answers: Sequence[Answer]) -> list[Answer]:
    """Return the answers that differ from what was expected."""
    return [answer for answer in answers if answer.mistake]


def failed(answers: Sequence[Answer]) -> list[Answer]:
    """Return the answers about pictures that could not be checked."""
    return [answer for answer in answers if answer.result.HasField("error")]


def median_ms(answers: Sequence[Answer]) -> float:
    """Return the median round trip in milliseconds of what was checked; 0 when nothing was."""
    times = [a.round_trip_ms for a in answers if not a.result.HasField("error")]
    return statistics.median(times) if times else 0.0
