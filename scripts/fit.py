"""Fit the calibrated scores from collected signals, and say how good they are, held out.

    python scripts/collect.py --data DIR --out pairs.npz
    python scripts/fit.py --data DIR --pairs pairs.npz --out service/matching/score.json

Three additive models (`service.matching.score`): gate, copy, restyle. Every figure printed and
every threshold stored comes from cross-validation over groups of products: a listing is
scored by a model that saw neither it nor its original nor another picture of the product.
"""

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from service.matching.score import VERSION, Curve, ScoreModel, to_json
from service.matching.signals import CHEAP, SIGNALS, VERIFIED

FOLDS = 5
SEED = 7
RIDGE = 0.3
KNOTS = 6
LOOK = ("inlier_share", "tight", "signed", "tones")
"""In the order of `signals.VERIFIED`."""
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Collected pairs with their labels."""

    names: tuple[str, ...]
    values: Array
    listing: NDArray[Any]
    truth: NDArray[np.bool_]
    role: NDArray[Any]
    kind: NDArray[Any]
    fidelity: NDArray[Any]
    group: NDArray[Any]
    fold: NDArray[np.int64]
    rows: dict[str, dict[str, str]]
    weight: Array


def read(data: Path, pairs: Path) -> Pairs:
    """Join collected signals with the labels of the evaluation folder."""
    rows = {row["path"]: row for row in csv.DictReader((data / "eval.csv").open(encoding="utf-8"))}
    found = np.load(pairs)
    listing, original = found["listing"], found["original"]

    def group_of(path: str) -> str:
        row = rows[path]
        if row["role"] in ("copy", "restyled"):
            source = rows.get(row["original"], {})
            return row["group"] or source.get("group", "") or row["original"]
        return row["group"] or path

    group = np.array([group_of(path) for path in listing])
    rng = np.random.default_rng(SEED)
    every = sorted(set(group))
    folds = dict(zip(every, rng.integers(0, FOLDS, len(every)), strict=True))
    truth = np.array([rows[a]["original"] == b for a, b in zip(listing, original, strict=True)])
    role = np.array([rows[path]["role"] for path in listing])
    fidelity = np.array([rows[path]["fidelity"] for path in listing])
    # Wrong originals of a true copy are often its near-duplicates: they teach less.
    weight = np.where(np.isin(role, ("copy", "restyled")) & ~truth, 0.3, 1.0)
    weight = np.where(truth & (role == "restyled"), 3.0, weight)
    weight = np.where(truth & np.isin(fidelity, ("weak", "medium")), 0.3, weight)
    return Pairs(
        tuple(found["names"]),
        found["values"].astype(np.float64),
        listing,
        truth,
        role,
        np.array([rows[path]["edits"].split(":")[0] for path in listing]),
        fidelity,
        group,
        np.array([folds[each] for each in group]),
        rows,
        weight,
    )


def fit_model(
    names: Sequence[str],
    values: Array,
    truth: NDArray[np.bool_],
    weight: Array,
    monotone: bool = True,
) -> ScoreModel:
    """Fit one additive model; with `monotone`, curves of `up` signals never fall."""
    used = [i for i, name in enumerate(names) if np.isfinite(values[:, i]).mean() > 0.2]
    knots = {}
    for i in used:
        column = values[np.isfinite(values[:, i]), i]
        both = np.concatenate(
            [
                np.quantile(column, np.linspace(0.02, 0.98, KNOTS)),
                np.quantile(values[truth & np.isfinite(values[:, i]), i], (0.05, 0.25, 0.5, 0.9)),
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
    for r in np.flatnonzero(rows):
        dropped[r, rng.choice(used)] = np.nan
    stacked, labels = np.concatenate([values, dropped[rows]]), np.concatenate([truth, truth[rows]])
    weights = np.concatenate([weight, 0.2 * weight[rows]])

    columns, bounds, owner = [np.ones(len(stacked))], [(None, None)], [(-1, -1)]
    for i in used:
        x = stacked[:, i]
        missing = ~np.isfinite(x)
        for k, (low, high) in enumerate(zip(knots[i][:-1], knots[i][1:], strict=True)):
            columns.append(np.where(missing, 0, np.clip((x - low) / (high - low), 0, 1)))
            rising = monotone and SIGNALS[names[i]].direction == "up"
            bounds.append((0, None) if rising else (None, None))
            owner.append((i, k))
        columns.append(missing.astype(np.float64))
        bounds.append((None, None))
        owner.append((i, -1))
    design = np.stack(columns, axis=1)
    sign = np.where(labels, 1.0, -1.0)

    def loss(theta: Array) -> tuple[float, Array]:
        margin = sign * (design @ theta)
        value = float((weights * np.logaddexp(0, -margin)).sum()) + RIDGE * float(
            (theta[1:] ** 2).sum()
        )
        slope = -weights * sign / (1 + np.exp(np.clip(margin, -500, 500)))
        gradient = design.T @ slope
        gradient[1:] += 2 * RIDGE * theta[1:]
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


def held_out(names: Sequence[str], pairs: Pairs, values: Array) -> Array:
    """Log-odds of every pair by the model of the other folds."""
    out = np.zeros(len(values))
    for fold in range(FOLDS):
        inside = pairs.fold == fold
        model = fit_model(names, values[~inside], pairs.truth[~inside], pairs.weight[~inside])
        out[inside] = log_odds(model, names, values[inside])
    return out


def best_by_listing(pairs: Pairs, scores: Array, chosen: NDArray[np.bool_]) -> dict[str, int]:
    """Index of the best pair of each listing."""
    best: dict[str, int] = {}
    for i in np.flatnonzero(chosen):
        if pairs.listing[i] not in best or scores[i] > scores[best[pairs.listing[i]]]:
            best[pairs.listing[i]] = int(i)
    return best


def negatives(pairs: Pairs, scores: Array) -> Array:
    """Best score of every listing that copies nothing; -inf where nothing was proposed."""
    best = best_by_listing(pairs, scores, np.isin(pairs.role, ("unrelated", "same_product")))
    every = [p for p, row in pairs.rows.items() if row["role"] in ("unrelated", "same_product")]
    return np.array([scores[best[path]] if path in best else -np.inf for path in every])


def threshold_at(scores: Array, rate: float) -> float:
    """The lowest threshold that at most this share of the scores reaches."""
    allowed = int(rate * len(scores))
    return float(np.sort(scores)[::-1][allowed]) + 1e-9


def report(pairs: Pairs, scores: Array) -> dict[str, Any]:
    """The figures of the evaluation protocol, from held-out scores."""
    ours = [row for row in pairs.rows.values() if row["role"] == "copy"]
    true_score = {pairs.listing[i]: scores[i] for i in np.flatnonzero(pairs.truth)}
    negative = negatives(pairs, scores)
    counted = np.isin(pairs.role, ("copy", "unrelated", "same_product"))
    order = np.argsort(-scores[counted], kind="stable")
    hits = pairs.truth[counted][order]
    precision = np.cumsum(hits) / (np.arange(len(hits)) + 1)
    out: dict[str, Any] = {"micro_ap": float((precision * hits).sum() / len(ours))}
    good = np.flatnonzero(precision >= 0.9)
    out["recall_at_p90"] = float(hits[: good[-1] + 1].sum() / len(ours)) if len(good) else 0.0
    out["recall_at_fpr"], out["restyled_recall_at_fpr"] = {}, {}
    for rate in (0.001, 0.01, 0.05):
        limit = threshold_at(negative, rate)
        found = [true_score.get(row["path"], -np.inf) >= limit for row in ours]
        out["recall_at_fpr"][str(rate)] = float(np.mean(found))
        groups: dict[tuple[str, str], list[bool]] = {}
        for path, row in pairs.rows.items():
            if row["role"] == "restyled" and row["fidelity"] == "strong":
                key = (row["edits"].split(":")[0], row["group"])
                groups.setdefault(key, []).append(true_score.get(path, -np.inf) >= limit)
        kinds: dict[str, list[float]] = {}
        for (kind, _), values in groups.items():
            kinds.setdefault(kind, []).append(float(np.mean(values)))
        merged: dict[str, list[bool]] = {}
        for (_, group), values in groups.items():
            merged.setdefault(group, []).extend(values)
        out["restyled_recall_at_fpr"][str(rate)] = {
            "all": round(float(np.mean([np.mean(v) for v in merged.values()])), 3)
        } | {kind: round(float(np.mean(v)), 3) for kind, v in sorted(kinds.items())}
    edits: dict[str, list[bool]] = {}
    limit = threshold_at(negative, 0.01)
    for row in ours:
        for edit in row["edits"].split("+"):
            edits.setdefault(edit, []).append(true_score.get(row["path"], -np.inf) >= limit)
    out["recall_per_edit_at_fpr_0.01"] = {
        edit: round(float(np.mean(v)), 3) for edit, v in sorted(edits.items())
    }
    return out


def calibrated(pairs: Pairs, scores: Array) -> tuple[float, float]:
    """Slope and offset that make the best answer's score the share that is right.

    Fitted on the best answer of each listing, negatives weighed as often as they are.
    """
    best = np.array(list(best_by_listing(pairs, scores, np.ones(len(scores), bool)).values()))
    x, y = scores[best], pairs.truth[best].astype(np.float64)

    def loss(theta: Array) -> float:
        margin = (theta[0] * x + theta[1]) * np.where(y > 0, 1, -1)
        return float(np.logaddexp(0, -margin).sum())

    fit = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead")
    return float(fit.x[0]), float(fit.x[1])


def scaled(model: ScoreModel, slope: float, offset: float) -> ScoreModel:
    """A model with its log-odds stretched and moved."""
    return ScoreModel(
        round(model.bias * slope + offset, 4),
        {
            name: Curve(
                curve.knots,
                tuple(round(h * slope, 4) for h in curve.heights),
                round(curve.missing * slope, 4),
            )
            for name, curve in model.curves.items()
        },
    )


def calibration_error(pairs: Pairs, scores: Array, bins: int = 10) -> float:
    """Expected calibration error of the best answer of each listing."""
    best = np.array(list(best_by_listing(pairs, scores, np.ones(len(scores), bool)).values()))
    shown, right = 1 / (1 + np.exp(-scores[best])), pairs.truth[best]
    where = np.minimum((shown * bins).astype(int), bins - 1)
    return float(
        sum(
            abs(shown[where == b].mean() - right[where == b].mean()) * (where == b).mean()
            for b in range(bins)
            if (where == b).any()
        )
    )


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--without", default="", help="signals to leave out, comma-separated")
    options = parser.parse_args()
    pairs = read(options.data, options.pairs)
    left_out = set(filter(None, options.without.split(",")))
    position = {name: i for i, name in enumerate(pairs.names)}
    cheap = tuple(s.name for s in CHEAP if s.name not in left_out)
    full = tuple(s.name for s in (*CHEAP, *VERIFIED) if s.name not in left_out)
    few = pairs.values[:, [position[name] for name in cheap]]
    all_ = pairs.values[:, [position[name] for name in full]]

    raw = held_out(full, pairs, all_)
    slope, offset = calibrated(pairs, raw)
    scores = slope * raw + offset
    figures = report(pairs, scores)
    figures["calibration_error"] = round(calibration_error(pairs, scores), 4)
    negative = negatives(pairs, scores)

    gate_scores = held_out(cheap, pairs, few)
    wanted = pairs.truth & (scores > threshold_at(negative, 0.05))
    lost = float(np.quantile(gate_scores[wanted], 0.01))
    gate_negative = negatives(pairs, gate_scores)
    figures["gate"] = {
        "kept_of_what_verification_finds": 0.99,
        "listings_without_a_copy_that_are_verified": round(
            float((gate_negative >= lost).mean()), 3
        ),
    }

    is_copy = pairs.truth & (
        (pairs.role == "copy") | ((pairs.role == "restyled") & (pairs.fidelity == "strong"))
    )
    drawn = (pairs.role == "restyled") & ~np.isin(pairs.kind, ("upscale", "background-swap"))
    restyle_weight = np.where(drawn[is_copy], 2.0, 1.0)
    # Only what being drawn anew changes: the other signals would tell catalogues apart.
    look = [position_in for position_in, name in enumerate(full) if name in LOOK]
    restyle = fit_model(
        LOOK, all_[is_copy][:, look], drawn[is_copy], restyle_weight, monotone=False
    )

    def shown(log_odd: float) -> float:
        return round(float(1 / (1 + np.exp(-log_odd))), 5)

    thresholds = {
        "gate": {"verify": shown(lost)},
        "strict": {
            "copy": shown(threshold_at(negative, 0.002)),
            "review": shown(threshold_at(negative, 0.01)),
        },
        "balanced": {
            "copy": shown(threshold_at(negative, 0.01)),
            "review": shown(threshold_at(negative, 0.05)),
        },
        "recall": {
            "copy": shown(threshold_at(negative, 0.03)),
            "review": shown(threshold_at(negative, 0.10)),
        },
    }
    about = {
        "command": "python scripts/fit.py --data DIR --pairs pairs.npz --out score.json",
        "pairs": len(pairs.truth),
        "copies": int(pairs.truth.sum()),
        "folds": FOLDS,
        "held_out": figures,
    }
    plain = {
        "version": VERSION,
        "gate": to_json(fit_model(cheap, few, pairs.truth, pairs.weight)),
        "copy": to_json(scaled(fit_model(full, all_, pairs.truth, pairs.weight), slope, offset)),
        "restyle": to_json(restyle),
        "thresholds": thresholds,
        "about": about,
    }
    options.out.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({"thresholds": thresholds} | figures, indent=1))


if __name__ == "__main__":
    main()
