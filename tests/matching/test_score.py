"""The score: a sum of curves that only rise where they must, and knows what is missing."""

import json
import math
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.matching.score import (
    CopyModel,
    Curve,
    ModelCorrupt,
    ScoreModel,
    ScoreModels,
    sigmoid,
    to_json,
)
from service.matching.signals import CHEAP, SIGNALS

MODELS = ScoreModels.bundled()
VALUES = st.fixed_dictionaries(
    {name: st.one_of(st.just(math.nan), st.floats(-1, 300)) for name in SIGNALS}
)
WAYS = (MODELS.copy.edited, MODELS.copy.redrawn)
RISING = sorted(name for name in WAYS[0].curves if SIGNALS[name].direction == "up")


@settings(deadline=None)
@given(VALUES, st.sampled_from(RISING), st.floats(-1, 300), st.floats(-1, 300))
def test_more_evidence_never_lowers_the_score(
    values: dict[str, float], name: str, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    for model in (MODELS.copy, MODELS.gate):
        assert model.probability(values | {name: high}) >= model.probability(values | {name: low})


@settings(deadline=None)
@given(VALUES)
def test_a_score_is_a_probability_whatever_is_missing(values: dict[str, float]) -> None:
    for model in (MODELS.gate, MODELS.copy, MODELS.restyle):
        assert 0 <= model.probability(values) <= 1


@settings(deadline=None)
@given(VALUES)
def test_a_signal_that_is_missing_and_one_that_is_not_there_are_the_same(
    values: dict[str, float],
) -> None:
    known = {name: value for name, value in values.items() if not math.isnan(value)}
    assert MODELS.copy.probability(known) == MODELS.copy.probability(values)


@settings(deadline=None)
@given(VALUES)
def test_the_shares_and_the_bias_are_the_score(values: dict[str, float]) -> None:
    for model in (MODELS.gate, *WAYS):
        shares = model.contributions(values)
        assert shares.keys() == model.curves.keys()
        odds = model.bias + sum(shares.values())
        assert model.probability(values) == pytest.approx(1 / (1 + math.exp(-odds)))


@settings(deadline=None)
@given(VALUES)
def test_a_copy_is_one_that_is_edited_or_one_that_is_redrawn(values: dict[str, float]) -> None:
    edited, redrawn = (way.log_odds(values) for way in WAYS)
    odds = MODELS.copy.slope * float(np.logaddexp(edited, redrawn)) + MODELS.copy.offset
    most = [curve(values.get(name, math.nan)) for name, curve in MODELS.copy.limits.items()]
    assert MODELS.copy.probability(values) == pytest.approx(sigmoid(min(odds, *most)))


@settings(deadline=None)
@given(VALUES)
def test_the_shares_of_a_copy_lie_between_those_of_its_ways(values: dict[str, float]) -> None:
    both = [way.contributions(values) for way in WAYS]
    shares = MODELS.copy.contributions(values)
    assert all(shares.pop(name) <= 0 for name in MODELS.copy.limits)
    for name, share in shares.items():
        low, high = sorted(each.get(name, 0.0) * MODELS.copy.slope for each in both)
        assert low - 1e-9 <= share <= high + 1e-9


def test_a_limit_holds_whatever_the_rest_says() -> None:
    sure = ScoreModel(9.0, {})
    limits = {"own_detail": Curve((0.5, 0.6), (-1.0, 12.0), 30.0)}
    model = CopyModel(sure, sure, 1.0, 0.0, limits)
    free = 9.0 + math.log(2)
    for own, odds in ((0.0, -1.0), (0.5, -1.0), (0.55, 5.5), (0.6, free), (math.nan, free)):
        assert model.probability({"own_detail": own}) == pytest.approx(sigmoid(odds))
        share = model.contributions({"own_detail": own})["own_detail"]
        assert share == pytest.approx(min(0.0, odds - free))
    assert model.probability({}) == pytest.approx(sigmoid(free))
    assert replace(model, limits={}).probability({}) == pytest.approx(sigmoid(free))


def test_a_missing_signal_is_not_a_zero() -> None:
    model = ScoreModel(0.0, {"inliers": Curve((0.0, 10.0), (-5.0, 5.0), 0.5)})
    assert model.probability({}) == sigmoid(0.5)
    assert model.probability({"inliers": 0.0}) == sigmoid(-5.0)


def test_a_curve_is_linear_between_its_knots_and_level_beyond() -> None:
    curve = Curve((0.0, 2.0, 4.0), (1.0, 3.0, 2.0), 9.0)
    assert [curve(x) for x in (-9.0, 0.0, 1.0, 3.0, 4.0, 99.0)] == [1.0, 1.0, 2.0, 2.5, 2.0, 2.0]
    assert curve(math.nan) == 9.0


@settings(deadline=None)
@given(st.floats(-800, 800))
def test_the_sigmoid_neither_overflows_nor_lies(odds: float) -> None:
    assert sigmoid(odds) == pytest.approx(float(1 / (1 + np.exp(np.float128(-odds)))), abs=1e-12)
    assert sigmoid(odds) + sigmoid(-odds) == pytest.approx(1)


def test_the_curves_of_the_package_rise_where_they_must() -> None:
    for curves in (MODELS.gate.curves, *(way.curves for way in WAYS), MODELS.copy.limits):
        for name, curve in curves.items():
            if SIGNALS[name].direction == "up":
                assert list(curve.heights) == sorted(curve.heights), name


def test_the_gate_asks_for_nothing_that_verification_has_to_measure() -> None:
    assert MODELS.gate.curves.keys() <= {signal.name for signal in CHEAP}


def test_stricter_policies_begin_later() -> None:
    for verdict in ("copy", "review"):
        begins = [MODELS.thresholds[name][verdict] for name in ("strict", "balanced", "recall")]
        assert begins == sorted(begins, reverse=True)
    for name in ("strict", "balanced", "recall"):
        assert MODELS.thresholds[name]["review"] <= MODELS.thresholds[name]["copy"]


def plain() -> dict[str, Any]:
    data = resources.files("service.matching").joinpath("score.json").read_bytes()
    read: dict[str, Any] = json.loads(data)
    return read


def test_models_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "score.json"
    path.write_text(json.dumps(plain()), encoding="utf-8")
    again = ScoreModels.load(path)
    assert (again.gate, again.copy, again.restyle) == (MODELS.gate, MODELS.copy, MODELS.restyle)
    assert replace(again, id="").thresholds == MODELS.thresholds
    assert to_json(again.copy.edited) == plain()["copy"]["edited"]


def plain_copy() -> dict[str, Any]:
    copy: dict[str, Any] = plain()["copy"]
    return copy


@pytest.mark.parametrize(
    "change",
    [
        {"version": 99},
        {"gate": {}},
        {"gate": {"bias": 0.0, "curves": {"inliers": {"knots": [1, 0], "heights": [0, 1]}}}},
        {"gate": {"bias": 0.0, "curves": {"inliers": {"knots": [1], "heights": [0]}}}},
        {"copy": {"bias": 0.0, "curves": {}}},
        {"copy": plain_copy() | {"slope": -1.0}},
        {"copy": plain_copy() | {"limits": {"own_detail": {"knots": [0.5], "heights": [0.0]}}}},
        {"restyle": {"bias": "x", "curves": {}}},
    ],
)
def test_a_model_that_can_not_be_is_refused_by_name(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "score.json"
    path.write_text(json.dumps(plain() | change), encoding="utf-8")
    with pytest.raises(ModelCorrupt, match=r"score\.json"):
        ScoreModels.load(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ModelCorrupt, match=r"other\.json"):
        ScoreModels.load(path)
