"""Calibrating by reviewed pairs: a map of the score, and thresholds that hold a precision.

A policy is named by the precision that its COPY holds: of the pairs answered COPY at least this
share are copies, with 95 % confidence, on traffic like the labelled pairs. The bound is exact
(Clopper-Pearson). The threshold is found by fixed-sequence testing: from a number of
highest-scored pairs that was settled by counts alone, the threshold is lowered step by step as
long as the bound holds, so that having tried several costs no confidence. Pairs of one group
count as one witness as far as they are alike (Kish's design effect, at its worst). Where the
labels are too few, or no threshold holds the precision, it is refused: nothing is rounded up.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from service.evaluation.maps import MapFailed, choose
from service.evaluation.measures import Bools, Floats, lower_bound, share_bounds
from service.matching.calibration import POLICIES, Claim, mapped

LEAST_EACH = 50
"""Copies and others, each, without which no map is fitted."""
LEAST_GROUPS = 20
"""Groups of them, of which each may have many: pairs of one are no independent witnesses."""
CONFIDENCE = 0.95
PRECISION: Mapping[str, float] = {"strict": 0.99, "balanced": 0.95, "recall": 0.80}
"""Share of the COPY answers that are right, at least."""
REVIEW_FROM: Mapping[str, float] = {"strict": 0.5, "balanced": 0.2, "recall": 0.05}
"""Calibrated score from which a person looks: one in two, five, twenty of the least likely."""
COPY_FROM = 0.5
"""Nothing less likely than this is a COPY, whatever the precision of all above it together."""
_STEP = 1.03
_ERRORS_ALLOWED = 3


class CalibrationRefused(ValueError):
    """The labels do not bear a calibration; the message says what is missing, policy by policy."""

    reason: ClassVar[str] = "CALIBRATION_REFUSED"


@dataclass(frozen=True, slots=True)
class Scored:
    """Labelled pairs that were looked at closely, and answered with the score of the model.

    Attributes:
        scores: in [0, 1], of the model alone.
        truth: whether each is a copy.
        groups: names; pairs of one are no independent witnesses.
        copies_missed: labelled copies that were not answered at all.
    """

    scores: Floats
    truth: Bools
    groups: tuple[str, ...]
    copies_missed: int = 0


@dataclass(frozen=True, slots=True)
class Fitted:
    """What the pairs bear.

    Attributes:
        knots, heights: of the map, over log-odds.
        thresholds: by policy, calibrated scores of `copy` and `review`.
        claims: by policy.
        quality: counts, the kind of map, calibration errors, precision and recall by policy.
    """

    knots: tuple[float, ...]
    heights: tuple[float, ...]
    thresholds: dict[str, dict[str, float]]
    claims: dict[str, Claim]
    quality: dict[str, Any]


def fit(pairs: Scored, precision: Mapping[str, float] = PRECISION) -> Fitted:
    """Fit a map and thresholds to labelled pairs.

    Args:
        precision: by policy, what its COPY has to hold; falling from strict to recall.

    Raises:
        CalibrationRefused: the labels are too few, or do not bear the precision.
    """
    copies, others = int(pairs.truth.sum()), int((~pairs.truth).sum())
    groups = len(set(pairs.groups))
    if min(copies, others) < LEAST_EACH or groups < LEAST_GROUPS:
        raise CalibrationRefused(
            f"{copies} copies and {others} pairs that are none, in {groups} groups, are too few to "
            f"calibrate: it takes at least {LEAST_EACH} of each, in at least {LEAST_GROUPS} "
            "groups. A pair counts where the server looked at it closely and it is not the same "
            "picture; most unrelated pictures are turned away at a glance, so label lookalikes "
            "and other photographs of the same products"
        )
    try:
        chosen = choose(pairs.scores, pairs.truth, pairs.groups)
    except MapFailed as error:
        raise CalibrationRefused(f"{error}: are the labels right?") from error
    knots, heights = chosen.map.knots, chosen.map.heights
    shown = np.array([mapped(float(score), knots, heights) for score in pairs.scores])
    thresholds: dict[str, dict[str, float]] = {}
    claims: dict[str, Claim] = {}
    refused: list[str] = []
    highest = math.inf
    for policy in POLICIES:
        try:
            raw = min(threshold_for(pairs, precision[policy]), highest)
        except CalibrationRefused as error:
            refused.append(f"{policy}: {error}")
            continue
        highest = raw
        # Where COPY_FROM is the higher, the claim holds all the more: scores rise with the truth.
        copy = max(mapped(raw, knots, heights), COPY_FROM)
        thresholds[policy] = {"copy": copy, "review": min(REVIEW_FROM[policy], copy)}
        above = shown >= copy
        claims[policy] = Claim(
            precision[policy],
            CONFIDENCE,
            int((above & pairs.truth).sum()),
            int((above & ~pairs.truth).sum()),
        )
    if refused:
        raise CalibrationRefused("\n".join(refused))
    quality = {
        "copies": copies,
        "others": others,
        "groups": groups,
        "copies_not_answered": pairs.copies_missed,
        "map": chosen.map.name,
        "calibration_error_before": chosen.error_before,
        "calibration_error_held_out": chosen.error_after,
        "policies": {
            policy: _held(claim, copies + pairs.copies_missed) for policy, claim in claims.items()
        },
    }
    return Fitted(knots, heights, thresholds, claims, quality)


def threshold_for(pairs: Scored, precision: float) -> float:
    """Return the lowest score of the model from which COPY holds a precision.

    Half way between the last pair that is in and the first that is out.

    Raises:
        CalibrationRefused: the labels are too few, or the highest-scored ones too often wrong.
    """
    order = np.lexsort((pairs.truth, -pairs.scores))
    scores, truth = pairs.scores[order], pairs.truth[order]
    # Places where a threshold may lie: between different scores, and after the last.
    ends = np.append(np.flatnonzero(scores[1:] < scores[:-1]) + 1, len(scores))
    groups = [pairs.groups[i] for i in order]
    witnesses = _witnesses(groups, ends)
    likely = _witnesses(groups, np.array([int((scores >= 0.5).sum())]))[0]
    start = needed(precision, 0)
    if max(witnesses) < start:
        raise CalibrationRefused(
            f"a precision of {precision:g} needs at least {start} independent pairs that are all "
            f"copies, and there are {max(witnesses)} labelled pairs in all; label more, or claim "
            "less with --precision"
        )
    for errors in range(1, _ERRORS_ALLOWED + 1):
        if 2 * needed(precision, errors) <= likely:
            start = needed(precision, errors)
    best = None
    first = at = next(i for i, count in enumerate(witnesses) if count >= start)
    while at < len(ends):
        end = int(ends[at])
        wrong = math.ceil(int((~truth[:end]).sum()) * witnesses[at] / end)
        if lower_bound(witnesses[at] - wrong, witnesses[at], CONFIDENCE) < precision:
            break
        best = end
        at = max(at + 1, int(np.searchsorted(ends, math.ceil(end * _STEP))))
    if best is None:
        end = int(ends[first])
        raise CalibrationRefused(
            f"a precision of {precision:g} is not borne out: {int((~truth[:end]).sum())} of the "
            f"{end} highest-scored pairs are no copies; label more, or claim less with --precision"
        )
    below = float(scores[best]) if best < len(scores) else 0.0
    return (float(scores[best - 1]) + below) / 2


def needed(precision: float, errors: int) -> int:
    """Return how many independent pairs bear a precision when some of them are wrong."""
    low, high = errors + 1, errors + 2
    while lower_bound(high - errors, high, CONFIDENCE) < precision:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        if lower_bound(middle - errors, middle, CONFIDENCE) < precision:
            low = middle + 1
        else:
            high = middle
    return low


def _witnesses(groups: Sequence[str], ends: NDArray[np.intp]) -> list[int]:
    """How many independent pairs the first `end` pairs are worth, for each rising end."""
    members: dict[str, int] = {}
    worth: list[int] = []
    squares = place = 0
    for end in map(int, ends):
        for group in groups[place:end]:
            before = members.get(group, 0)
            members[group] = before + 1
            squares += 2 * before + 1
        place = end
        worth.append(end * end // squares if squares else 0)
    return worth


def _held(claim: Claim, copies: int) -> dict[str, Any]:
    """What a policy's COPY did on the labelled pairs, with intervals."""
    count = claim.right + claim.wrong
    return {
        "precision": claim.right / count if count else None,
        "precision_95": share_bounds(claim.right, count, CONFIDENCE) if count else None,
        "recall": claim.right / copies,
        "recall_95": share_bounds(claim.right, copies, CONFIDENCE),
    }
