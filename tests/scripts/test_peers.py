"""Other detectors: asked as processes of their own, measured as Copycatch is."""

import csv
import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from scripts import peer_answers, peers
from scripts.evaluation_data import load
from service.evaluation.report import figures
from tests.kit.images import crop, draw, encode, resize

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three originals, a smaller copy of each, a hard crop, and a stranger."""
    rows = [("path", "role", "original", "edits", "fidelity", "group")]
    for i in range(3):
        picture = draw(i, (300, 240))
        (tmp_path / f"o{i}.png").write_bytes(encode(picture, "PNG"))
        (tmp_path / f"c{i}.jpg").write_bytes(encode(resize(picture, 0.6)))
        rows.append((f"o{i}.png", "original", "", "", "", ""))
        rows.append((f"c{i}.jpg", "copy", f"o{i}.png", "scale", "", ""))
    (tmp_path / "crop.jpg").write_bytes(encode(crop(draw(0, (300, 240)), 0.4)))
    (tmp_path / "s.jpg").write_bytes(encode(draw(77, (300, 240))))
    rows.append(("crop.jpg", "copy", "o0.png", "crop", "", ""))
    rows.append(("s.jpg", "unrelated", "", "", "", ""))
    with (tmp_path / "eval.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path


def test_a_hash_finds_what_was_made_smaller_and_its_rate_is_in_the_table(folder: Path) -> None:
    """imagehash is a dependency of Copycatch too, so this peer runs in any environment."""
    data = load(folder)
    asked, seconds = peers.ask(Path(sys.executable), "phash", data)
    assert seconds > 0
    verdicts = {each.path: each.verdict for each in asked}
    assert [verdicts[f"c{i}.jpg"] for i in range(3)] == ["COPY"] * 3
    assert verdicts["s.jpg"] == "CLEAR"
    best = {each.path: each.answers[0].original for each in asked}
    assert [best[f"c{i}.jpg"] for i in range(3)] == [f"o{i}.png" for i in range(3)]
    (row,) = peers.rows_of("phash", figures(asked, {"own": asked}, 0))
    found = sum(v == "COPY" for path, v in verdicts.items() if path != "s.jpg") / 4
    assert row[0] == "phash" and float(row[1]) == found and float(row[3]) == 0


def test_copycatch_has_a_row_for_each_policy_also_from_its_json(folder: Path) -> None:
    asked, _ = peers.ask(Path(sys.executable), "phash", load(folder))
    found = figures(asked, {"strict": asked, "recall": asked}, 20)
    text = json.dumps(peers.plain(found))
    rows = peers.rows_of("Copycatch", json.loads(text))
    assert [row[0] for row in rows] == ["Copycatch, strict", "Copycatch, recall"]
    assert re.fullmatch(r"\d\.\d{3} \(\d\.\d\d - \d\.\d\d\)", rows[0][1])


def test_sets_without_scores_have_no_figures_of_a_ranking(folder: Path) -> None:
    asked, _ = peers.ask(Path(sys.executable), "phash", load(folder))
    (row,) = peers.rows_of("immaculate-pdq", figures(asked, {"own": asked}, 0))
    assert row[-3:] == ["", "", ""] and row[1]


@pytest.mark.skipif(
    importlib.util.find_spec("perception") is not None, reason="perception is installed here"
)
def test_a_peer_that_fails_is_reported_with_its_reason(folder: Path) -> None:
    with pytest.raises(peers.PeersFailed, match="perception"):
        peers.ask(Path(sys.executable), "perception", load(folder))


def test_the_nearest_come_first_and_what_could_not_be_compared_not_at_all() -> None:
    alike = np.array([[0.2, -1.0, 0.9], [-1.0, -1.0, -1.0]])
    found = peer_answers.nearest(["a", "b", "c"], ["x", "y"], alike, alike > 0.5)
    assert found == {"x": [("c", 0.9, True), ("a", 0.2, False)], "y": []}


def test_every_method_is_described_and_implemented() -> None:
    assert set(peers.METHODS) == set(peer_answers.METHODS)
    assert peers.__doc__ is not None
    for method in peers.METHODS:
        assert method in peers.__doc__


def test_the_peers_are_pinned_with_hashes_and_no_address() -> None:
    text = (ROOT / "requirements/peers.txt").read_text(encoding="utf-8")
    assert "://" not in text and "index-url" not in text
    for block in re.split(r"\n(?=[a-z0-9])", text.split("make lock\n", 1)[1]):
        assert "--hash=sha256:" in block, block.splitlines()[0]
    wanted = (ROOT / "requirements/peers.in").read_text(encoding="utf-8")
    for name, version in re.findall(r"^([a-z]+)(?:\[.*\])?==(\S+)", wanted, re.MULTILINE):
        assert f"\n{name}=={version}" in text
