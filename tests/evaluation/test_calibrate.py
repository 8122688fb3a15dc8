"""Calibrating by pairs: the map is true, the claims hold, and too little is refused."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.evaluation.calibrate import (
    CONFIDENCE,
    LEAST_EACH,
    CalibrationRefused,
    Scored,
    fit,
    needed,
    threshold_for,
)
from service.evaluation.maps import MapFailed, choose, line, steps
from service.evaluation.measures import calibration_error, lower_bound
from service.matching.calibration import LIMIT, mapped


def drawn(
    count: int, seed: int, slope: float = 1.0, offset: float = 0.0, spread: float = 4.0
) -> Scored:
    """Pairs whose true log-odds are a line of the model's, so that what is true is known."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0.0, spread, count)
    truth = rng.random(count) < 1 / (1 + np.exp(-(slope * x + offset)))
    return Scored(1 / (1 + np.exp(-x)), truth, tuple(f"g{i}" for i in range(count)))


def test_scores_that_are_too_sure_of_themselves_are_brought_back() -> None:
    pairs = drawn(3000, 1, slope=0.4, offset=-1.0)
    chosen = choose(pairs.scores, pairs.truth, pairs.groups)
    assert chosen.error_before > 0.1 and chosen.error_after < 0.03
    fresh = drawn(3000, 2, slope=0.4, offset=-1.0)
    after = np.array([mapped(s, chosen.map.knots, chosen.map.heights) for s in fresh.scores])
    assert calibration_error(after, fresh.truth) < 0.03


def test_scores_that_are_true_stay_as_they_are() -> None:
    pairs = drawn(3000, 3)
    chosen = choose(pairs.scores, pairs.truth, pairs.groups)
    for score in (0.05, 0.5, 0.95):
        assert mapped(score, chosen.map.knots, chosen.map.heights) == pytest.approx(score, abs=0.06)


def test_a_fault_that_no_line_mends_is_mended_by_steps() -> None:
    rng = np.random.default_rng(4)
    x = rng.uniform(-6, 6, 4000)
    share = np.where(x < -2, 0.02, np.where(x < 3, 0.5, 0.98))
    truth = rng.random(4000) < share
    scores = 1 / (1 + np.exp(-x))
    chosen = choose(scores, truth, [f"g{i}" for i in range(4000)])
    assert chosen.map.name == "steps"
    assert chosen.error_after < 0.03 < chosen.error_before


few_pairs = st.lists(st.tuples(st.floats(-13, 13), st.booleans()), min_size=8, max_size=60).filter(
    lambda pairs: 0 < sum(truth for _, truth in pairs) < len(pairs)
)


@settings(deadline=None)
@given(few_pairs, st.sampled_from([line, steps]))
def test_every_map_rises_from_end_to_end(pairs: list[tuple[float, bool]], make: object) -> None:
    x = np.array([value for value, _ in pairs])
    truth = np.array([truth for _, truth in pairs], np.bool_)
    try:
        found = make(x, truth)  # type: ignore[operator]
    except MapFailed:
        assert x[truth].mean() <= x[~truth].mean() + 1e-6
        return
    assert found.knots[0] == -LIMIT and found.knots[-1] == LIMIT
    assert all(a < b for a, b in zip(found.knots, found.knots[1:], strict=False))
    assert all(a < b for a, b in zip(found.heights, found.heights[1:], strict=False))
    assert all(map(math.isfinite, found.heights))


@pytest.mark.parametrize("precision", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("errors", [0, 1, 3])
def test_as_many_pairs_are_needed_as_bear_the_claim(precision: float, errors: int) -> None:
    count = needed(precision, errors)
    assert lower_bound(count - errors, count, CONFIDENCE) >= precision
    assert lower_bound(count - 1 - errors, count - 1, CONFIDENCE) < precision
    if not errors:  # the rule of three, exactly
        assert count == math.ceil(math.log(1 - CONFIDENCE) / math.log(precision))


def test_a_claim_is_false_no_more_often_than_it_says() -> None:
    """Over many draws the true precision above the threshold is what was claimed."""
    truth = drawn(200_000, 99, slope=1.5)
    claimed = false = 0
    for seed in range(150):
        try:
            threshold = threshold_for(drawn(600, seed, slope=1.5), 0.95)
        except CalibrationRefused:
            continue
        claimed += 1
        false += bool(truth.truth[truth.scores >= threshold].mean() < 0.95)
    assert claimed > 75
    # 5 % of 150 draws and three standard deviations.
    assert false <= 0.05 * 150 + 3 * math.sqrt(0.05 * 0.95 * 150)


def test_witnesses_of_one_group_are_no_proof() -> None:
    apart = drawn(600, 5)
    threshold_for(apart, 0.95)
    together = Scored(apart.scores, apart.truth, tuple(f"g{i % 12}" for i in range(600)))
    with pytest.raises(CalibrationRefused, match="independent"):
        threshold_for(together, 0.95)


def test_what_is_claimed_is_what_the_pairs_show() -> None:
    pairs = drawn(3000, 6, slope=1.5)
    fitted = fit(pairs)
    shown = np.array([mapped(s, fitted.knots, fitted.heights) for s in pairs.scores])
    for policy, precision in (("strict", 0.99), ("balanced", 0.95), ("recall", 0.8)):
        begins, claim = fitted.thresholds[policy], fitted.claims[policy]
        assert claim.precision == precision
        above = shown >= begins["copy"]
        assert (claim.right, claim.wrong) == (
            (above & pairs.truth).sum(),
            (above & ~pairs.truth).sum(),
        )
        assert claim.right / (claim.right + claim.wrong) >= precision
        assert 0 < begins["review"] <= begins["copy"] and begins["copy"] >= 0.5
    copies = [fitted.thresholds[name]["copy"] for name in ("strict", "balanced", "recall")]
    assert copies == sorted(copies, reverse=True)
    assert fitted.quality["calibration_error_held_out"] < 0.03


@pytest.mark.parametrize(
    ("pairs", "why"),
    [
        (drawn(60, 7), f"at least {LEAST_EACH} of each.*looked at it closely.*label lookalikes"),
        (
            Scored(*(lambda p: (p.scores, p.truth))(drawn(400, 8)), ("one",) * 400),
            "in at least 20 groups",
        ),
        (drawn(200, 9), "strict: a precision of 0.99 needs at least 299 .* are 200"),
        (drawn(3000, 10, slope=0.1), "strict: a precision of 0.99 is not borne out"),
        (drawn(3000, 11, slope=-1.0), "are the labels right"),
    ],
)
def test_what_the_labels_do_not_bear_is_refused_by_name(pairs: Scored, why: str) -> None:
    with pytest.raises(CalibrationRefused, match=why) as caught:
        fit(pairs)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def test_less_can_be_claimed_with_less() -> None:
    fitted = fit(drawn(300, 12), {"strict": 0.9, "balanced": 0.8, "recall": 0.7})
    assert fitted.claims["strict"].precision == 0.9


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.8, 0.9, 0.95]))
def test_a_threshold_lies_between_two_scores(seed: int, precision: float) -> None:
    pairs = drawn(400, seed)
    try:
        threshold = threshold_for(pairs, precision)
    except CalibrationRefused:
        return
    assert threshold not in pairs.scores
    above = pairs.scores > threshold
    count, right = int(above.sum()), int(pairs.truth[above].sum())
    assert lower_bound(right, count, CONFIDENCE) >= precision
