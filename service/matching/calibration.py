"""A marketplace's own calibration of the score, laid over the model's: made from reviewed pairs.

The model knows the pictures that it was fitted on. A marketplace that has reviewed pairs of
its own maps the model's score to the share of its pairs that are copies, and begins each
verdict where its pairs show the precision that the policy claims. `service.evaluation.calibrate`
makes it, `copycatch calibrate` writes it, the setting `calibration` loads it.

The map only rises, so that it never changes which of two originals is the likelier; and it is
applied to what is shown, after the search, so that it never changes what is found.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from service.matching.score import sigmoid

VERSION = 1
POLICIES = ("strict", "balanced", "recall")
LIMIT = 14.0
"""Log-odds beyond which scores are taken as equal: 1 in 1.2 million, what float32 tells from 1."""


class CalibrationCorrupt(ValueError):
    """A calibration that can not be read."""

    reason: ClassVar[str] = "CALIBRATION_CORRUPT"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path, why)
        self.path, self.why = path, why

    def __str__(self) -> str:
        return (
            f"the calibration {self.path} can not be used: {self.why}; "
            "make it again with `copycatch calibrate`"
        )


class CalibrationMismatch(ValueError):
    """A calibration that was made for other scores than the server gives."""

    reason: ClassVar[str] = "CALIBRATION_MISMATCH"

    def __init__(self, calibration: str, made_for: str, serving: str) -> None:
        super().__init__(calibration, made_for, serving)
        self.calibration, self.made_for, self.serving = calibration, made_for, serving

    def __str__(self) -> str:
        return (
            f"{self.calibration} was made for {self.made_for}, but {self.serving} is serving; "
            "make it again with `copycatch calibrate`, or remove the setting `calibration`"
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """What the labelled pairs say of a policy's COPY.

    Attributes:
        precision: share of the COPY answers that are right, at least.
        confidence: of that claim, such as 0.95.
        right, wrong: labelled pairs at or above the threshold.
    """

    precision: float
    confidence: float
    right: int
    wrong: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """A map of scores, and the thresholds of the policies on what it gives.

    Attributes:
        model: id of the score model whose scores it maps.
        schema: id of the fingerprints that these scores were computed from.
        knots: rising log-odds of the model's score, from -LIMIT to LIMIT.
        heights: rising log-odds of the calibrated score at the knots.
        thresholds: by policy, the calibrated scores from which COPY and REVIEW hold.
        claims: by policy, what is claimed of its COPY.
        about: the data with their digest, the date, the command, the measured quality.
        id: `calibration@` and the first digits of the digest of the file.
    """

    model: str
    schema: str
    knots: tuple[float, ...]
    heights: tuple[float, ...]
    thresholds: Mapping[str, Mapping[str, float]]
    claims: Mapping[str, Claim]
    about: Mapping[str, Any]
    id: str = ""

    def score(self, score: float) -> float:
        """Map a score of the model, in [0, 1], to a calibrated one."""
        return mapped(score, self.knots, self.heights)

    def check_serves(self, model: str, schema: str) -> None:
        """Raise CalibrationMismatch unless it was made for these scores."""
        if (self.model, self.schema) != (model, schema):
            raise CalibrationMismatch(
                self.id, f"{self.model} over {self.schema}", f"{model} over {schema}"
            )

    def to_json(self) -> str:
        """The content of its file."""
        plain = {
            "version": VERSION,
            "model": self.model,
            "schema": self.schema,
            "knots": self.knots,
            "heights": self.heights,
            "thresholds": self.thresholds,
            "claims": {
                policy: {name: getattr(claim, name) for name in Claim.__slots__}
                for policy, claim in self.claims.items()
            },
            "about": self.about,
        }
        return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"

    @staticmethod
    def load(path: Path) -> "Calibration":
        """Read a file that `copycatch calibrate` wrote.

        Raises:
            CalibrationCorrupt: it is none, or what it says can not be.
            OSError: it can not be opened.
        """
        data = path.read_bytes()
        try:
            return _read(data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            why = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
            raise CalibrationCorrupt(str(path), why) from error


def mapped(score: float, knots: tuple[float, ...], heights: tuple[float, ...]) -> float:
    """Map a score in [0, 1] through log-odds, linearly between the knots."""
    return sigmoid(float(np.interp(log_odds(score), knots, heights)))


def log_odds(score: float) -> float:
    """The log-odds of a score in [0, 1], within -LIMIT and LIMIT."""
    least = sigmoid(-LIMIT)
    kept = min(max(score, least), 1 - least)
    return math.log(kept / (1 - kept))


def _read(data: bytes) -> Calibration:
    plain = json.loads(data)
    if plain["version"] != VERSION:
        raise ValueError(f"its version {plain['version']} is unknown to this release")
    knots, heights = _numbers(plain["knots"]), _numbers(plain["heights"])
    if len(knots) != len(heights) or len(knots) < 2 or not _rises(knots) or not _rises(heights):
        raise ValueError("its map does not rise")
    thresholds = {
        policy: {verdict: float(plain["thresholds"][policy][verdict]) for verdict in _VERDICTS}
        for policy in POLICIES
    }
    for policy, begins in thresholds.items():
        if not 0 <= begins["review"] <= begins["copy"] <= 1:
            raise ValueError(f"the thresholds of {policy} are not 0 <= review <= copy <= 1")
    return Calibration(
        model=str(plain["model"]),
        schema=str(plain["schema"]),
        knots=knots,
        heights=heights,
        thresholds=thresholds,
        claims={policy: Claim(**plain["claims"][policy]) for policy in POLICIES},
        about=plain["about"],
        id=f"calibration@{hashlib.sha256(data).hexdigest()[:8]}",
    )


_VERDICTS = ("copy", "review")


def _numbers(values: list[float]) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError("its map has a number that is none")
    return numbers


def _rises(numbers: tuple[float, ...]) -> bool:
    return all(low < high for low, high in zip(numbers[:-1], numbers[1:], strict=True))
