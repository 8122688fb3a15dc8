"""Fit the calibrated scores from collected signals, and say how good they are, held out.

    python -m scripts.collect --data DIR --out pairs.npz
    python -m scripts.fit --data DIR --pairs pairs.npz --out service/matching/score.json

Additive models (`service.matching.score`): gate, glance, points, copy (of edited and of redrawn
copies, each against all that is none), restyle. Every figure
printed and every threshold stored comes from cross-validation over groups of products: a listing is
scored by a model that saw neither it nor its original nor another picture of the product.

`--apart sources` leaves out whole sources (column `source`) in place of products, and stores
nothing: it asks what to expect on a catalogue, or of an editor, that no score was fitted to.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from scripts.additive import RIDGE, Array, fit_model, log_odds
from scripts.collected import FOLDS, Pairs, PairsTooFew, check, read
from scripts.evaluation_data import DataInvalid, load
from scripts.known import KNOWN, LIMITS
from service.evaluation.answers import Answer
from service.evaluation.measures import Bools, calibration_error, share, threshold_at_rate
from service.evaluation.metrics import Metrics
from service.matching.score import VERSION, ScoreModel, curves_to_json, sigmoid, to_json
from service.matching.signals import CHEAP, CONTEXT, GLANCED, POINTED, VERIFIED, Signal

FALSE_ALARMS = {
    "strict": {"copy": 0.002, "review": 0.01},
    "balanced": {"copy": 0.01, "review": 0.05},
    "recall": {"copy": 0.03, "review": 0.10},
}
"""Share of the listings that copy nothing which each policy lets reach a verdict."""
KEPT = {"glance": 0.99, "points": 0.995, "verify": 0.999}
"""Share of the copies that verification finds which may pass on to each look. The models that the
looks are taken by learn these copies, too: one that verification can not find is not worth a look,
and teaches to look at anything."""
REDRAWN_WEIGHT, REDRAWN_RIDGE = 12.0, 6.0
"""Of a clearly restyled copy in the model of redrawn ones; there are few of them, so that this
model is also held nearer to none."""
CATALOGUE = ("sscd_ordinary", "layout_ordinary", "covered")
"""Signals by which a model tells catalogues apart rather than copies. They serve the first looks;
with all evidence there they gain nothing here, and lose where a source is left out."""


def _names(*groups: Sequence[Signal]) -> tuple[str, ...]:
    return tuple(signal.name for group in groups for signal in group)


LOOKS = {
    "glance": ("gate", _names(CHEAP)),
    "points": ("glance", _names(CHEAP, GLANCED)),
    "verify": ("points", _names(CHEAP, GLANCED, POINTED)),
}
"""By look the model that it is taken by, and what that knows."""
DRAWN = ("tight", "tones")
"""The signals that being drawn anew changes."""


def held_out(names: Sequence[str], pairs: Pairs, ridge: float = RIDGE) -> Array:
    """Log-odds of every pair by the model of the other folds."""
    values = pairs.columns(names)
    out = np.zeros(len(values))
    for fold in np.unique(pairs.fold):
        inside = pairs.fold == fold
        rest, weight = pairs.truth[~inside], pairs.weight[~inside]
        model = _learned(names, values[~inside], rest, weight, ridge)
        out[inside] = log_odds(model, names, values[inside])
    return out


def ways(pairs: Pairs) -> tuple[Pairs, Pairs]:
    """The pairs with their weights in the models of edited and of redrawn copies."""
    restyled = np.array([each.role == "restyled" for each in pairs.asked])
    edited = np.where(pairs.truth & restyled, 0.0, pairs.weight)
    clear = np.where(pairs.unclear, pairs.weight, REDRAWN_WEIGHT)
    redrawn = np.where(pairs.truth, np.where(restyled, clear, 0.0), pairs.weight)
    return replace(pairs, weight=edited), replace(pairs, weight=redrawn)


def answered(pairs: Pairs, odds: Array) -> Metrics:
    """The measures of an evaluation in which every pair was answered with its held-out score."""
    answers: dict[str, list[Answer]] = {}
    for asked, original, odd in zip(pairs.asked, pairs.originals, odds, strict=True):
        answers.setdefault(asked.path, []).append(Answer(original, sigmoid(float(odd))))
    return Metrics(
        [replace(each, answers=tuple(answers.get(each.path, ()))) for each in pairs.listings]
    )


def report(metrics: Metrics) -> dict[str, Any]:
    """The figures of the evaluation protocol."""
    return {
        "micro_ap": metrics.micro_ap(),
        "recall_at_p90": metrics.recall_at_p90()[0],
        "recall_at_fpr": {rate: metrics.recall_at_fpr(rate) for rate in metrics.thresholds},
        "restyled_recall_at_fpr": {
            rate: metrics.restyled_recall_at_fpr(rate) for rate in metrics.thresholds
        },
        "recall_per_edit_at_fpr_0.01": {
            edit: row["recall"] for edit, row in metrics.recall_by_edit("0.01").items()
        },
        "calibration_error": calibration_error(*metrics.calibrated("best")),
    }


def calibrated(pairs: Pairs, odds: Array) -> tuple[float, float]:
    """Slope and offset that make the best answer's score the share that is right.

    Fitted on the best answer of each listing.
    """
    best: dict[str, int] = {}
    for i, asked in enumerate(pairs.asked):
        if asked.path not in best or odds[i] > odds[best[asked.path]]:
            best[asked.path] = i
    chosen = np.array(list(best.values()))
    x, sign = odds[chosen], np.where(pairs.truth[chosen], 1, -1)

    def loss(theta: Array) -> float:
        return float(np.logaddexp(0, -(theta[0] * x + theta[1]) * sign).sum())

    fit = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead")
    return float(fit.x[0]), float(fit.x[1])


def limited(pairs: Pairs, odds: Array) -> Array:
    """The log-odds as far as `LIMITS` allow."""
    for name, curve in LIMITS.items():
        (column,) = pairs.columns([name]).T
        odds = np.minimum(odds, [curve(float(value)) for value in column])
    return odds


def thresholds_of(negatives: Array, gate: dict[str, float]) -> dict[str, dict[str, float]]:
    """Where each verdict begins, per policy, by the false alarms that it allows."""
    return {"gate": gate} | {
        policy: {
            verdict: round(threshold_at_rate(negatives, rate), 5) for verdict, rate in rates.items()
        }
        for policy, rates in FALSE_ALARMS.items()
    }


def _fitted(pairs: Pairs, names: Sequence[str], ridge: float = RIDGE) -> ScoreModel:
    return _learned(names, pairs.columns(names), pairs.truth, pairs.weight, ridge)


def _learned(
    names: Sequence[str], values: Array, truth: Bools, weight: Array, ridge: float
) -> ScoreModel:
    fitted = [name for name in names if name not in KNOWN]
    columns = values[:, [list(names).index(name) for name in fitted]]
    told = weight > 0
    model = fit_model(fitted, columns[told], truth[told], weight[told], ridge=ridge)
    known = {name: curve for name, curve in KNOWN.items() if name in names}
    return replace(model, curves={**model.curves, **known})


def looked_at(pairs: Pairs, odds: Array) -> tuple[Array, dict[str, float], dict[str, float]]:
    """Turn away what the looks before verification would turn away.

    Args:
        pairs: the true ones are the copies that verification finds.
        odds: held out, of every pair as if it were verified.

    Returns:
        The log-odds that would be served; by look the least score that it is taken from, and the
        share of the listings that copy nothing which it is taken of.
    """
    least, reaches = dict[str, float](), dict[str, float]()
    served, alive = odds.copy(), np.ones(len(odds), np.bool_)
    for look, (_, known) in LOOKS.items():
        before = held_out(known, pairs)
        floor = float(np.quantile(before[pairs.truth], 1 - KEPT[look]))
        least[look] = round(sigmoid(floor), 5)
        # What is turned away keeps the score of the look that it got as far as.
        served = np.where(alive & (before < floor), before, served)
        alive &= before >= floor
        reaching = {asked.path for asked, there in zip(pairs.asked, alive, strict=True) if there}
        reaches[look] = share(
            np.array([each.path in reaching for each in pairs.listings if not each.original])
        )
    return served, least, reaches


def main() -> int:
    """Run the script; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="needed unless sources are left out")
    parser.add_argument("--apart", choices=("products", "sources"), default="products")
    options = parser.parse_args()
    if (options.out is None) != (options.apart == "sources"):
        parser.error("--out goes with --apart products, the default, and with nothing else")
    try:
        fit(options.data, options.pairs, options.apart, options.out)
    except (DataInvalid, PairsTooFew) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def fit(folder: Path, collected: Path, apart: str, out: Path | None) -> None:
    """Fit, print the figures, and write the models unless `out` is None.

    Raises:
        DataInvalid: see `read`.
        PairsTooFew: there is not enough to fit to, or nothing was learnt from it.
    """
    pairs = read(load(folder), collected, apart)
    check(pairs)
    every = _names(CHEAP, CONTEXT, GLANCED, VERIFIED)
    full = tuple(name for name in every if name not in CATALOGUE)
    manner = pairs.columns(DRAWN)

    copies = pairs.truth & ~pairs.unclear
    edited, redrawn = ways(pairs)
    raw = np.logaddexp(held_out(full, edited), held_out(full, redrawn, REDRAWN_RIDGE))
    slope, offset = calibrated(pairs, raw)
    if not slope > 0:
        raise PairsTooFew(f"{len(pairs.truth)} pairs do not tell copies from others: add more")
    odds = limited(pairs, slope * raw + offset)
    verified = answered(pairs, odds)
    wanted = pairs.truth & (1 / (1 + np.exp(np.minimum(-odds, 500))) >= verified.thresholds["0.05"])
    if not wanted.any():
        raise PairsTooFew(f"{len(pairs.truth)} pairs do not tell copies from others: add more")
    worth = replace(pairs, truth=wanted)
    served, least, reaches = looked_at(worth, odds)
    metrics = answered(pairs, served)
    figures = report(metrics) | {
        "listings_without_a_copy_that_reach": reaches,
        "with_every_candidate_verified": report(verified),
    }
    thresholds = thresholds_of(metrics.negatives, least)
    print(json.dumps({"thresholds": thresholds} | figures, indent=1))
    if out is None:
        return
    # Only what being drawn anew changes: the other signals would tell catalogues apart.
    restyle = fit_model(
        DRAWN,
        manner[copies],
        pairs.drawn[copies],
        np.where(pairs.drawn[copies], 2.0, 1.0),
        monotone=False,
    )
    about = {
        "command": "python -m scripts.fit --data DIR --pairs pairs.npz --out score.json",
        "pairs": len(pairs.truth),
        "copies": int(pairs.truth.sum()),
        "folds": FOLDS,
        "held_out": figures,
    }
    plain = {
        "version": VERSION,
        **{name: to_json(_fitted(worth, known)) for name, known in LOOKS.values()},
        "copy": {
            "edited": to_json(_fitted(edited, full)),
            "redrawn": to_json(_fitted(redrawn, full, REDRAWN_RIDGE)),
            "slope": round(slope, 5),
            "offset": round(offset, 5),
            "limits": curves_to_json(LIMITS),
        },
        "restyle": to_json(restyle),
        "thresholds": thresholds,
        "about": about,
    }
    out.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
