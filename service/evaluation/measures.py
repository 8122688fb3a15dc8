"""The measures of retrieval and of calibration, each a plain function of scores and truth.

Ties always count against: of two answers with one score the wrong one comes first. A quantity
that nothing was measured for is NaN.
"""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


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


def share_bounds(right: int, count: int, confidence: float) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) interval of a share, two-sided.

    Args:
        right: how many of `count` independent ones are right.
    """
    tail = (1 - confidence) / 2
    low = lower_bound(right, count, 1 - tail)
    return low, 1 - lower_bound(count - right, count, 1 - tail)


def lower_bound(right: int, count: int, confidence: float) -> float:
    """Return the share that is exceeded with a confidence, exactly, given `right` of `count`.

    The least share p under which as many right ones or more are not too unlikely:
    P(at least `right` of `count`) = 1 - confidence. 0 of none.
    """
    if not right:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_least(right, count, middle) < 1 - confidence:
            low = middle
        else:
            high = middle
    return low


def _at_least(right: int, count: int, p: float) -> float:
    """Binomial probability of `right` or more of `count`, summed where it is short."""
    if p in (0.0, 1.0):
        return p
    logs = [
        math.lgamma(count + 1)
        - math.lgamma(i + 1)
        - math.lgamma(count - i + 1)
        + i * math.log(p)
        + (count - i) * math.log1p(-p)
        for i in range(right, count + 1)
    ]
    return min(1.0, math.fsum(math.exp(log) for log in logs))


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
