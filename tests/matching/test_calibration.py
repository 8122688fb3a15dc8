"""A calibration of one's own: its file, its map, and what it may change in an answer."""

import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.catalogue import Catalogue
from index.spaces import Space
from models.background import Background
from models.batcher import Batcher
from models.fingerprint import Fingerprinter
from models.toy import ToyEncoder
from service.matching.calibration import (
    LIMIT,
    Calibration,
    CalibrationCorrupt,
    CalibrationMismatch,
    Claim,
    log_odds,
)
from service.matching.pipeline import Matcher
from service.matching.results import CheckOptions, MatchKind, Verdict
from service.matching.score import sigmoid
from service.registry import Registry, Submission
from tests.kit.images import crop, encode, photo

PLAIN = Calibration(
    model="score@0",
    schema="s",
    knots=(-LIMIT, 0.0, LIMIT),
    heights=(-LIMIT, -2.0, LIMIT),
    thresholds={
        "strict": {"copy": 0.9, "review": 0.5},
        "balanced": {"copy": 0.8, "review": 0.4},
        "recall": {"copy": 0.6, "review": 0.2},
    },
    claims={name: Claim(0.9, 0.95, 90, 2) for name in ("strict", "balanced", "recall")},
    about={"data": "labels.csv"},
)
SCORES = st.floats(0, 1)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[tuple[Catalogue, Fingerprinter]]:
    """A catalogue with one original, a coffee."""
    batcher = Batcher(ToyEncoder()).start()
    printer = Fingerprinter(batcher, background=Background({}))
    spaces = [Space(*space) for space in printer.spaces]
    with Catalogue.open(tmp_path / "store", spaces, printer.schema) as catalogue:
        catalogue.create_brand("a")
        registry = Registry(catalogue, printer)
        registry.register(Submission("a", "coffee", encode(photo("coffee"), "PNG")))
        yield catalogue, printer
    batcher.stop()


def written(folder: Path, **changed: Any) -> Path:
    """The file of the plain calibration, with some of its fields changed."""
    path = folder / "calibration.json"
    path.write_text(json.dumps(json.loads(PLAIN.to_json()) | changed), encoding="utf-8")
    return path


def test_a_calibration_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(PLAIN.to_json(), encoding="utf-8")
    again = Calibration.load(path)
    assert again.id.startswith("calibration@")
    assert replace(again, id="") == PLAIN


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"version": 99}, "version 99"),
        ({"knots": [0.0, 0.0, 1.0]}, "does not rise"),
        ({"heights": [0.0, 2.0, 1.0]}, "does not rise"),
        ({"heights": [0.0, 1.0]}, "does not rise"),
        ({"knots": [float("nan"), 0.0, 1.0]}, "none"),
        ({"thresholds": {}}, "strict"),
        (
            {"thresholds": {**PLAIN.thresholds, "recall": {"copy": 0.2, "review": 0.6}}},
            "review <= copy",
        ),
        ({"claims": {}}, "strict"),
        ({"thresholds": 3}, "TypeError"),
    ],
)
def test_what_can_not_be_is_refused_by_name(
    tmp_path: Path, changed: dict[str, Any], why: str
) -> None:
    path = written(tmp_path, **changed)
    with pytest.raises(CalibrationCorrupt, match=why) as caught:
        Calibration.load(path)
    assert str(path) in str(caught.value) and "copycatch calibrate" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '"strict"'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(CalibrationCorrupt, match="other.json"):
        Calibration.load(path)


@pytest.mark.parametrize(
    "error",
    [CalibrationCorrupt("c.json", "its map does not rise"), CalibrationMismatch("c@1", "a", "b")],
)
def test_its_errors_reach_another_process_as_they_are(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error) and vars(again) == vars(error)


@settings(deadline=None)
@given(SCORES, SCORES)
def test_the_likelier_of_two_stays_the_likelier(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert PLAIN.score(low) <= PLAIN.score(high)
    if log_odds(high) - log_odds(low) > 1e-6:
        assert PLAIN.score(low) < PLAIN.score(high)


@settings(deadline=None)
@given(SCORES)
def test_the_map_gives_scores_and_the_level_one_gives_the_same(score: float) -> None:
    assert 0 <= PLAIN.score(score) <= 1
    level = replace(PLAIN, knots=(-LIMIT, LIMIT), heights=(-LIMIT, LIMIT))
    assert level.score(score) == pytest.approx(score, abs=1e-6)


def test_a_calibration_for_other_scores_is_not_served(
    parts: tuple[Catalogue, Fingerprinter],
) -> None:
    with pytest.raises(CalibrationMismatch, match="score@0"):
        Matcher(*parts, calibration=PLAIN)


def test_it_changes_the_scores_and_verdicts_that_are_shown_and_nothing_else(
    parts: tuple[Catalogue, Fingerprinter],
) -> None:
    plain = Matcher(*parts)
    listing = encode(crop(photo("coffee"), 0.8), quality=70)
    options = CheckOptions(min_score=0.0)
    (before,) = plain.check(listing, options).matches
    assert 0.5 < before.score < 1
    # The map that takes this very score to 0.7: REVIEW by `balanced`, COPY by `recall`.
    at, to = log_odds(before.score), log_odds(0.7)
    own = replace(
        PLAIN,
        model=plain.provenance().model,
        schema=plain.provenance().schema,
        knots=(-LIMIT, at, LIMIT),
        heights=(-LIMIT, to, LIMIT),
        id="calibration@own",
    )
    matcher = Matcher(*parts, calibration=own)
    (after,) = matcher.check(listing, options).matches
    assert after.score == pytest.approx(0.7)
    assert (after.kind, after.evidence, after.alignment) == (
        before.kind,
        before.evidence,
        before.alignment,
    )
    verdicts = {
        policy: matcher.check(listing, replace(options, policy=policy)).verdict
        for policy in ("strict", "balanced", "recall")
    }
    assert verdicts == {
        "strict": Verdict.REVIEW,
        "balanced": Verdict.REVIEW,
        "recall": Verdict.COPY,
    }
    assert matcher.compare(listing, encode(photo("coffee"), "PNG")).match.score == pytest.approx(
        0.7, abs=0.05
    )
    provenance = matcher.provenance("strict")
    assert provenance.calibration == "calibration@own"
    assert provenance.policy == "strict@calibration@own"
    assert plain.provenance().calibration == ""


def test_the_same_picture_needs_no_calibration(parts: tuple[Catalogue, Fingerprinter]) -> None:
    plain = Matcher(*parts).provenance()
    own = replace(PLAIN, model=plain.model, schema=plain.schema)
    answer = Matcher(*parts, calibration=own).check(encode(photo("coffee"), "PNG"), CheckOptions())
    assert [(m.kind, m.score) for m in answer.matches] == [(MatchKind.EXACT, 1.0)]


def test_log_odds_are_bounded_and_the_way_back_is_the_way_there() -> None:
    assert log_odds(0.0) == pytest.approx(-LIMIT) and log_odds(1.0) == pytest.approx(LIMIT)
    assert sigmoid(log_odds(0.25)) == pytest.approx(0.25)
