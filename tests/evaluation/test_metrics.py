"""The measures of an evaluation, against examples worked out by hand."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.evaluation.answers import Answer, Asked, judged
from service.evaluation.measures import (
    average_precision,
    calibration_error,
    mean_over_groups,
    ranked,
    recall_at_precision,
    reliability,
    share_bounds,
    threshold_at_rate,
)
from service.evaluation.metrics import Metrics, intervals


def asked(path: str, role: str, *answers: tuple[str, float], **fields: Any) -> Asked:
    """A listing whose own original is `own`, when its role has one."""
    own = "own" if role in ("copy", "restyled") else ""
    fields.setdefault("verdict", "CLEAR")
    return Asked(path, role, own, answers=tuple(Answer(*a) for a in answers), **fields)


def test_average_precision_of_a_ranking() -> None:
    # Right at ranks 1 and 3 of 4 that there could have been: (1/1 + 2/3) / 4.
    right = np.array([True, False, True, False])
    assert average_precision(right, 4) == pytest.approx((1 + 2 / 3) / 4)


def test_nothing_answered_has_no_precision_and_nothing_to_find_has_no_value() -> None:
    assert average_precision(np.array([], np.bool_), 3) == 0
    assert math.isnan(average_precision(np.array([True]), 0))


def test_of_equal_scores_the_wrong_one_comes_first() -> None:
    scores, right = np.array([0.5, 0.9, 0.5]), np.array([True, True, False])
    assert ranked(scores, right).tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("precision", "recall", "threshold"),
    [(1.0, 2 / 4, 0.8), (0.75, 3 / 4, 0.6), (0.5, 3 / 4, 0.6)],
)
def test_recall_at_a_precision(precision: float, recall: float, threshold: float) -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    right = np.array([True, True, False, True])
    assert recall_at_precision(scores, right, 4, precision) == (recall, threshold)


def test_answers_with_one_score_are_taken_all_or_none() -> None:
    # The threshold 0.8 takes the wrong answer too: 1 of 2 is right there, 2 of 3 below.
    scores = np.array([0.8, 0.8, 0.7])
    right = np.array([False, True, True])
    assert recall_at_precision(scores, right, 2, 0.6) == (1.0, 0.7)
    assert recall_at_precision(scores, right, 2, 0.9) == (0.0, math.inf)


def test_the_threshold_of_a_rate_is_just_above_the_first_false_alarm_too_many() -> None:
    negatives = np.array([0.1, 0.4, 0.3, 0.2, -np.inf])
    assert threshold_at_rate(negatives, 0.0) == np.nextafter(0.4, 1)
    for rate, alarms in ((0.0, 0), (0.19, 0), (0.2, 1), (0.4, 2), (0.6, 3), (0.8, 4), (1.0, 4)):
        threshold = threshold_at_rate(negatives, rate)
        assert int((negatives >= threshold).sum()) == alarms, rate


def test_listings_with_equal_scores_are_let_in_together_or_not_at_all() -> None:
    assert threshold_at_rate(np.array([0.5, 0.5, 0.5, 0.1]), 0.25) == np.nextafter(0.5, 1)


def test_without_false_alarms_every_answer_counts_but_not_a_missing_one() -> None:
    threshold = threshold_at_rate(np.array([-np.inf, -np.inf]), 0.01)
    assert threshold == 0
    missed = asked("a", "copy", ("other", 0.9))
    assert missed.own < threshold
    assert asked("b", "copy", ("own", 0.0)).own >= threshold


def test_groups_weigh_alike_whatever_their_size() -> None:
    assert mean_over_groups([True, True, True, False], ["a", "a", "a", "b"]) == 0.5


def test_calibration_error_weighs_bins_by_their_size() -> None:
    scores = np.array([0.95, 0.95, 0.95, 0.25])
    right = np.array([True, True, False, False])
    assert reliability(scores, right) == [
        (0.25, 0.0, 1),
        (pytest.approx(0.95), pytest.approx(2 / 3), 3),
    ]
    expected = (3 * (0.95 - 2 / 3) + 1 * 0.25) / 4
    assert calibration_error(scores, right) == pytest.approx(expected)
    assert math.isnan(calibration_error(np.array([]), np.array([], np.bool_)))


def test_a_score_of_one_is_in_the_last_bin() -> None:
    assert reliability(np.array([1.0]), np.array([True])) == [(1.0, 1.0, 1)]


LISTINGS = [
    asked("c1", "copy", ("own", 0.9), ("x", 0.1), edits=("crop",), verdict="COPY"),
    asked("c2", "copy", ("x", 0.7), ("own", 0.6), edits=("crop", "text"), verdict="REVIEW"),
    asked("c3", "copy", edits=("text",)),
    asked("c4", "copy", ("own", 0.4), ("x", 0.4), edits=("blur",)),
    asked("s1", "same_product", ("x", 0.5), verdict="REVIEW"),
    asked("u1", "unrelated"),
    asked("b1", "burst", ("x", 1.0), verdict="COPY"),
    asked("r1", "restyled", ("own", 0.8), edits=("cartoon",), fidelity="strong", group="g"),
    asked("r2", "restyled", ("own", 0.2), edits=("cartoon",), fidelity="strong", group="g"),
    asked("r3", "restyled", ("own", 0.9), edits=("upscale",), fidelity="strong", group="h"),
    asked("r4", "restyled", ("x", 0.9), edits=("upscale",), fidelity="weak", group="h"),
]


def test_retrieval_counts_copies_same_product_and_unrelated_alone() -> None:
    # 0.9 right, 0.7 wrong, 0.6 right, 0.5 wrong, 0.4 wrong, 0.4 right, 0.1 wrong; 4 copies.
    metrics = Metrics(LISTINGS)
    assert metrics.micro_ap() == pytest.approx((1 + 2 / 3 + 3 / 6) / 4)
    assert metrics.recall_at_p90() == (0.25, 0.9)


def test_copies_count_at_the_threshold_of_the_false_alarms() -> None:
    # One of two negatives reaches 0.5; at 1 % none may.
    metrics = Metrics(LISTINGS)
    assert metrics.recall_at_fpr("0.01") == 0.5
    assert metrics.thresholds["0.01"] == np.nextafter(0.5, 1)


def test_restyles_are_averaged_per_group_and_strong_ones_alone_count() -> None:
    found = Metrics(LISTINGS).restyled_recall_at_fpr("0.001")
    assert found == {"cartoon": 0.5, "upscale": 1.0, "all": 0.75}


def test_verdicts_are_counted_by_role() -> None:
    metrics = Metrics(LISTINGS)
    assert metrics.verdict_rate(["COPY"])["copy"] == 0.25
    both = metrics.verdict_rate(["COPY", "REVIEW"])
    assert (both["copy"], both["same_product"], both["unrelated"], both["burst"]) == (0.5, 1, 0, 1)


def test_a_tie_for_the_first_place_is_lost() -> None:
    assert [a.found_first for a in LISTINGS[:4]] == [True, False, False, False]
    assert Metrics(LISTINGS).rank1() == {"copy": 0.25, "restyled_strong": 1.0}


def test_recall_by_edit_tells_edits_from_those_that_come_with_them() -> None:
    rows = Metrics(LISTINGS).recall_by_edit("0.01")
    assert rows["crop"] == {
        "count": 2,
        "recall": 1.0,
        "copy_rate": 0.5,
        "count_alone": 1,
        "recall_alone": 1.0,
    }
    assert (rows["text"]["recall"], rows["text"]["recall_alone"]) == (0.5, 0.0)


def test_intervals_hold_the_figure_and_come_out_the_same_again() -> None:
    policies = {"own": judged(LISTINGS, {"copy": 0.7, "review": 0.3})}
    bounds = intervals(LISTINGS, policies, resamples=200)
    figures = Metrics(LISTINGS).headline()
    figures |= {f"policy/own/{k}": v for k, v in Metrics(policies["own"]).decisions().items()}
    for name in ("micro_ap", "recall_at_fpr/0.01", "policy/own/copy_rate/copy"):
        low, high = bounds[name]
        assert low <= figures[name] <= high
        assert low < high
    assert bounds == intervals(LISTINGS, policies, resamples=200)
    assert bounds != intervals(LISTINGS, policies, resamples=200, seed=1)


def test_listings_of_one_group_are_drawn_together() -> None:
    """Ten witnesses of one product are as good as one: the interval does not narrow."""
    found = [asked(f"c{i}", "copy", ("own", 0.9), group="one") for i in range(10)]
    missed = [asked(f"m{i}", "copy", group="other") for i in range(10)]
    low, high = intervals([*found, *missed], {}, resamples=300)["rank1/copy"]
    assert (low, high) == (0.0, 1.0)
    apart = [replace(each, group=each.path) for each in (*found, *missed)]
    low, high = intervals(apart, {}, resamples=300)["rank1/copy"]
    assert 0.1 < low < 0.5 < high < 0.9


def test_another_policy_judges_by_the_score_alone() -> None:
    strict, lax = {"copy": 0.95, "review": 0.65}, {"copy": 0.35, "review": 0.05}
    assert [a.verdict for a in judged(LISTINGS[:4], strict)] == [
        "REVIEW",
        "REVIEW",
        "CLEAR",
        "CLEAR",
    ]
    assert [a.verdict for a in judged(LISTINGS[:4], lax)] == ["COPY", "COPY", "CLEAR", "COPY"]
    first = judged(LISTINGS, lax)[0]
    assert [answer.verdict for answer in first.answers] == ["COPY", "REVIEW"]


def test_no_policy_judges_what_was_not_verified_nor_doubts_the_same_picture() -> None:
    answers = (
        Answer("own", 0.99, "CLEAR", verified=False),
        Answer("same", 1.0, "COPY", "EXACT"),
    )
    (one,) = judged([Asked("c", "copy", "own", answers=answers[:1])], {"copy": 0.5, "review": 0.1})
    assert one.verdict == "CLEAR"
    (one,) = judged([Asked("c", "copy", "own", answers=answers)], {"copy": 1.5, "review": 1.5})
    assert [answer.verdict for answer in one.answers] == ["CLEAR", "COPY"]
    assert one.verdict == "COPY"


def test_no_listing_has_no_figures() -> None:
    assert math.isnan(Metrics([]).micro_ap())
    assert intervals([], {}) == {}


@pytest.mark.parametrize("right", [0, 1, 7, 19, 20])
def test_the_interval_of_a_share_is_exact(right: int) -> None:
    """Held against the definition: each bound leaves 2.5 % of the binomial beyond it."""
    count = 20
    low, high = share_bounds(right, count, 0.95)

    def beyond(p: float, chosen: range) -> float:
        return sum(math.comb(count, i) * p**i * (1 - p) ** (count - i) for i in chosen)

    assert low <= right / count <= high
    assert low == 0 if right == 0 else beyond(low, range(right, count + 1)) == pytest.approx(0.025)
    assert high == 1 if right == count else beyond(high, range(right + 1)) == pytest.approx(0.025)


def test_no_false_alarm_in_a_few_is_no_proof_that_there_are_none() -> None:
    clear = [asked(f"s{i}", "same_product") for i in range(10)]
    bounds = intervals(clear, {"own": judged(clear, {"copy": 0.5, "review": 0.2})}, 50)
    low, high = bounds["policy/own/copy_rate/same_product"]
    assert low == 0 and high == pytest.approx(1 - 0.025 ** (1 / 10))
