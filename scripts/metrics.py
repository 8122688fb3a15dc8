"""What an evaluation measures, from answers alone; no server, no pictures.

Copies are found among `copy`, `same_product` and `unrelated` listings: an answer is right
when it names the listing's own original. Ties always count against: of two answers with one
score the wrong one comes first. A quantity that nothing was measured for is NaN.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NEGATIVE_ROLES = ("same_product", "unrelated")
COUNTED_ROLES = ("copy", *NEGATIVE_ROLES)
"""Roles of the retrieval measures; `restyled` and `burst` are reported apart."""

FALSE_POSITIVE_RATES = (0.001, 0.01, 0.05)
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Answer:
    """One original that was answered for a listing.

    Attributes:
        original: its path in the data.
        score: as answered, in [0, 1].
        verdict: of this match alone.
        kind: how the listing is said to have been made.
        edits: names of the edits that were found.
    """

    original: str
    score: float
    verdict: str = ""
    kind: str = ""
    edits: tuple[str, ...] = ()


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


def ranked(scores: Floats, right: Bools) -> NDArray[np.intp]:
    """Return the order of answers, best first, wrong before right where scores are equal."""
    return np.lexsort((right, -scores))


def average_precision(right: Bools, positive_count: int) -> float:
    """Micro average precision over answers in the order of `ranked`.

    Args:
        right: whether each answer is right, best first.
        positive_count: right answers that there could have been, found or not.
    """
    if not positive_count:
        return float("nan")
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    return float(precision[right].sum() / positive_count)


def recall_at_precision(
    scores: Floats, right: Bools, positive_count: int, precision: float
) -> tuple[float, float]:
    """Return the highest recall that keeps a precision, and its threshold.

    Args:
        scores, right: answers in the order of `ranked`.

    Returns:
        (0, inf) when no threshold keeps it. Answers at or above the threshold count, so
        answers with one score are taken all or none.
    """
    if not positive_count:
        return float("nan"), float("nan")
    found = np.cumsum(right)
    kept = found / np.arange(1, len(right) + 1) >= precision
    kept &= np.append(scores[1:] < scores[:-1], True)[: len(scores)]
    if not kept.any():
        return 0.0, float("inf")
    last = int(np.flatnonzero(kept)[-1])
    return float(found[last] / positive_count), float(scores[last])


def threshold_at_rate(negatives: Floats, rate: float) -> float:
    """Return the lowest threshold that at most a share `rate` of `negatives` reaches.

    Args:
        negatives: best score of each listing that is no copy, -inf without an answer.

    Returns:
        0 when every score keeps the rate; NaN without negatives.
    """
    if not len(negatives):
        return float("nan")
    allowed = int(rate * len(negatives) + 1e-9)
    if allowed >= len(negatives):
        return 0.0
    first_too_many = np.sort(negatives)[::-1][allowed]
    return max(0.0, float(np.nextafter(first_too_many, np.inf)))


def share(values: Sequence[bool] | Bools) -> float:
    """Return the share of true values, NaN of none."""
    return float(np.mean(values)) if len(values) else float("nan")


def mean_over_groups(values: Sequence[bool], groups: Sequence[str]) -> float:
    """Return the mean over groups of the share of true values in each."""
    members: defaultdict[str, list[bool]] = defaultdict(list)
    for value, group in zip(values, groups, strict=True):
        members[group].append(value)
    return float(np.mean([np.mean(m) for m in members.values()])) if members else float("nan")


def calibration_error(scores: Floats, right: Bools, bins: int = 10) -> float:
    """Expected calibration error: |mean score - share right|, weighted by size, equal bins."""
    return sum(
        count * abs(score - truth) for score, truth, count in reliability(scores, right, bins)
    ) / (len(scores) or float("nan"))


def reliability(scores: Floats, right: Bools, bins: int = 10) -> list[tuple[float, float, int]]:
    """Return (mean score, share right, count) of each bin of equal width that is not empty."""
    places = np.clip((scores * bins).astype(np.int64), 0, bins - 1)
    return [
        (float(scores[at].mean()), float(right[at].mean()), int(at.sum()))
        for at in (places == i for i in range(bins))
        if at.any()
    ]


class Metrics:
    """Everything that is measured of a set of listings.

    A resample for confidence intervals is the same class over the listings that were drawn.
    """

    def __init__(self, asked: Sequence[Asked]) -> None:
        self.asked = asked
        counted = self.of("copy", *NEGATIVE_ROLES)
        self.copies = self.of("copy")
        self.strong = [a for a in self.of("restyled") if a.fidelity == "strong"]
        pairs = [pair for q in counted for pair in q.pairs]
        scores = np.array([score for score, _ in pairs], np.float64)
        right = np.array([is_right for _, is_right in pairs], np.bool_)
        order = ranked(scores, right)
        self.scores, self.right = scores[order], right[order]
        self.negatives = np.array([a.best for a in self.of(*NEGATIVE_ROLES)], np.float64)
        self.thresholds = {
            f"{rate:g}": threshold_at_rate(self.negatives, rate) for rate in FALSE_POSITIVE_RATES
        }

    def of(self, *roles: str) -> list[Asked]:
        """Return the listings of some roles."""
        return [a for a in self.asked if a.role in roles]

    def micro_ap(self) -> float:
        """DISC's measure over `COUNTED_ROLES`."""
        return average_precision(self.right, len(self.copies))

    def recall_at_p90(self) -> tuple[float, float]:
        """Recall at 90 % precision, and its threshold."""
        return recall_at_precision(self.scores, self.right, len(self.copies), 0.9)

    def recall_at_fpr(self, rate: str) -> float:
        """Share of copies whose own original is scored at or above a rate's threshold."""
        return share([a.own >= self.thresholds[rate] for a in self.copies])

    def restyled_recall_at_fpr(self, rate: str) -> dict[str, float]:
        """The same of strong restyles, by kind and of all, averaged per group."""
        return self._by_kind(self.strong, lambda a: bool(a.own >= self.thresholds[rate]))

    def restyled_rate(self, fidelity: str, verdicts: Sequence[str]) -> dict[str, float]:
        """Share of restyles with one of some verdicts, by kind and of all, per group."""
        chosen = [a for a in self.of("restyled") if a.fidelity == fidelity]
        return self._by_kind(chosen, lambda a: a.verdict in verdicts)

    def verdict_rate(self, verdicts: Sequence[str]) -> dict[str, float]:
        """Share of the listings of each role with one of some verdicts."""
        roles = sorted({a.role for a in self.asked})
        return {r: share([a.verdict in verdicts for a in self.of(r)]) for r in roles}

    def rank1(self) -> dict[str, float]:
        """Share of copies and of strong restyles whose own original is answered first."""
        return {
            "copy": share([a.found_first for a in self.copies]),
            "restyled_strong": mean_over_groups(
                [a.found_first for a in self.strong], [a.group or a.path for a in self.strong]
            ),
        }

    def recall_by_edit(self, rate: str) -> dict[str, dict[str, float | int]]:
        """By single edit: recall of the copies that have it, and of those with nothing else."""
        rows: dict[str, dict[str, float | int]] = {}
        for edit in sorted({edit for a in self.copies for edit in a.edits}):
            having = [a for a in self.copies if edit in a.edits]
            alone = [a for a in having if len(a.edits) == 1]
            rows[edit] = {
                "count": len(having),
                "recall": share([a.own >= self.thresholds[rate] for a in having]),
                "copy_rate": share([a.verdict == "COPY" for a in having]),
                "count_alone": len(alone),
                "recall_alone": share([a.own >= self.thresholds[rate] for a in alone]),
            }
        return rows

    def calibrated(self, which: str) -> tuple[Floats, Bools]:
        """Return scores and truth of some answers of `COUNTED_ROLES`.

        Args:
            which: `shown` (REVIEW or COPY, what a caller sees unless it asks for more),
                `best` (the first answer of each listing) or `all`.
        """
        chosen = [
            (a.score, a.original == q.original)
            for q in self.of(*COUNTED_ROLES)
            for a in (
                q.answers
                if which == "all"
                else [a for a in q.answers if a.verdict in ("COPY", "REVIEW")]
                if which == "shown"
                else sorted(q.answers, key=lambda a: -a.score)[:1]
            )
        ]
        return (
            np.array([score for score, _ in chosen], np.float64),
            np.array([is_right for _, is_right in chosen], np.bool_),
        )

    def headline(self) -> dict[str, float]:
        """The figures that get a confidence interval, by name."""
        figures = {"micro_ap": self.micro_ap(), "recall_at_p90": self.recall_at_p90()[0]}
        for rate in self.thresholds:
            figures[f"recall_at_fpr/{rate}"] = self.recall_at_fpr(rate)
            for kind, value in self.restyled_recall_at_fpr(rate).items():
                figures[f"restyled_recall_at_fpr/{rate}/{kind}"] = value
        for name, verdicts in (("copy_rate", ["COPY"]), ("review_rate", ["COPY", "REVIEW"])):
            figures |= {f"{name}/{r}": v for r, v in self.verdict_rate(verdicts).items()}
        figures["expected_calibration_error"] = calibration_error(*self.calibrated("shown"))
        return figures

    def _by_kind(self, asked: Sequence[Asked], hit: Callable[[Asked], bool]) -> dict[str, float]:
        kinds = sorted({a.edits[0] for a in asked if a.edits})
        chosen = {k: [a for a in asked if a.edits and a.edits[0] == k] for k in kinds}
        chosen["all"] = list(asked)
        return {
            kind: mean_over_groups([hit(a) for a in some], [a.group or a.path for a in some])
            for kind, some in chosen.items()
        }


def intervals(
    asked: Sequence[Asked], resamples: int = 1000, seed: int = 0
) -> Mapping[str, tuple[float, float]]:
    """Return percentile intervals of `Metrics.headline`, by bootstrap over listings.

    Listings are drawn with replacement; resamples in which a figure has no value (no listing of
    its kind was drawn) are left out of its interval.
    """
    rng = np.random.default_rng(seed)
    drawn: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(resamples if asked else 0):
        sample = [asked[i] for i in rng.integers(0, len(asked), len(asked))]
        for name, value in Metrics(sample).headline().items():
            if np.isfinite(value):
                drawn[name].append(value)
    tail = (1 - CONFIDENCE) / 2
    return {
        name: (float(np.quantile(values, tail)), float(np.quantile(values, 1 - tail)))
        for name, values in drawn.items()
    }
