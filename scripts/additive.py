"""Fitting one additive model of `service.matching.score`: curves with knots where the data lie.

Log-odds by penalised logistic regression over ramps between knots; the ramps of a signal that
speaks for a copy are kept from falling by bounds, so more evidence never lowers a score.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from service.evaluation.measures import Bools
from service.matching.score import Curve, ScoreModel
from service.matching.signals import SIGNALS

Array = NDArray[np.float64]

SEED = 7
RIDGE = 0.3
KNOTS = 6
KNOWN = 0.02
"""Share of the pairs that have a signal from which it is used, if some copy is among them."""
BOUNDS = {"up": (0, None), "down": (None, 0), "free": (None, None)}


def fit_model(
    names: Sequence[str],
    values: Array,
    truth: Bools,
    weight: Array,
    monotone: bool = True,
    ridge: float = RIDGE,
) -> ScoreModel:
    """Fit one additive model; with `monotone`, curves of `up` signals never fall.

    A signal that hardly any pair has, or no copy, gets no curve: nothing says what it is worth.

    Args:
        values: shape (pairs, len(names)), at least one pair; NaN where a signal is missing.
        ridge: weight of the squares of all steps of the curves; more for few examples.
    """
    there = np.isfinite(values)
    used = [i for i in range(len(names)) if there[:, i].mean() > KNOWN and there[truth, i].any()]
    knots = {}
    for i in used:
        column = values[there[:, i], i]
        both = np.concatenate(
            [
                np.quantile(column, np.linspace(0.02, 0.98, KNOTS)),
                np.quantile(values[truth & there[:, i], i], (0.05, 0.25, 0.5, 0.9)),
            ]
        )
        spread = max(float(column.std()), 1e-6)
        chosen: list[float] = []
        for knot in np.sort(both):
            if not chosen or knot - chosen[-1] > 0.15 * spread:
                chosen.append(round(float(knot), 4))
        knots[i] = chosen if len(chosen) > 1 else [chosen[0], chosen[0] + spread]

    rng = np.random.default_rng(SEED)
    dropped = values.copy()
    rows = rng.random(len(values)) < 0.5
    for r in np.flatnonzero(rows) if used else ():
        dropped[r, rng.choice(used)] = np.nan
    stacked, labels = np.concatenate([values, dropped[rows]]), np.concatenate([truth, truth[rows]])
    weights = np.concatenate([weight, 0.2 * weight[rows]])

    columns, owner = [np.ones(len(stacked))], [(-1, -1)]
    bounds: list[tuple[int | None, int | None]] = [(None, None)]
    for i in used:
        x = stacked[:, i]
        missing = ~np.isfinite(x)
        for k, (low, high) in enumerate(zip(knots[i][:-1], knots[i][1:], strict=True)):
            columns.append(np.where(missing, 0, np.clip((x - low) / (high - low), 0, 1)))
            bounds.append(BOUNDS[SIGNALS[names[i]].direction] if monotone else (None, None))
            owner.append((i, k))
        columns.append(missing.astype(np.float64))
        bounds.append((None, None))
        owner.append((i, -1))
    design = np.stack(columns, axis=1)
    sign = np.where(labels, 1.0, -1.0)

    def loss(theta: Array) -> tuple[float, Array]:
        margin = sign * (design @ theta)
        value = float((weights * np.logaddexp(0, -margin)).sum()) + ridge * float(
            (theta[1:] ** 2).sum()
        )
        slope = -weights * sign / (1 + np.exp(np.clip(margin, -500, 500)))
        gradient = design.T @ slope
        gradient[1:] += 2 * ridge * theta[1:]
        return value, gradient

    start = np.zeros(design.shape[1])
    best = minimize(
        loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": 800}
    )
    curves = {}
    for i in used:
        steps = [best.x[c] for c, who in enumerate(owner) if who[0] == i and who[1] >= 0]
        heights = np.concatenate([[0.0], np.cumsum(steps)])
        missing = next(best.x[c] for c, who in enumerate(owner) if who == (i, -1))
        curves[names[i]] = Curve(
            tuple(knots[i]), tuple(round(float(h), 4) for h in heights), round(float(missing), 4)
        )
    return ScoreModel(round(float(best.x[0]), 4), curves)


def log_odds(model: ScoreModel, names: Sequence[str], values: Array) -> Array:
    """The log-odds of many pairs at once."""
    total = np.full(len(values), model.bias)
    for name, curve in model.curves.items():
        x = values[:, list(names).index(name)]
        total += np.where(
            np.isnan(x), curve.missing, np.interp(np.nan_to_num(x), curve.knots, curve.heights)
        )
    return total
