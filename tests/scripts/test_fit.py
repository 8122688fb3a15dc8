"""Fitting to few pairs: signals that no copy has, kinds of copy that are not there, too few."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts import fit
from scripts.additive import fit_model, log_odds
from scripts.evaluation_data import COPIES
from scripts.known import KNOWN, LIMITS
from service.matching.score import ScoreModels
from service.matching.signals import SIGNALS

NAMES = ("sscd_cosine", "layout_cosine", "tight")


@dataclass
class Folder:
    """A folder of labels with collected signals; the pictures are one, since nobody looks."""

    path: Path
    rows: list[str] = field(default_factory=lambda: ["path,role,original,edits,fidelity,group"])
    pairs: list[tuple[str, str]] = field(default_factory=list)

    def add(self, role: str, count: int) -> None:
        """Add listings of a role, each with an original of its own that it is a pair with."""
        for _ in range(count):
            number = len(self.rows)
            listing, original = f"l{number}.png", f"o{number}.png"
            for name in (listing, original):
                Image.new("RGB", (8, 8)).save(self.path / name)
            own = original if role in COPIES else ""
            strong = "strong" if role == "restyled" else ""
            self.rows += [f"{original},original,,,,", f"{listing},{role},{own},crop,{strong},"]
            self.pairs.append((listing, original if own else "o1.png"))

    def collected(self, missing: Sequence[str] = ()) -> Path:
        """Write the labels and the signals: high ones of copies, which lack some of them."""
        (self.path / "eval.csv").write_text("\n".join(self.rows) + "\n")
        own = np.array([listing[1:] == original[1:] for listing, original in self.pairs])
        rng = np.random.default_rng(3)
        values = rng.normal(np.where(own, 3.0, 0.0)[:, None], 1.0, (len(own), len(SIGNALS)))
        values[np.ix_(own, [list(SIGNALS).index(name) for name in missing])] = np.nan
        out = self.path / "pairs.npz"
        np.savez(
            out,
            names=np.array(list(SIGNALS)),
            listing=np.array([listing for listing, _ in self.pairs]),
            original=np.array([original for _, original in self.pairs]),
            values=values.astype(np.float32),
        )
        return out


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = tmp_path / "data"
    made.mkdir()
    return Folder(made)


def fitted(folder: Folder, pairs: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the script; returns its exit code."""
    words = ["fit", "--data", folder.path, "--pairs", pairs, "--out", folder.path / "score.json"]
    monkeypatch.setattr(sys, "argv", list(map(str, words)))
    return fit.main()


def test_a_signal_that_no_copy_has_gets_no_curve() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(60) < 30
    values = rng.normal(truth[:, None] * 2.0, 1.0, (60, 3))
    values[truth, 1] = np.nan
    model = fit_model(NAMES, values, truth, np.ones(60))
    assert set(model.curves) == {"sscd_cosine", "tight"}
    odds = log_odds(model, NAMES, values)
    assert odds[truth].mean() > odds[~truth].mean()


def test_without_a_copy_there_is_a_model_that_calls_nothing_one() -> None:
    values = np.random.default_rng(0).normal(0.0, 1.0, (40, 3))
    model = fit_model(NAMES, values, np.zeros(40, np.bool_), np.ones(40))
    assert not model.curves
    assert model.probability({"sscd_cosine": 9.0}) < 0.01


def test_a_small_folder_without_restyles_is_fitted_to(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.add("copy", 30)
    folder.add("unrelated", 30)
    pairs = folder.collected(missing=["inliers", *KNOWN, *LIMITS])
    assert fitted(folder, pairs, monkeypatch) == 0
    models = ScoreModels.load(folder.path / "score.json")
    assert "inliers" not in models.copy.edited.curves and models.copy.edited.curves
    assert models.about["copies"] == 30
    assert json.loads(capsys.readouterr().out)["micro_ap"] > 0.9


def test_too_few_pairs_are_refused_with_how_many_are_needed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.add("copy", 4)
    folder.add("unrelated", 9)
    assert fitted(folder, folder.collected(), monkeypatch) == 2
    told = capsys.readouterr().err
    assert "pairs of 4 copies and of 9 listings that copy nothing are too few" in told
    assert "5 of each are needed" in told and "Traceback" not in told
    assert not (folder.path / "score.json").exists()
