"""What is handed to people: figures, tables, the CSV of answers, contact sheets."""

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from service.evaluation import report, sheets
from service.evaluation.answers import Answer, Asked, judged
from service.evaluation.metrics import Metrics
from tests.kit.images import draw, encode

POLICIES = {
    "strict": {"copy": 0.95, "review": 0.5},
    "recall": {"copy": 0.5, "review": 0.1},
}


def one(path: str, role: str, *answers: Answer, edits: str = "") -> Asked:
    own = "own" if role in ("copy", "restyled") else ""
    made = tuple(filter(None, edits.split("+")))
    return Asked(path, role, own, made, "strong" if role == "restyled" else "", path, "", answers)


LISTINGS = [
    one("c1", "copy", Answer("own", 0.97, "COPY", "EDITED", ("CROPPED",)), edits="crop"),
    one("c2", "copy", Answer("x", 0.6), Answer("own", 0.4), edits="crop+text"),
    one("c3", "copy", edits="blur"),
    one("r1", "restyled", Answer("own", 0.8), edits="cartoon"),
    one("s1", "same_product", Answer("x", 0.7, "REVIEW", "EDITED")),
    one("u1", "unrelated"),
]


def found() -> dict[str, object]:
    judgements = {name: judged(LISTINGS, begins) for name, begins in POLICIES.items()}
    return report.figures(LISTINGS, judgements, resamples=30)


def test_each_policy_has_its_rates_its_precision_and_its_calibration() -> None:
    policies = report.figures(LISTINGS, {n: judged(LISTINGS, b) for n, b in POLICIES.items()}, 0)[
        "policies"
    ]
    strict, recall = policies["strict"], policies["recall"]
    assert strict["copy_rate"]["copy"] == 1 / 3 and recall["copy_rate"]["copy"] == 2 / 3
    assert strict["copy_rate"]["same_product"] == 0 and recall["copy_rate"]["same_product"] == 1
    # By recall: own 0.97 is right, x 0.6 and x 0.7 are wrong.
    assert strict["copy_precision"] == 1 and recall["copy_precision"] == 1 / 3
    # Shown by strict: 0.97 right, 0.6 and 0.7 wrong, each alone in its bin.
    assert math.isclose(strict["calibration_error"], (0.03 + 0.6 + 0.7) / 3)
    assert sum(row["count"] for row in strict["reliability"]) == 3


def test_the_figures_are_json_and_what_has_no_value_is_null() -> None:
    text = json.dumps(report.plain(found()), allow_nan=False)
    again = json.loads(text)
    assert again["listings"] == {"copy": 3, "restyled": 1, "same_product": 1, "unrelated": 1}
    nothing = report.plain(report.figures([], {}))
    assert nothing["micro_ap"] is None and nothing["policies"] == {}


def test_the_tables_name_every_policy_role_and_edit() -> None:
    console = Console(file=io.StringIO(), width=160)
    report.show(found(), console, "A title")
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for word in ("A title", "strict", "recall", "COPY: same_product (1)", "crop", "micro-AP"):
        assert word in text
    assert "nan" not in text


def test_the_csv_has_every_answer_and_the_listings_without_one(tmp_path: Path) -> None:
    report.write_csv(tmp_path / "answers.csv", LISTINGS)
    with (tmp_path / "answers.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == ["c1", "c2", "c2", "c3", "r1", "s1", "u1"]
    assert (rows[0]["right"], rows[0]["found_edits"], rows[1]["right"]) == ("1", "CROPPED", "0")
    assert rows[3]["answer"] == ""


def test_a_sheet_shows_false_alarms_beside_what_they_were_taken_for() -> None:
    (pair,) = sheets.false_alarms(Metrics(LISTINGS))
    assert (pair.listing, pair.original) == ("s1", "x")
    assert pair.captions == ("same_product", "0.700 REVIEW EDITED")


def test_what_is_clear_is_no_false_alarm_however_high_its_score() -> None:
    harmless = one("s2", "same_product", Answer("x", 0.9, "CLEAR", "EDITED"))
    mixed = one("s3", "unrelated", Answer("y", 0.8, "CLEAR"), Answer("z", 0.5, "COPY", "EXACT"))
    assert sheets.false_alarms(Metrics([harmless])) == []
    (pair,) = sheets.false_alarms(Metrics([harmless, mixed]))
    assert (pair.listing, pair.original) == ("s3", "z")


def test_a_sheet_shows_misses_worst_first_beside_the_right_original() -> None:
    pairs = sheets.misses(Metrics(LISTINGS))
    assert [(pair.listing, pair.captions) for pair in pairs] == [
        ("c3", ("blur", "not answered")),
        ("c2", ("crop+text", "0.400, rank 2")),
    ]
    assert {pair.original for pair in pairs} == {"own"}


def test_a_sheet_is_a_picture_of_both_and_survives_one_that_can_not_be_read(
    tmp_path: Path,
) -> None:
    pictures = {"a": encode(draw(1, (300, 200))), "b": encode(draw(2, (90, 200))), "bad": b"x"}
    pairs = [sheets.Pair("a", "b", ("left", "right")), sheets.Pair("bad", "", ("bad", ""))]
    sheets.draw(tmp_path / "sheet.png", pairs, pictures.__getitem__, "Both")
    with Image.open(tmp_path / "sheet.png") as opened:
        pixels = np.asarray(opened.convert("RGB"))
    # The left picture is as wide as its place, the right one as high; both are drawn there.
    left, right = pixels[40:240, 12:212], pixels[40:240, 224:424]
    assert left.std() > 10 and right.std() > 10
    sheets.draw(tmp_path / "none.png", [], pictures.__getitem__, "Nothing")
    assert (tmp_path / "none.png").stat().st_size > 0


def test_without_a_listing_that_copies_nothing_a_miss_is_what_was_not_answered() -> None:
    pairs = sheets.misses(Metrics([each for each in LISTINGS if each.role == "copy"]))
    assert [pair.listing for pair in pairs] == ["c3"]
