"""Curves and contact sheets of an evaluation. Needs matplotlib, which the base install lacks."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot
from matplotlib.figure import Figure

from scripts.asking import Run
from scripts.evaluation_data import Data
from service.evaluation import sheets
from service.evaluation.measures import calibration_error, reliability
from service.evaluation.metrics import Metrics


def draw(folder: Path, data: Data, run: Run) -> None:
    """Write all plots into a folder, which is made when missing."""
    folder.mkdir(parents=True, exist_ok=True)
    metrics = Metrics(run.asked)
    _curve(folder / "precision_recall.png", metrics)
    _edits(folder / "recall_per_edit.png", metrics)
    _reliability(folder / "reliability.png", {p: Metrics(a) for p, a in run.judgements.items()})
    for name, pairs in (
        ("hardest_false_alarms", sheets.false_alarms(metrics)),
        ("hardest_misses", sheets.misses(metrics)),
    ):
        title = name.replace("_", " ").capitalize()
        sheets.draw(folder / f"{name}.png", pairs, data.read, f"{title}: listing, original")


def _curve(path: Path, metrics: Metrics) -> None:
    figure, axes = pyplot.subplots(figsize=(6, 5))
    found = np.cumsum(metrics.ranking[1])
    recall = found / max(len(metrics.copies), 1)
    axes.plot(recall, found / np.arange(1, len(found) + 1), drawstyle="steps-post")
    axes.axhline(0.9, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall of copies", ylabel="precision")
    axes.set_title(f"micro-AP {metrics.micro_ap():.3f}")
    _save(figure, path)


def _edits(path: Path, metrics: Metrics) -> None:
    rows = sorted(metrics.recall_by_edit("0.01").items(), key=lambda row: row[1]["recall"])
    figure, axes = pyplot.subplots(figsize=(7, 1 + 0.28 * len(rows)))
    axes.barh(
        [f"{edit} ({row['count']})" for edit, row in rows], [row["recall"] for _, row in rows]
    )
    axes.set(xlim=(0, 1), xlabel="copies found at 1 % false alarms")
    _save(figure, path)


def _reliability(path: Path, policies: Mapping[str, Metrics]) -> None:
    """Draw the share that is right over the score: of what each policy shows, and below it how
    many answers that share is of."""
    figure, (axes, below) = pyplot.subplots(
        2, 1, figsize=(5, 6.5), sharex=True, height_ratios=(4, 1)
    )
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    for policy, metrics in policies.items():
        shown = metrics.calibrated("shown")
        bins = reliability(*shown)
        label = f"{policy}, error {calibration_error(*shown):.3f}"
        axes.plot([b[0] for b in bins], [b[1] for b in bins], marker="o", label=label)
        below.plot([b[0] for b in bins], [b[2] for b in bins], marker=".")
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is right")
    axes.set_title("answers with COPY or REVIEW")
    below.set(xlabel="mean score", ylabel="answers", yscale="log")
    axes.legend()
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=110, bbox_inches="tight")
    pyplot.close(figure)
