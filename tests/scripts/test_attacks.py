"""Attacks are made the same way each time, and counted for the original that they are made of."""

from pathlib import Path

import numpy as np
import pytest

from scripts.attacks import ATTACKS
from scripts.collect import registered
from scripts.evaluate_attacks import MODES, attacked, count, made
from scripts.evaluation_data import Data, DataInvalid, load
from service.matching.pipeline import Matcher
from tests.kit.images import encode, jpeg, photo

ROWS = (
    "path,role,original,edits,fidelity,group",
    "coffee.png,original,,,,",
    "chelsea.png,original,,,,",
    "copy.jpg,copy,coffee.png,jpeg,,",
    "rocket.png,unrelated,,,,",
)


@pytest.fixture
def data(tmp_path: Path) -> Data:
    for name in ("coffee", "chelsea", "rocket"):
        (tmp_path / f"{name}.png").write_bytes(encode(photo(name), "PNG"))
    (tmp_path / "copy.jpg").write_bytes(encode(jpeg(photo("coffee"))))
    (tmp_path / "eval.csv").write_text("\n".join(ROWS) + "\n", encoding="utf-8")
    return load(tmp_path)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_changes_a_picture_the_same_way_each_time(name: str) -> None:
    image, ground = photo("coffee"), photo("rocket")
    first, again = (ATTACKS[name](image, ground, np.random.default_rng(3)) for _ in range(2))
    assert first.mode == "RGB" and min(first.size) >= 64
    assert np.array_equal(np.asarray(first), np.asarray(again))
    assert first.size != image.size or np.asarray(first).std() > 10
    assert first.size != image.size or not np.array_equal(np.asarray(first), np.asarray(image))
    assert np.array_equal(np.asarray(image), np.asarray(photo("coffee")))


def test_attacks_are_counted_for_the_original_that_they_are_made_of(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {name: ATTACKS[name] for name in ("lens", "negative")}
    monkeypatch.setattr("scripts.evaluate_attacks.ATTACKS", chosen)
    with registered(data, "sscd_distilled") as (catalogue, printer, pool):
        counts = count(data, Matcher(catalogue, printer), 5, pool)
    assert counts.keys() == chosen.keys()
    assert all(found[mode] == {"COPY": 1} for found in counts.values() for mode in MODES)


def test_a_picture_is_attacked_once_and_put_on_one_that_is_not_registered(data: Data) -> None:
    assert attacked(data, 5) == [("coffee.png", "rocket.png")]
    listing = made(data, ATTACKS["on a phone"], "coffee.png", "rocket.png", 0)
    assert listing.startswith(b"\xff\xd8")


def test_a_folder_without_copies_is_refused(data: Data, tmp_path: Path) -> None:
    rows = [row for row in ROWS if ",copy," not in row]
    (tmp_path / "eval.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    with pytest.raises(DataInvalid, match="copy and unrelated"):
        attacked(load(tmp_path), 5)
