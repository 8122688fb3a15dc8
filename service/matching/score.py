"""The calibrated score: from signals to a probability, so that each one's share can be read.

Generalised additive models: the log-odds are a sum of one piecewise linear curve per signal.
Curves of signals that speak for a copy never fall, so more evidence never lowers a score. A
signal that is missing has a value of its own. There are two ways to be a copy, an edited one and
one that was drawn anew, and what is much for the one is little for the other: each has a model, and
the score is that of either. Some signals say that all others say little; they limit the score.
Stored as JSON with the data and the command
that made it (`scripts/fit.py`).
"""

import hashlib
import json
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

VERSION = 5


class ModelCorrupt(ValueError):
    """A score model that can not be read."""

    reason: ClassVar[str] = "MODEL_CORRUPT"

    def __init__(self, path: str, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"the score model {path} can not be used: {why}")


@dataclass(frozen=True, slots=True)
class Curve:
    """The share of one signal in the log-odds.

    Attributes:
        knots: rising values of the signal; below the first and above the last it is level.
        heights: log-odds at the knots.
        missing: log-odds where the signal is NaN.
    """

    knots: tuple[float, ...]
    heights: tuple[float, ...]
    missing: float

    def __call__(self, value: float) -> float:
        """Log-odds of one value."""
        if math.isnan(value):
            return self.missing
        # A hundred times a listing; numpy takes ten times as long for one value.
        above = bisect_right(self.knots, value)
        if above == 0 or above == len(self.knots):
            return self.heights[min(above, len(self.heights) - 1)]
        low, high = self.knots[above - 1], self.knots[above]
        share = (value - low) / (high - low)
        return self.heights[above - 1] + share * (self.heights[above] - self.heights[above - 1])


@dataclass(frozen=True, slots=True)
class ScoreModel:
    """One question, answered from signals.

    Attributes:
        bias: log-odds before any signal is known.
        curves: by name of the signal.
    """

    bias: float
    curves: Mapping[str, Curve]

    def contributions(self, values: Mapping[str, float]) -> dict[str, float]:
        """Log-odds that each signal adds; their sum and the bias give the score."""
        return {name: curve(values.get(name, math.nan)) for name, curve in self.curves.items()}

    def log_odds(self, values: Mapping[str, float]) -> float:
        """The sum that makes the score."""
        return self.bias + sum(self.contributions(values).values())

    def probability(self, values: Mapping[str, float]) -> float:
        """The score, in [0, 1]."""
        return sigmoid(self.log_odds(values))


@dataclass(frozen=True, slots=True)
class CopyModel:
    """Made from the original in either way? A mixture of two models, which also never falls.

    Attributes:
        edited: of copies of which pixels are left.
        redrawn: of restyled copies, of which the composition is left.
        slope, offset: make the log-odds of either those of the shares that are right.
        limits: by name of the signal, the log-odds that it allows at most.
    """

    edited: ScoreModel
    redrawn: ScoreModel
    slope: float
    offset: float
    limits: Mapping[str, Curve]

    def contributions(self, values: Mapping[str, float]) -> dict[str, float]:
        """What each signal adds to either way, by how likely the ways are; they rank signals."""
        edited, redrawn = self.edited.contributions(values), self.redrawn.contributions(values)
        way = sigmoid(self.edited.log_odds(values) - self.redrawn.log_odds(values))
        shares = {
            name: self.slope * (way * edited.get(name, 0.0) + (1 - way) * redrawn.get(name, 0.0))
            for name in (*edited, *(name for name in redrawn if name not in edited))
        }
        free = self._unlimited(values)
        return shares | {name: min(0.0, most - free) for name, most in self._limits(values).items()}

    def probability(self, values: Mapping[str, float]) -> float:
        """The score, in [0, 1]."""
        return sigmoid(min([self._unlimited(values), *self._limits(values).values()]))

    def _unlimited(self, values: Mapping[str, float]) -> float:
        a, b = (each.log_odds(values) for each in (self.edited, self.redrawn))
        either = max(a, b) + math.log1p(math.exp(-abs(a - b)))
        return self.slope * either + self.offset

    def _limits(self, values: Mapping[str, float]) -> dict[str, float]:
        return {name: curve(values.get(name, math.nan)) for name, curve in self.limits.items()}


@dataclass(frozen=True, slots=True)
class ScoreModels:
    """The models that are used together, and where they come from.

    Attributes:
        gate: could this be a copy at all? From vectors only; low values are not looked at.
        glance: could it still, after a first look? Low values have no key points matched.
        points: could it still, by its key points? Low values are not verified.
        copy: is it made from the original?
        restyle: given that it is, was it drawn anew?
        thresholds: by policy and verdict, the score from which the verdict holds.
        about: data, command and measured quality.
        id: `score@` and the first digits of the digest.
    """

    gate: ScoreModel
    glance: ScoreModel
    points: ScoreModel
    copy: CopyModel
    restyle: ScoreModel
    thresholds: Mapping[str, Mapping[str, float]]
    about: Mapping[str, Any]
    id: str

    def asking(self, values: Mapping[str, float]) -> ScoreModel | CopyModel:
        """The model that a candidate is scored with, by how closely it was looked at."""
        if "fit" in values:
            return self.copy
        if "inliers" in values:
            return self.points
        return self.glance if "glance" in values else self.gate

    @staticmethod
    def bundled() -> "ScoreModels":
        """The models that come with the package."""
        data = resources.files("service.matching").joinpath("score.json").read_bytes()
        return _read(data, "of the package")

    @staticmethod
    def load(path: Path) -> "ScoreModels":
        """Read models that `scripts/fit.py` or `copycatch calibrate` wrote.

        Raises:
            ModelCorrupt: they can not be used.
            OSError: the file can not be opened.
        """
        return _read(path.read_bytes(), str(path))


def sigmoid(log_odds: float) -> float:
    """1 / (1 + exp(-x)), without overflow."""
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    return math.exp(log_odds) / (1 + math.exp(log_odds))


def to_json(model: ScoreModel) -> dict[str, Any]:
    """The plain form of a model."""
    return {"bias": model.bias, "curves": curves_to_json(model.curves)}


def curves_to_json(curves: Mapping[str, Curve]) -> dict[str, Any]:
    """The plain form of some curves, by name of their signal."""
    return {
        name: {
            "knots": list(curve.knots),
            "heights": list(curve.heights),
            "missing": curve.missing,
        }
        for name, curve in curves.items()
    }


def _read(data: bytes, name: str) -> ScoreModels:
    try:
        plain = json.loads(data)
        if plain["version"] != VERSION:
            raise ModelCorrupt(name, f"its version {plain['version']} is unknown to this release")
        return ScoreModels(
            gate=_model(plain["gate"]),
            glance=_model(plain["glance"]),
            points=_model(plain["points"]),
            copy=_copy_model(plain["copy"]),
            restyle=_model(plain["restyle"]),
            thresholds=plain["thresholds"],
            about=plain["about"],
            id=f"score@{hashlib.sha256(data).hexdigest()[:8]}",
        )
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, ModelCorrupt):
            raise
        raise ModelCorrupt(name, f"{type(error).__name__}: {error}") from error


def _copy_model(plain: Mapping[str, Any]) -> CopyModel:
    slope = float(plain["slope"])
    if not slope > 0:
        raise ValueError("the slope of the score is not above 0")
    edited, redrawn = (_model(plain[way]) for way in ("edited", "redrawn"))
    return CopyModel(edited, redrawn, slope, float(plain["offset"]), _curves(plain["limits"]))


def _model(plain: Mapping[str, Any]) -> ScoreModel:
    return ScoreModel(float(plain["bias"]), _curves(plain["curves"]))


def _curves(plain: Mapping[str, Any]) -> dict[str, Curve]:
    curves = {}
    for name, curve in plain.items():
        knots, heights = tuple(curve["knots"]), tuple(curve["heights"])
        if len(knots) != len(heights) or len(knots) < 2 or list(knots) != sorted(set(knots)):
            raise ValueError(f"the curve of {name} has no rising knots")
        curves[name] = Curve(knots, heights, float(curve["missing"]))
    return curves
