"""Curves and contact sheets of an evaluation. Needs matplotlib, which the base install lacks."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from scripts.evaluation_data import Data
from scripts.metrics import NEGATIVE_ROLES, Asked, Metrics, reliability

HARDEST = 24
_PAIRS_IN_A_ROW = 4
_SIDE_PX = 256


def draw(folder: Path, data: Data, metrics: Metrics) -> None:
    """Write all plots into a folder, which is made when missing."""
    folder.mkdir(parents=True, exist_ok=True)
    _curve(folder / "precision_recall.png", metrics)
    _edits(folder / "recall_per_edit.png", metrics)
    _reliability(folder / "reliability.png", metrics)
    alarms = [a for a in metrics.of(*NEGATIVE_ROLES) if a.answers]
    alarms.sort(key=lambda a: -a.best)
    _sheet(
        folder / "hardest_false_alarms.png",
        data,
        [(a, max(a.answers, key=lambda m: m.score).original, a.best) for a in alarms[:HARDEST]],
    )
    expected = metrics.copies + metrics.strong
    missed = [a for a in expected if not a.own >= metrics.thresholds["0.01"]]
    missed.sort(key=lambda a: a.own)
    _sheet(folder / "hardest_misses.png", data, [(a, a.original, a.own) for a in missed[:HARDEST]])


def _curve(path: Path, metrics: Metrics) -> None:
    figure, axes = pyplot.subplots(figsize=(6, 5))
    found = np.cumsum(metrics.right)
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


def _reliability(path: Path, metrics: Metrics) -> None:
    figure, axes = pyplot.subplots(figsize=(5, 5))
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    for which in ("shown", "best"):
        bins = reliability(*metrics.calibrated(which))
        axes.plot([b[0] for b in bins], [b[1] for b in bins], marker="o", label=which)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="mean score", ylabel="share that is right")
    axes.legend()
    _save(figure, path)


def _sheet(path: Path, data: Data, pairs: Sequence[tuple[Asked, str, float]]) -> None:
    """Draw listings, each with an original at its right; of no pairs, a sheet that says so."""
    rows = max(1, -(-len(pairs) // _PAIRS_IN_A_ROW))
    figure, grid = pyplot.subplots(
        rows, 2 * _PAIRS_IN_A_ROW, figsize=(16, 2.5 * rows), squeeze=False
    )
    places: list[Axes] = list(grid.flat)
    for axes in places:
        axes.axis("off")
    if not pairs:
        figure.suptitle("none")
    for number, (asked, original, score) in enumerate(pairs):
        left, right = places[2 * number : 2 * number + 2]
        what = "+".join(asked.edits) or asked.role
        words = f"{score:.3f}" if np.isfinite(score) else "not answered"
        for axes, name, title in ((left, asked.path, what), (right, original, words)):
            axes.imshow(_thumbnail(data.read(name)))
            axes.set_title(title[:32], fontsize=7)
    _save(figure, path)


def _thumbnail(image: bytes) -> Image.Image:
    with Image.open(io.BytesIO(image)) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGBA")
    white = Image.new("RGBA", upright.size, "white")
    white.alpha_composite(upright)
    small = white.convert("RGB")
    small.thumbnail((_SIDE_PX, _SIDE_PX))
    return small


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=110, bbox_inches="tight")
    pyplot.close(figure)
