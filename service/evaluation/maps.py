"""Rising maps from the score of a model to the share of pairs that are copies.

Over log-odds, where a score that is merely too sure of itself is a straight line (Platt) and
other faults are steps (isotonic regression, smoothed so that it never stands still). Which one
is used is decided by the pairs that it was not fitted to.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.evaluation.measures import Bools, Floats, calibration_error
from service.matching.calibration import LIMIT, log_odds
from service.matching.score import sigmoid

FOLDS = 5
SEED = 3
STEPS_FROM = 200
"""Copies and others, each, from which steps are tried: they bend to chance where there are few."""


class MapFailed(ValueError):
    """The scores do not tell copies from others in these pairs."""


@dataclass(frozen=True, slots=True)
class Map:
    """A rising piecewise linear map of log-odds, as `service.matching.calibration` applies it."""

    name: str
    knots: tuple[float, ...]
    heights: tuple[float, ...]

    def __call__(self, x: Floats) -> Floats:
        """Map many log-odds to log-odds."""
        return np.asarray(np.interp(x, self.knots, self.heights), np.float64)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The map that was chosen, and what it does for pairs that it was not fitted to.

    Attributes:
        map: fitted to all pairs.
        error_before, error_after: expected calibration error without and with it, held out.
    """

    map: Map
    error_before: float
    error_after: float


def choose(scores: Floats, truth: Bools, groups: Sequence[str]) -> Chosen:
    """Fit the map that serves pairs best that it was not fitted to.

    Args:
        scores: of the model, in [0, 1].
        truth: whether each pair is a copy.
        groups: pairs of one group are held out together.

    Raises:
        MapFailed: scores of copies are not higher than those of others.
    """
    x = np.array([log_odds(float(score)) for score in scores], np.float64)
    fits: list[Callable[[Floats, Bools], Map]] = [line]
    if min(truth.sum(), (~truth).sum()) >= STEPS_FROM:
        fits.append(steps)
    fold = _folds(groups)
    losses = []
    for fit in fits:
        held_out = _held_out(fit, x, truth, fold)
        losses.append((float(np.logaddexp(0, np.where(truth, -held_out, held_out)).mean()), fit))
    best = min(losses, key=lambda pair: pair[0])[1]
    held_out = _held_out(best, x, truth, fold)
    after = np.array([sigmoid(float(value)) for value in held_out], np.float64)
    return Chosen(best(x, truth), calibration_error(scores, truth), calibration_error(after, truth))


def line(x: Floats, truth: Bools) -> Map:
    """Fit a straight line (Platt's scaling), by Newton's method on the penalised likelihood."""
    copies, others = int(truth.sum()), int((~truth).sum())
    if not copies or not others:
        raise MapFailed("there are copies only" if copies else "there is no copy")
    # Platt's targets: nothing is ever certain from finitely many pairs.
    target = np.where(truth, (copies + 1) / (copies + 2), 1 / (others + 2))
    design = np.stack([x, np.ones_like(x)], axis=1)
    theta = np.array([1.0, 0.0])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(design @ theta, -50, 50)))
        # The small penalty keeps the slope finite where the scores tell them apart without error.
        gradient = design.T @ (p - target) + 1e-3 * (theta - [1.0, 0.0])
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-3 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        theta -= np.clip(step, -2.0, 2.0)
        if float(np.abs(step).max()) < 1e-9:
            break
    slope, offset = float(theta[0]), float(theta[1])
    if slope <= 0:
        raise MapFailed("copies are not scored higher than others")
    return Map("line", (-LIMIT, LIMIT), (offset - slope * LIMIT, offset + slope * LIMIT))


def steps(x: Floats, truth: Bools) -> Map:
    """Fit steps (isotonic regression) and join their middles; beyond them the line goes on."""
    straight = line(x, truth)
    slope = (straight.heights[1] - straight.heights[0]) / (2 * LIMIT)
    knots: list[float] = []
    heights: list[float] = []
    for middle, right, count in _pools(x, truth):
        height = math.log((right + 0.5) / (count - right + 0.5))
        if not knots or (height > heights[-1] + 1e-6 and middle > knots[-1] + 1e-6):
            knots.append(middle)
            heights.append(height)
    knots = [-LIMIT, *knots, LIMIT]
    heights = [
        heights[0] - slope * (knots[1] + LIMIT) - 1e-6,
        *heights,
        heights[-1] + slope * (LIMIT - knots[-2]) + 1e-6,
    ]
    kept = [i for i in range(len(knots)) if i in (0, len(knots) - 1) or -LIMIT < knots[i] < LIMIT]
    return Map("steps", tuple(knots[i] for i in kept), tuple(heights[i] for i in kept))


def _pools(x: Floats, truth: Bools) -> list[tuple[float, int, int]]:
    """Pool adjacent violators: (mean x, copies, pairs) of each step, with rising shares."""
    pools: list[tuple[float, int, int]] = []
    order = np.argsort(x, kind="stable")
    for value in np.unique(x):
        at = order[x[order] == value]
        pools.append((float(value) * len(at), int(truth[at].sum()), len(at)))
        while len(pools) > 1 and pools[-2][1] * pools[-1][2] >= pools[-1][1] * pools[-2][2]:
            later, before = pools.pop(), pools.pop()
            pools.append((before[0] + later[0], before[1] + later[1], before[2] + later[2]))
    return [(total / count, right, count) for total, right, count in pools]


def _folds(groups: Sequence[str]) -> NDArray[np.int64]:
    """The fold of each pair; groups stay together."""
    names = sorted(set(groups))
    dealt = dict(
        zip(names, np.random.default_rng(SEED).permutation(len(names)) % FOLDS, strict=True)
    )
    return np.array([dealt[group] for group in groups], np.int64)


def _held_out(
    fit: Callable[[Floats, Bools], Map], x: Floats, truth: Bools, fold: NDArray[np.int64]
) -> Floats:
    """Log-odds of every pair by the map of the other folds."""
    out = np.zeros_like(x)
    for number in np.unique(fold):
        inside = fold == number
        out[inside] = fit(x[~inside], truth[~inside])(x[inside])
    return out
