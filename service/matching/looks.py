"""The looks at the candidates of one listing picture: the likeliest first, the cheapest first.

Each look is taken at what the look before left, and each is scored with all that is known by
then. Beside an original that settles what the picture shows only likely ones are looked at.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from models.detail import Detail
from models.layout import Matrix
from service.matching import signals
from service.matching.candidates import Candidate
from service.matching.clock import Clock
from service.matching.score import ScoreModels
from service.matching.verify import Glance, Look, Verification, Verifier

MOST = {"glance": 8, "plain": 3, "points": 6, "fine": 3, "verify": 6, "finer": 6}
"""Candidates that each look of one pass is taken at, most likely first; `plain` is verification
straight after the glance, see `PLAIN`, `fine` key points once more, see `PROMISING`, and `finer`
verification once more, see `DOUBTFUL`."""
SURE = 0.97
"""From this score on, an original that fills a picture settles what it shows: its parts are not
looked up, and of the other candidates only likely ones are looked at."""
BESIDE = 0.1
"""From this score on, by vectors alone, an original is looked at beside one that settles a picture.
Another registration of the same photograph is far above it, a lookalike of the product below."""
PLAIN = 0.99
"""From this score on, at a glance, an original that fills a picture is verified before key points
are matched. Four in five of these are settled by it; from 0.97 on, and whatever they fill, it
was fewer than half."""
PROMISING = 0.1
"""From this score on, at a glance, key points of the full size are matched where the reduced ones
end the matter. Three of a thousand edited copies are found by that; it is tried in one of thirty
pictures that are none, and convinced in none of 585."""
DOUBTFUL = 0.03
"""From this score on, verified, finer key points are matched where few coarse ones agree. They take
four times as long and are needed for six of a thousand copies, half of which are above it; so are
two in five of the lookalikes that get as far."""
SIBLINGS = 0.05
"""From this score on, verified, an original is compared with those that are much like it; below,
no policy tells of it."""
_THERE = 0.55
"""From this share of the detail on that is the original's, key points could not speak against it;
see `rearranged` there."""
_NEVER = 2.0
_FILLED = 0.6
"""Share of the picture that an original takes when it fills it."""


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
    def key(self) -> int:
        """That of the original."""
        return self.candidate.record.key

    @property
    def verification(self) -> Verification | None:
        """The look, when it was the closest there is."""
        return self.look if isinstance(self.look, Verification) else None

    @staticmethod
    def of(models: ScoreModels, candidate: Candidate, look: Look | None) -> "Weighed":
        """Score what is known of one candidate."""
        values = dict(candidate.values) | (look.values if look is not None else {})
        return Weighed(
            candidate,
            look,
            values,
            models.asking(values).probability(values),
            models.restyle.probability(values) if isinstance(look, Verification) else 0.0,
        )

    def knowing(self, models: ScoreModels, name: str, value: float) -> "Weighed":
        """The same with one signal more of the look that was taken."""
        look = self.look and replace(self.look, values={**self.look.values, name: value})
        return Weighed.of(models, self.candidate, look)

    @property
    def settles(self) -> bool:
        """Whether the original is what the picture shows; see `SURE`."""
        return self.score >= SURE and self._fills

    @property
    def needs_no_points(self) -> bool:
        """Whether it is settled without key points, which could not speak against it."""
        if not self.settles:
            return False
        there = signals.share_there(self.values["tight"], self.values["subject_edges"])
        return self.values["steady"] >= signals.STEADY and there >= _THERE

    @property
    def _fills(self) -> bool:
        """Whether it was verified to take most of the listing; the rest may hold another."""
        return self.verification is not None and _fills(self.verification.agreement.matrix)


class Looks:
    """Looks at candidates of one listing picture. Belongs to one caller.

    Args:
        verifier: of the picture.
        least: the scores from which the looks are taken, see `bars`.
    """

    def __init__(
        self, models: ScoreModels, verifier: Verifier, clock: Clock, least: Mapping[str, float]
    ) -> None:
        self._models, self._verifier, self._clock, self._least = models, verifier, clock, least
        self._left = dict(MOST)

    def take(self, asked: Sequence[tuple[Weighed, bytes]]) -> list[Weighed]:
        """Look at some candidates, each as closely as is worth the while.

        Args:
            asked: the likeliest first, each with the detail of its original.
        """
        seen = self._closer(asked[:1])
        settled = any(each.settles for each in seen)
        rest = [one for one in asked[1:] if not settled or one[0].score >= self._least["beside"]]
        return [*seen, *self._closer(rest)]

    def _closer(self, asked: Sequence[tuple[Weighed, bytes]]) -> list[Weighed]:
        """Take the looks at some candidates, each at those that the look before left.

        What a glance is nearly sure of is verified at once; its key points are matched only when
        that does not settle it. They propose a map that may be better, and speak against a copy
        where they agree and the detail does not; finer ones are matched where that leaves doubt,
        or contradicts what the glance promised.
        """
        verifier = self._verifier
        glanced = self._look("glance", asked, self._glance)
        filling = [(each, seen) for each, seen in glanced if _fills(seen.laid.matrix)]
        plain = self._look("plain", filling, verifier.verify, step="verify")
        settled = {each.key for each, _ in plain if each.needs_no_points}
        rest = [one for one in glanced if one[0].key not in settled]
        pointed = self._look("points", rest, verifier.points)
        dropped = {
            each.key
            for each, seen in pointed
            if each.score < self._least["verify"] and not seen.plenty
        }
        hidden = [one for one in rest if one[0].key in dropped]
        pointed += self._look("fine", hidden, partial(verifier.points, fine=True), step="points")
        verified = self._look("verify", pointed, verifier.verify)
        doubtful = [one for one in verified if one[1].coarse and not one[0].needs_no_points]
        finer = self._look("finer", doubtful, verifier.finer, step="verify")
        last = {each.key: each for each, _ in (*glanced, *plain, *pointed, *verified, *finer)}
        return list(last.values())

    def _glance(self, blob: bytes) -> Glance:
        return self._verifier.glance(Detail.from_bytes(blob))

    def _look[B, L: Look](
        self,
        name: str,
        asked: Sequence[tuple[Weighed, B]],
        look: Callable[[B], L],
        step: str = "",
    ) -> list[tuple[Weighed, L]]:
        """Take one look at the likeliest of some candidates, by what the look before showed."""
        before = {each.key: seen for each, seen in asked}
        found = []
        with self._clock.step(step or name):
            chosen = likeliest((each for each, _ in asked), self._least[name])
            for each in chosen[: self._left[name]]:
                self._clock.check()
                self._left[name] -= 1
                seen = look(before[each.key])
                found.append((Weighed.of(self._models, each.candidate, seen), seen))
        return found


def bars(
    models: ScoreModels, *, beside: bool = False, every: bool = False, gate: float | None = None
) -> Mapping[str, float]:
    """The scores from which the looks are taken, by name.

    Args:
        beside: look at unlikely originals, too, when one settles what the picture shows.
        every: match the key points of all that are likely, and the finer ones, too.
        gate: from this score on all looks are taken but the finer one, which is taken as in a
            check; None is the calibrated ones.
    """
    least = dict(models.thresholds["gate"])
    if gate is not None:
        again = {"plain": _NEVER, "fine": _NEVER, "finer": DOUBTFUL}
        return {**dict.fromkeys((*least, "beside", "siblings"), gate), **again}
    plain = _NEVER if every else max(PLAIN, *least.values())
    return {
        **least,
        "beside": least["glance"] if beside else BESIDE,
        "siblings": SIBLINGS,
        "plain": plain,
        "fine": least["points"] if every else PROMISING,
        "finer": 0.0 if every else DOUBTFUL,
    }


def likeliest(weighed: Iterable[Weighed], least: float) -> list[Weighed]:
    """Those with at least some score, best first, ties by key."""
    likely = [each for each in weighed if each.score >= least]
    return sorted(likely, key=lambda each: (-each.score, each.key))


def _fills(matrix: Matrix) -> bool:
    """Whether an original takes most of the picture that a map lays on it."""
    return abs(float(np.linalg.det(matrix[:2, :2]))) <= 1 / _FILLED
