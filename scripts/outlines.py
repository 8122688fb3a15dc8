"""Fit the weights of `models.outlines`: which rectangles are pictures pasted onto a picture.

    python -m scripts.outlines --data DIR

DIR has the form that `scripts/evaluate.py` reads. Each copy is laid over its original; its
rectangles that lie where the original lies are pasted pictures, those elsewhere are not, nor
are those of unrelated pictures and of other photographs of the product. What the cut borders
give anyway is left out, as it is when listings are looked up. Needs scikit-learn. Prints the
weights, and, over folds of listings, what a threshold keeps.
"""

import argparse
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, fields
from functools import cache
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict

from models import layout
from models.detail import Detail
from models.features import detect
from models.images import decode
from models.insets import outlines
from models.outlines import Outline
from models.views import WHOLE, Region, unframe
from scripts.evaluation_data import Data, load
from service.evaluation.answers import Asked
from service.matching.verify import Verifier
from service.matching.weigh import SAME_PART

ROLES = ("copy", "same_product", "unrelated")
_THERE, _ELSEWHERE = 0.6, 0.3
"""Overlap with the place of the original from which a rectangle is it, and below which not."""
_FILLS = 0.9
"""An original that takes more of the listing than this is not pasted onto it."""
_RECALLS = (0.98, 0.95, 0.9, 0.85, 0.8)


def labelled(
    data: Data, original: Callable[[str], Detail], asked: Asked
) -> list[tuple[Outline, bool]]:
    """The rectangles of a listing, and whether each is a pasted picture."""
    rgb = decode(data.read(asked.path)).rgb
    frame = unframe(rgb)
    found = [
        (region, outline)
        for region, outline in outlines(rgb)
        if frame is None or frame.overlap(region) < SAME_PART
    ]
    if asked.role != "copy":
        return [(outline, False) for _, outline in found]
    if not found:
        return []
    regions = [WHOLE, *([frame] if frame else []), *(region for region, _ in found)]
    parts = [
        (each, layout.grey(layout.thumbnail(np.ascontiguousarray(each.of(rgb)))))
        for each in regions
    ]
    verifier = Verifier(
        rgb, parts, lambda each, side: detect(layout.grey(np.ascontiguousarray(each.of(rgb))), side)
    )
    glance = verifier.glance(original(asked.original))
    checked = verifier.verify(verifier.points(glance, fine=True))
    place = _place(np.linalg.inv(checked.agreement.matrix))
    told = []
    for region, outline in found:
        overlap = region.overlap(place)
        if overlap > _THERE and place.area < _FILLS:
            told.append((outline, True))
        elif overlap < _ELSEWHERE:
            told.append((outline, False))
    return told


def _place(matrix: layout.Matrix) -> Region:
    """The upright part of a listing that an original takes; `matrix` is original to listing."""
    corners = matrix @ np.array([[0, 1, 1, 0], [0, 0, 1, 1], [1, 1, 1, 1.0]])
    x, y = np.clip(corners[:2] / corners[2], 0, 1)
    return Region(*(float(side) for side in (x.min(), y.min(), x.max(), y.max())))


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    data = load(parser.parse_args().data)
    listings = [asked for asked in data.listings if asked.role in ROLES]

    @cache
    def original(path: str) -> Detail:
        return Detail.of(decode(data.read(path)).rgb)

    console = Console(stderr=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = pool.map(lambda asked: labelled(data, original, asked), listings)
        told = list(track(answers, "listings", len(listings), console=console))
    values = np.array([astuple(outline) for each in told for outline, _ in each])
    pasted = np.array([label for each in told for _, label in each])
    groups = np.repeat(np.arange(len(told)), [len(each) for each in told])
    harmless = np.array([listings[at].role != "copy" for at in groups])
    count = sum(asked.role != "copy" for asked in listings)
    spread, middle = values.std(axis=0), values.mean(axis=0)
    scaled, model = (values - middle) / spread, LogisticRegression(max_iter=2_000)
    chances = cross_val_predict(
        model, scaled, pasted, groups=groups, cv=GroupKFold(5), method="predict_proba"
    )[:, 1]
    print(f"{len(values)} rectangles, {pasted.sum()} of them pasted pictures")
    print("recall of pasted pictures, threshold, rectangles kept in a listing that is no copy")
    for recall in _RECALLS:
        least = float(np.quantile(chances[pasted], 1 - recall))
        print(f"  {recall:.2f}  {least:.3f}  {(chances[harmless] >= least).sum() / count:.2f}")
    model.fit(scaled, pasted)
    weights = model.coef_[0] / spread
    for field, weight in zip(fields(Outline), weights, strict=True):
        print(f'    "{field.name}": {weight:.4g},')
    print(f"CONSTANT = {model.intercept_[0] - float(weights @ middle):.4g}")


if __name__ == "__main__":
    main()
