"""Collect the signals of every candidate of every listing of an evaluation folder.

    python -m scripts.collect --data DIR --out pairs.npz [--encoder sscd_distilled]

The folder has the form that `scripts/evaluate.py` reads. Whatever the gate thinks, all
candidates are verified, so that `scripts/fit.py` can fit the gate as well. The signals come
from the code that serves; an original that the registry refuses is named and left out.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from index.catalogue import Catalogue, CatalogueConfig
from index.spaces import Space
from models.batcher import Batcher
from models.fingerprint import Fingerprinter
from models.images import ImageFeatureless, decode
from models.sscd import SscdEncoder
from scripts.evaluation_data import Data, load
from service.matching.clock import Clock
from service.matching.score import ScoreModels
from service.matching.signals import SIGNALS
from service.matching.weigh import Weigher
from service.registry import Registry, Submission

ROLES = ("copy", "same_product", "unrelated", "restyled", "burst")
BRAND = "evaluation"
console = Console(stderr=True)


def register(data: Data, registry: Registry, pool: ThreadPoolExecutor) -> None:
    """Register all originals; the id is the place in `data.registered`."""

    def one(numbered: tuple[int, str]) -> None:
        number, path = numbered
        try:
            registry.register(Submission(BRAND, f"o{number}", data.read(path), path))
        except ImageFeatureless as error:
            console.print(f"{path} is not registered: {error}")

    for _ in track(
        pool.map(one, enumerate(data.registered)),
        "originals",
        len(data.registered),
        console=console,
    ):
        pass


@contextmanager
def registered(
    data: Data, encoder: str
) -> Iterator[tuple[Catalogue, Fingerprinter, ThreadPoolExecutor]]:
    """A catalogue of all originals, with what fingerprinted them and a thread for each core."""
    workers = os.cpu_count() or 1
    with (
        tempfile.TemporaryDirectory() as folder,
        Batcher(SscdEncoder(encoder, threads=1), workers=workers) as batcher,
        ThreadPoolExecutor(workers) as pool,
    ):
        printer = Fingerprinter(batcher)
        spaces = [Space(*space) for space in printer.spaces]
        config = CatalogueConfig(snapshot_changes=0)
        with Catalogue.open(Path(folder) / "store", spaces, printer.schema, config) as catalogue:
            catalogue.create_brand(BRAND)
            register(data, Registry(catalogue, printer), pool)
            yield catalogue, printer, pool


def collect(weigher: Weigher, image: bytes) -> list[tuple[str, list[float]]]:
    """The path of each verified original, and its signals in the order of `SIGNALS`."""
    found = weigher.weigh(decode(image), None, Clock(), gate=0.0)
    return [
        (
            each.candidate.record.display_name,
            [each.values.get(name, np.nan) for name in SIGNALS],
        )
        for each in found
        if each.verification is not None
    ]


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--encoder", default="sscd_distilled")
    parser.add_argument("--key-points", action="store_true", help='as key_points = "always"')
    options = parser.parse_args()
    data = load(options.data)
    listings = [asked for asked in data.listings if asked.role in ROLES]
    with registered(data, options.encoder) as (catalogue, printer, pool):
        weigher = Weigher(catalogue, printer, ScoreModels.bundled(), options.key_points)
        answers = pool.map(lambda asked: collect(weigher, data.read(asked.path)), listings)
        pairs = [
            (asked.path, original, values)
            for asked, answer in zip(
                listings, track(answers, "listings", len(listings), console=console), strict=True
            )
            for original, values in answer
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
