"""Held-out evaluation: every listing is answered by a model that knows nothing of its product.

The groups of the folder (pictures of one product, and all listings of one original) are dealt
into folds. For each fold `scripts/fit.py` fits a score model to the collected signals of the
other folds, thresholds of the policies included, and a server that serves this model is asked
about the fold's own listings over gRPC. So everything that is measured went through the code
that serves: gate, verification, early stop, score, verdicts. All originals are registered once
and for all folds; nothing about them is fitted.
"""

import csv
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from scripts.asking import Run, ask, register_all
from scripts.evaluation_data import ASKED, FILE, Data, DataInvalid
from scripts.serving import served

SEED = 11
BRAND = "evaluation"


class FitFailed(RuntimeError):
    """A score model could not be fitted to the other folds; the message says why."""


def products(data: Data) -> dict[str, str]:
    """Name the product of each listing: the smallest sets that share no group and no original.

    Returns:
        By path of the listing the name of its product, which is the least of its names.
    """
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    for path, group in data.groups.items():
        parent[find(f"original {path}")] = find(f"group {group}")
    for listing in data.listings:
        group = find(f"group {listing.group}")
        if listing.original:
            parent[find(f"original {listing.original}")] = group
    return {listing.path: find(f"group {listing.group}") for listing in data.listings}


def deal(data: Data, folds: int) -> dict[str, int]:
    """Return the fold of each listing; products stay together and folds are of nearly one size."""
    product = products(data)
    members: dict[str, list[str]] = {}
    for path, name in product.items():
        members.setdefault(name, []).append(path)
    names = sorted(members)
    np.random.default_rng(SEED).shuffle(names)
    sizes = [0] * folds
    dealt: dict[str, int] = {}
    for name in sorted(names, key=lambda one: -len(members[one])):
        fold = int(np.argmin(sizes))
        sizes[fold] += len(members[name])
        dealt |= dict.fromkeys(members[name], fold)
    return dealt


def fit_without(data: Data, pairs: Path, fold: int, dealt: Mapping[str, int], out: Path) -> None:
    """Fit a score model to all folds but one, by `scripts/fit.py` on what is left of the data.

    Raises:
        FitFailed: it could not be fitted.
        DataInvalid: the signals are not of this folder.
    """
    found = np.load(pairs)
    unknown = sorted(set(map(str, found["listing"])) - dealt.keys())
    if unknown:
        raise DataInvalid(
            f"{pairs} has signals of {unknown[0]}, which {data.folder / FILE} does not ask for; "
            "collect them again with scripts/collect.py"
        )
    kept = np.array([dealt[str(path)] != fold for path in found["listing"]], np.bool_)
    with tempfile.TemporaryDirectory(prefix="copycatch-fold-") as name:
        rest = Path(name)
        for entry in data.folder.iterdir():
            if entry.name != FILE:
                (rest / entry.name).symlink_to(entry.resolve())
        _write_rest(data.folder / FILE, rest / FILE, fold, dealt)
        several = {"listing", "original", "values"}
        arrays = {key: found[key][kept] if key in several else found[key] for key in found.files}
        np.savez(rest / "pairs.npz", allow_pickle=False, **arrays)
        command = [sys.executable, "-m", "scripts.fit", "--data", str(rest)]
        command += ["--pairs", str(rest / "pairs.npz"), "--out", str(out)]
        root = Path(__file__).resolve().parents[1]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    if done.returncode:
        raise FitFailed(f"the model without fold {fold} could not be fitted:\n{done.stderr}")


def ask_held_out(
    run: Run,
    data: Data,
    pairs: Path,
    progress: Progress,
    *,
    folds: int,
    callers: int,
    policy: str,
    config: Path | None,
    **settings: Any,
) -> None:
    """Ask about every listing, fold by fold, and add what was answered to the run.

    Args:
        pairs: what `scripts/collect.py` wrote for the same folder and encoder.
        settings: of the servers, which outrank `config`.

    Raises:
        FitFailed, DataInvalid: see `fit_without`.
    """
    dealt = deal(data, folds)
    models: list[str] = []
    with tempfile.TemporaryDirectory(prefix="copycatch-held-out-") as name:
        folder = Path(name)
        task = progress.add_task("fit", total=folds)
        for fold in range(folds):
            fit_without(data, pairs, fold, dealt, folder / f"{fold}.json")
            progress.advance(task)
        names: Mapping[str, str] = {}
        for fold in range(folds):
            listings = tuple(one for one in data.listings if dealt[one.path] == fold)
            model = {"score_model": folder / f"{fold}.json"}
            with served(config, folder / "data", **settings, **model) as (address, _):
                names = names or register_all(run, address, BRAND, data, progress)
                part = replace(data, listings=listings)
                ask(run, address, part, names, progress, callers=callers, policy=policy)
                models.append(run.info["model"])
    run.info |= {"model": "held out: " + ", ".join(models), "thresholds": "one set for each fold"}


def _write_rest(table: Path, out: Path, fold: int, dealt: Mapping[str, int]) -> None:
    """Copy `eval.csv` without the listings of a fold."""
    with (
        table.open(encoding="utf-8-sig", newline="") as source,
        out.open("w", encoding="utf-8", newline="") as target,
    ):
        reader = csv.DictReader(source)
        columns: Sequence[str] = reader.fieldnames or []
        writer = csv.DictWriter(target, columns)
        writer.writeheader()
        writer.writerows(
            row for row in reader if row["role"] not in ASKED or dealt[row["path"]] != fold
        )
