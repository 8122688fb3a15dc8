"""What an evaluation measures, from answers alone; no server, no pictures.

Copies are found among `copy`, `same_product` and `unrelated` listings: an answer is right
when it names the listing's own original.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np

from service.evaluation.answers import Asked
from service.evaluation.measures import (
    Bools,
    Floats,
    average_precision,
    calibration_error,
    mean_over_groups,
    ranked,
    recall_at_precision,
    share,
    share_bounds,
    threshold_at_rate,
)

NEGATIVE_ROLES = ("same_product", "unrelated")
COUNTED_ROLES = ("copy", *NEGATIVE_ROLES)
"""Roles of the retrieval measures; `restyled` and `burst` are reported apart."""

FALSE_POSITIVE_RATES = (0.001, 0.01, 0.05)
CONFIDENCE = 0.95
ALARMS = ("COPY", "REVIEW")
Judgements = Mapping[str, Sequence[Asked]]
"""By policy, the listings with the verdicts that it gives them, in one order."""


class Metrics:
    """Everything that is measured of a set of listings.

    A resample for confidence intervals is the same class over the listings that were drawn.
    """

    def __init__(self, asked: Sequence[Asked]) -> None:
        self.asked = asked
        self.copies = self.of("copy")
        self.strong = [a for a in self.of("restyled") if a.fidelity == "strong"]

    @cached_property
    def ranking(self) -> tuple[Floats, Bools]:
        """Scores of all answers of `COUNTED_ROLES` and whether each is right, best first."""
        pairs = [pair for q in self.of(*COUNTED_ROLES) for pair in q.pairs]
        scores = np.array([score for score, _ in pairs], np.float64)
        right = np.array([is_right for _, is_right in pairs], np.bool_)
        order = ranked(scores, right)
        return scores[order], right[order]

    @cached_property
    def negatives(self) -> Floats:
        """Best score of each listing that is no copy, -inf without an answer."""
        return np.array([a.best for a in self.of(*NEGATIVE_ROLES)], np.float64)

    @cached_property
    def thresholds(self) -> dict[str, float]:
        """By rate of false alarms, the score that keeps it."""
        return {
            f"{rate:g}": threshold_at_rate(self.negatives, rate) for rate in FALSE_POSITIVE_RATES
        }

    def of(self, *roles: str) -> list[Asked]:
        """Return the listings of some roles."""
        return [a for a in self.asked if a.role in roles]

    def micro_ap(self) -> float:
        """DISC's measure over `COUNTED_ROLES`."""
        return average_precision(self.ranking[1], len(self.copies))

    def recall_at_p90(self) -> tuple[float, float]:
        """Recall at 90 % precision, and its threshold."""
        return recall_at_precision(*self.ranking, len(self.copies), 0.9)

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

    def precision(self, verdicts: Sequence[str]) -> float:
        """Share of the answers of `COUNTED_ROLES` with one of some verdicts that are right."""
        return share(
            [
                a.original == q.original
                for q in self.of(*COUNTED_ROLES)
                for a in q.answers
                if a.verdict in verdicts
            ]
        )

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

    def decisions(self) -> dict[str, float]:
        """The figures that depend on verdicts, by name."""
        figures: dict[str, float] = {}
        for name, verdicts in (("copy_rate", ALARMS[:1]), ("review_rate", ALARMS)):
            figures |= {f"{name}/{r}": v for r, v in self.verdict_rate(verdicts).items()}
            figures[f"{name}/restyled_strong"] = self.restyled_rate("strong", verdicts)["all"]
        figures["copy_precision"] = self.precision(ALARMS[:1])
        figures["calibration_error"] = calibration_error(*self.calibrated("shown"))
        return figures

    def headline(self) -> dict[str, float]:
        """The figures that do not depend on verdicts and get a confidence interval, by name."""
        figures = {"micro_ap": self.micro_ap(), "recall_at_p90": self.recall_at_p90()[0]}
        for rate in self.thresholds:
            figures[f"recall_at_fpr/{rate}"] = self.recall_at_fpr(rate)
            for kind, value in self.restyled_recall_at_fpr(rate).items():
                figures[f"restyled_recall_at_fpr/{rate}/{kind}"] = value
        figures |= {f"rank1/{role}": value for role, value in self.rank1().items()}
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
    asked: Sequence[Asked], judgements: Judgements, resamples: int = 1000, seed: int = 0
) -> Mapping[str, tuple[float, float]]:
    """Return percentile intervals of `headline` and, as `policy/NAME/...`, of `decisions`.

    By bootstrap over groups: whole groups are drawn with replacement, since listings of one
    product are no independent witnesses. Resamples in which a figure has no value (no listing
    of its kind was drawn) are left out of its interval.
    """
    rng = np.random.default_rng(seed)
    members: defaultdict[str, list[int]] = defaultdict(list)
    for number, listing in enumerate(asked):
        members[listing.group or listing.path].append(number)
    groups = list(members.values())
    drawn: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(resamples if asked else 0):
        sample = [i for g in rng.integers(0, len(groups), len(groups)) for i in groups[g]]
        figures = Metrics([asked[i] for i in sample]).headline()
        for policy, listings in judgements.items():
            decided = Metrics([listings[i] for i in sample]).decisions()
            figures |= {f"policy/{policy}/{name}": value for name, value in decided.items()}
        for name, value in figures.items():
            if np.isfinite(value):
                drawn[name].append(value)
    tail = (1 - CONFIDENCE) / 2
    bounds = {
        name: (float(np.quantile(values, tail)), float(np.quantile(values, 1 - tail)))
        for name, values in drawn.items()
    }
    return {name: _widened(name, span, asked) for name, span in bounds.items()}


def _widened(name: str, span: tuple[float, float], asked: Sequence[Asked]) -> tuple[float, float]:
    """Give a rate that no resample could move off 0 or 1 the exact interval of its groups."""
    low, high = span
    *_, kind, role = ("", "", *name.split("/"))
    if low != high or kind not in ("copy_rate", "review_rate"):
        return span
    strong = role == "restyled_strong"
    groups = {
        a.group or a.path
        for a in asked
        if (a.role == "restyled" and a.fidelity == "strong" if strong else a.role == role)
    }
    if high == 0:
        return 0.0, share_bounds(0, len(groups), CONFIDENCE)[1]
    return (share_bounds(len(groups), len(groups), CONFIDENCE)[0], 1.0) if low == 1 else span
