"""Listings that were asked about, and what was answered: what every measure is made from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np


@dataclass(frozen=True, slots=True)
class Answer:
    """One original that was answered for a listing.

    Attributes:
        original: its path in the data.
        score: as answered, in [0, 1].
        verdict: of this match alone.
        kind: how the listing is said to have been made.
        edits: names of the edits that were found.
        verified: whether the pair was looked at closely; otherwise no policy holds it
            against anybody.
    """

    original: str
    score: float
    verdict: str = ""
    kind: str = ""
    edits: tuple[str, ...] = ()
    verified: bool = True


@dataclass(frozen=True)
class Asked:
    """One listing of the data and what was answered, best first.

    Attributes:
        path: its path in the data.
        role: `copy`, `restyled`, `same_product`, `unrelated` or `burst`.
        original: path of its own original, empty when it has none.
        edits: what was done to it, single edits of a copy; the kind of a restyle.
        fidelity: of a restyle: `strong`, `medium` or `weak`.
        group: listings that are averaged together; its path when it stands alone.
        verdict: `COPY`, `REVIEW`, `AUTHORISED` or `CLEAR`.
        error: why it could not be checked, empty when it was.
    """

    path: str
    role: str
    original: str
    edits: tuple[str, ...] = ()
    fidelity: str = ""
    group: str = ""
    verdict: str = "CLEAR"
    answers: tuple[Answer, ...] = ()
    error: str = ""

    @cached_property
    def best(self) -> float:
        """Highest score answered, -inf when there is none."""
        return max((answer.score for answer in self.answers), default=-np.inf)

    @cached_property
    def own(self) -> float:
        """Score of its own original, -inf when that was not answered."""
        return max((a.score for a in self.answers if a.original == self.original), default=-np.inf)

    @cached_property
    def pairs(self) -> list[tuple[float, bool]]:
        """Score of each answer and whether it is right."""
        return [(a.score, a.original == self.original) for a in self.answers]

    @cached_property
    def found_first(self) -> bool:
        """Whether its own original outscores every other answer."""
        others = max((a.score for a in self.answers if a.original != self.original), default=-1.0)
        return bool(self.own > others)


def judged(asked: Iterable[Asked], begins: Mapping[str, float]) -> list[Asked]:
    """Return listings with the verdicts that another policy would have given.

    Args:
        begins: the scores from which `copy` and `review` hold.
    """
    return [_judged(listing, begins) for listing in asked]


def _judged(listing: Asked, begins: Mapping[str, float]) -> Asked:
    answers = tuple(replace(a, verdict=_verdict(a, begins)) for a in listing.answers)
    verdicts = {answer.verdict for answer in answers}
    highest = next((v for v in ("COPY", "REVIEW", "AUTHORISED") if v in verdicts), "CLEAR")
    return replace(listing, answers=answers, verdict=highest)


def _verdict(answer: Answer, begins: Mapping[str, float]) -> str:
    if answer.verdict == "AUTHORISED" or answer.kind == "EXACT":
        return answer.verdict  # neither depends on a score
    if not answer.verified or answer.score < begins["review"]:
        return "CLEAR"
    return "COPY" if answer.score >= begins["copy"] else "REVIEW"
