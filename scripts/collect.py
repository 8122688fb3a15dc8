"""Collect the signals of every candidate of every listing of an evaluation folder.

    python scripts/collect.py --data DIR --out pairs.npz [--encoder sscd_distilled] [--jobs 2]

The folder has the form that `scripts/evaluate.py` reads (an `eval.csv`). All candidates are
verified, whatever the gate thinks, so that `scripts/fit.py` can fit the gate as well. The
signals come from the code that serves.
"""

import argparse
import csv
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.progress import track

from index.catalogue import Catalogue, CatalogueConfig
from index.records import NewOriginal
from index.spaces import Space
from models.batcher import Batcher
from models.fingerprint import Fingerprinter
from models.images import decode
from models.sscd import SscdEncoder
from service.matching.score import ScoreModels
from service.matching.signals import SIGNALS
from service.matching.weigh import Clock, Weigher

ROLES = ("copy", "same_product", "unrelated", "restyled")
_worker: dict[str, Any] = {}


def _start(encoder: str) -> None:
    cv2.setNumThreads(1)
    batcher = Batcher(SscdEncoder(encoder, threads=1)).start()
    _worker["fingerprinter"] = Fingerprinter(batcher)


def _original(path: Path) -> NewOriginal:
    data = path.read_bytes()
    picture = decode(data)
    made = _worker["fingerprinter"].original(picture)
    return NewOriginal(
        brand="eval",
        original="o0",
        sha256=picture.sha256,
        pixel_sha256=picture.pixel_sha256,
        width_px=picture.width_px,
        height_px=picture.height_px,
        format=picture.format,
        byte_count=len(data),
        vectors=made.vectors,
        attributes=made.attributes,
        features=made.features,
    )


def _open(path: str) -> None:
    printer: Fingerprinter = _worker["fingerprinter"]
    catalogue = Catalogue.open(
        Path(path),
        [Space(*space) for space in printer.spaces],
        printer.schema,
        CatalogueConfig(snapshot_changes=0, background=False),
    )
    _worker["weigher"] = Weigher(catalogue, printer, ScoreModels.bundled())


def _listing(path: Path) -> list[tuple[str, list[float]]]:
    weigher: Weigher = _worker["weigher"]
    picture = decode(path.read_bytes())
    found = weigher.weigh(picture, None, Clock(), gate=0.0)
    return [
        (
            each.candidate.record.display_name,
            [each.values.get(name, np.nan) for name in SIGNALS],
        )
        for each in found
        if each.verification is not None
    ]


def _serve(encoder: str, folder: str, paths: list[Path]) -> list[list[tuple[str, list[float]]]]:
    _start(encoder)
    _open(folder)
    return [_listing(path) for path in paths]


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--encoder", default="sscd_distilled")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    rows = list(csv.DictReader((options.data / "eval.csv").open(encoding="utf-8")))
    registered = [row for row in rows if row["role"] in ("original", "distractor")]
    listings = [row for row in rows if row["role"] in ROLES]
    with tempfile.TemporaryDirectory() as folder:
        with ProcessPoolExecutor(
            options.jobs, initializer=_start, initargs=(options.encoder,)
        ) as pool:
            paths = [options.data / row["path"] for row in registered]
            made = list(track(pool.map(_original, paths, chunksize=8), "originals", len(paths)))
        _start(options.encoder)
        printer: Fingerprinter = _worker["fingerprinter"]
        with Catalogue.open(
            Path(folder) / "store", [Space(*space) for space in printer.spaces], printer.schema
        ) as catalogue:
            catalogue.create_brand("eval")
            from dataclasses import replace

            named = [
                replace(new, original=f"o{i}", display_name=row["path"])
                for i, (new, row) in enumerate(zip(made, registered, strict=True))
            ]
            catalogue.register_many(named)
        import shutil

        parts = options.jobs
        for part in range(1, parts):
            shutil.copytree(Path(folder) / "store", Path(folder) / f"store{part}")
        chunks = [listings[part::parts] for part in range(parts)]
        with ProcessPoolExecutor(parts) as pool:
            futures = [
                pool.submit(
                    _serve,
                    options.encoder,
                    str(Path(folder) / ("store" if part == 0 else f"store{part}")),
                    [options.data / row["path"] for row in chunk],
                )
                for part, chunk in enumerate(chunks)
            ]
            answers = {
                row["path"]: answer
                for chunk, future in zip(chunks, futures, strict=True)
                for row, answer in zip(chunk, future.result(), strict=True)
            }
    pairs = [
        (row["path"], original, values)
        for row in listings
        for original, values in answers[row["path"]]
    ]
    np.savez_compressed(
        options.out,
        names=np.array(list(SIGNALS)),
        listing=np.array([pair[0] for pair in pairs]),
        original=np.array([pair[1] for pair in pairs]),
        values=np.array([pair[2] for pair in pairs], dtype=np.float32),
    )
    print(f"{options.out}: {len(pairs)} pairs of {len(listings)} listings")


if __name__ == "__main__":
    main()
