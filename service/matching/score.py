"""The calibrated score: from signals to a probability, so that each one's share can be read.

A generalised additive model: the log-odds are a sum of one piecewise linear curve per signal.
Curves of signals that speak for a copy never fall, so more evidence never lowers a score. A
signal that is missing has a value of its own. Stored as JSON with the data and the command
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

VERSION = 3


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

    def probability(self, values: Mapping[str, float]) -> float:
        """The score, in [0, 1]."""
        return sigmoid(self.bias + sum(self.contributions(values).values()))


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
    copy: ScoreModel
    restyle: ScoreModel
    thresholds: Mapping[str, Mapping[str, float]]
    about: Mapping[str, Any]
    id: str

    def asking(self, values: Mapping[str, float]) -> ScoreModel:
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
    return {
        "bias": model.bias,
        "curves": {
            name: {
                "knots": list(curve.knots),
                "heights": list(curve.heights),
                "missing": curve.missing,
            }
            for name, curve in model.curves.items()
        },
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
            copy=_model(plain["copy"]),
            restyle=_model(plain["restyle"]),
            thresholds=plain["thresholds"],
            about=plain["about"],
            id=f"score@{hashlib.sha256(data).hexdigest()[:8]}",
        )
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, ModelCorrupt):
            raise
        raise ModelCorrupt(name, f"{type(error).__name__}: {error}") from error


def _model(plain: Mapping[str, Any]) -> ScoreModel:
    curves = {}
    for name, curve in plain["curves"].items():
        knots, heights = tuple(curve["knots"]), tuple(curve["heights"])
        if len(knots) != len(heights) or len(knots) < 2 or list(knots) != sorted(set(knots)):
            raise ValueError(f"the curve of {name} has no rising knots")
        curves[name] = Curve(knots, heights, float(curve["missing"]))
    return ScoreModel(float(plain["bias"]), curves)
