"""Held-out evaluation: folds that share no product, models that have not seen what they answer."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageOps

from scripts import evaluate
from scripts.evaluation_data import Data, DataInvalid, load
from scripts.fit import KNOWN
from scripts.held_out import deal, fit_without, products
from service.evaluation.answers import Asked
from service.matching.signals import SIGNALS
from tests.kit.images import crop, draw, encode

COLUMNS = ("path", "role", "original", "edits", "fidelity", "group")


def data_of(*listings: Asked, **groups: str) -> Data:
    originals = {each.original for each in listings if each.original} | set(groups)
    return Data(Path(), tuple(sorted(originals)), listings, groups)


def test_listings_of_one_original_are_one_product_whatever_their_groups() -> None:
    found = products(
        data_of(
            Asked("a", "copy", "x", group="a"),
            Asked("b", "copy", "x", group="b"),
            Asked("c", "same_product", "", group="shoe"),
            Asked("d", "copy", "y", group="d"),
            Asked("e", "unrelated", "", group="e"),
            y="shoe",
        )
    )
    assert found["a"] == found["b"]
    assert found["c"] == found["d"]
    assert len(set(found.values())) == 3


listings = st.lists(
    st.builds(
        lambda i, original, group: (original, group or f"own{i}"),
        st.integers(0, 10**6),
        st.sampled_from(["", "x", "y", "z", "w"]),
        st.sampled_from(["", "g", "h", "i"]),
    ),
    min_size=1,
    max_size=30,
)


@settings(deadline=None)
@given(listings, st.integers(2, 5))
def test_no_product_is_in_two_folds_and_no_listing_in_none(
    drawn: list[tuple[str, str]], folds: int
) -> None:
    asked = [
        Asked(f"l{i}", "copy" if original else "unrelated", original, group=group)
        for i, (original, group) in enumerate(drawn)
    ]
    dealt = deal(data_of(*asked, x="g", w="v"), folds)
    assert dealt.keys() == {each.path for each in asked}
    assert set(dealt.values()) <= set(range(folds))
    for one in asked:
        for other in asked:
            if one.group == other.group or (one.original and one.original == other.original):
                assert dealt[one.path] == dealt[other.path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve originals with a crop and a restyle of each, and twelve strangers."""
    made = tmp_path / "data"
    made.mkdir()
    rows = []
    for i in range(12):
        picture = draw(i, (240, 200))
        (made / f"o{i}.png").write_bytes(encode(picture, "PNG"))
        (made / f"c{i}.jpg").write_bytes(encode(crop(picture, 0.8)))
        (made / f"r{i}.jpg").write_bytes(encode(ImageOps.posterize(picture, 2)))
        (made / f"u{i}.jpg").write_bytes(encode(draw(100 + i, (240, 200))))
        rows += [
            (f"o{i}.png", "original", "", "", "", ""),
            (f"c{i}.jpg", "copy", f"o{i}.png", "crop", "", ""),
            (f"r{i}.jpg", "restyled", f"o{i}.png", "cartoon: drawn", "strong", ""),
            (f"u{i}.jpg", "unrelated", "", "", "", ""),
        ]
    with (made / "eval.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return made


@pytest.fixture
def pairs(folder: Path) -> Path:
    """Signals of the form of scripts/collect.py: a copy's own original has high ones."""
    rng = np.random.default_rng(0)
    listing, original, values = [], [], []
    for asked in load(folder).listings:
        for other in {asked.original or "o0.png", "o3.png", "o5.png"}:
            listing.append(asked.path)
            original.append(other)
            own = other == asked.original
            found = rng.normal(3.0 if own else 0.0, 1.0, len(SIGNALS))
            # Known to speak against a copy whatever is fitted, and hardly ever there.
            values.append(np.where(np.isin(list(SIGNALS), list(KNOWN)), np.nan, found))
    path = folder.parent / "pairs.npz"
    np.savez(
        path,
        names=np.array(list(SIGNALS)),
        listing=np.array(listing),
        original=np.array(original),
        values=np.array(values, np.float32),
    )
    return path


def test_a_fold_is_answered_by_a_model_that_was_fitted_without_it(
    folder: Path, pairs: Path, tmp_path: Path
) -> None:
    data = load(folder)
    dealt = deal(data, 2)
    found = np.load(pairs)
    fit_without(data, pairs, 0, dealt, tmp_path / "0.json")
    about = json.loads((tmp_path / "0.json").read_text())["about"]
    assert about["pairs"] == sum(dealt[str(path)] == 1 for path in found["listing"])
    assert 0 < about["pairs"] < len(found["listing"])


def test_signals_of_another_folder_are_refused(folder: Path, pairs: Path, tmp_path: Path) -> None:
    found = dict(np.load(pairs))
    found["listing"] = np.array(["elsewhere.jpg", *found["listing"][1:]])
    np.savez(pairs, **found)
    data = load(folder)
    with pytest.raises(DataInvalid, match=r"elsewhere\.jpg"):
        fit_without(data, pairs, 0, deal(data, 2), tmp_path / "0.json")


@pytest.mark.slow
def test_every_listing_is_answered_once_and_the_report_says_that_it_is_held_out(
    folder: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy.toml").write_text('encoder = "toy"\nclip = "off"\nstore_gib = 1.0\n')
    out = tmp_path / "figures.json"
    arguments = f"evaluate --data {folder} --held-out {pairs} --folds 2 --resamples 20"
    arguments += f" --config {tmp_path / 'toy.toml'} --json {out} --csv {tmp_path / 'all.csv'}"
    monkeypatch.setattr(sys, "argv", arguments.split())
    assert evaluate.main() == 0
    figures = json.loads(out.read_text())
    assert figures["held_out"] and figures["registered"] == 12
    assert figures["listings"] == {"copy": 12, "restyled": 12, "unrelated": 12}
    assert figures["server"]["model"].count("score@") == 2
    assert set(figures["policies"]) == {"strict", "balanced", "recall"}
    with (tmp_path / "all.csv").open(newline="") as file:
        answered = {row["path"] for row in csv.DictReader(file)}
    assert answered == {each.path for each in load(folder).listings}
