"""Measure the catalogue at size: memory, start-up, search, add-to-searchable, disk.

    python scripts/bench_index.py [--originals 100000] [--json FILE]

The vectors are drawn from a seed: unit vectors around cluster centres, random bits. Each start
is measured in a process of its own. Nothing is asserted; figures go with the seed, the
machine, the settings and the command that repeats them.
"""

import argparse
import importlib.metadata
import json
import multiprocessing
import os
import platform
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.catalogue import Catalogue, CatalogueConfig
from index.points import NOWHERE, PointQuery
from index.records import NewOriginal
from index.spaces import CODE_BYTES, Space

VECTORS = (Space("sscd", "float", 512), Space("layout", "float", 512), Space("pdq", "binary", 256))
POINTS = Space("points", "points", 256)
SPACES = (*VECTORS, POINTS)
ASKED_POINTS, PROBES = 270, 4
"""Key points of a listing, and the words that each is looked up with."""
SKEW = 1.13
"""Of the words' frequencies: as on 1,826 originals, a point shares its word with thirteen times as
many as if words were drawn evenly."""
SCHEMA = "bench"
BATCH = 500
BRANDS = 20
CENTRES = 2000


def vectors(space: Space, first: int, n: int, seed: int) -> NDArray[Any]:
    """Rows `first` to `first + n`, the same in every process."""
    rng = np.random.default_rng([seed, space.dimension, first])
    if space.kind == "binary":
        return rng.integers(0, 256, (n, space.width), dtype=np.uint8)
    centres = np.random.default_rng([seed, space.dimension]).standard_normal(
        (CENTRES, space.dimension), dtype=np.float32
    )
    rows = centres[rng.integers(CENTRES, size=n)]
    rows = rows + rng.standard_normal(rows.shape, dtype=np.float32) * 1.2
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def points(first: int, n: int, seed: int) -> NDArray[Any]:
    """Rows of key points, likewise; a row of `index.points` each."""
    rng = np.random.default_rng([seed, POINTS.dimension, first])
    halves = np.random.default_rng([seed, 1]).lognormal(0, SKEW, (2, 256))
    upper, lower = (rng.choice(256, (n, POINTS.dimension), p=half / half.sum()) for half in halves)
    words = np.minimum(upper * 256 + lower, NOWHERE - 1).astype("<u2")
    codes = rng.integers(0, 256, (n, POINTS.dimension * CODE_BYTES), dtype=np.uint8)
    return np.concatenate([words.view(np.uint8), codes], axis=1)


def asked(row: NDArray[Any], seed: int) -> PointQuery:
    """The points of an original as an edited copy has them: a third of them, among others."""
    rng = np.random.default_rng(seed)
    others = points(seed * BATCH + 10**9, 2, 0)
    ends = 2 * POINTS.dimension
    held = np.concatenate([row[None], others])
    words = held[:, :ends].view("<u2").reshape(-1)
    codes = held[:, ends:].reshape(-1, CODE_BYTES)
    chosen = rng.permutation(len(words))[:ASKED_POINTS]
    more = words[rng.integers(0, len(words), (ASKED_POINTS, PROBES - 1))]
    flips = np.packbits(rng.random((ASKED_POINTS, 8 * CODE_BYTES)) < 0.15, axis=1)
    noise = rng.integers(0, 256, (ASKED_POINTS, PROBES - 1, CODE_BYTES), dtype=np.uint8)
    return PointQuery(
        np.concatenate([words[chosen][:, None], more], axis=1).astype(np.uint16),
        np.concatenate([(codes[chosen] ^ flips)[:, None], noise], axis=1),
    )


def batch(first: int, n: int, args: argparse.Namespace) -> list[NewOriginal]:
    """Originals with the vectors of these rows."""
    rows = {space.name: vectors(space, first, n, args.seed) for space in VECTORS}
    rows[POINTS.name] = points(first, n, args.seed)
    rng = np.random.default_rng([args.seed, first])
    return [
        NewOriginal(
            brand=f"brand-{(first + i) % BRANDS:02d}",
            original=f"photo-{first + i:07d}",
            sha256=rng.bytes(32),
            pixel_sha256=rng.bytes(32),
            width_px=1500,
            height_px=1500,
            format="JPEG",
            byte_count=200_000,
            vectors={name: row[i] for name, row in rows.items()},
            attributes={"pdq_quality": 90, "phash": int(rng.integers(2**63))},
            preview=rng.bytes(args.preview_bytes),
            features=rng.bytes(args.features_bytes),
        )
        for i in range(n)
    ]


def build(path: Path, args: argparse.Namespace) -> dict[str, float]:
    """Register everything in batches; the time of the catalogue alone."""
    with Catalogue.open(path, SPACES, SCHEMA) as catalogue:
        for i in range(BRANDS):
            catalogue.create_brand(f"brand-{i:02d}")
        seconds = 0.0
        for first in range(0, args.originals, BATCH):
            news = batch(first, min(BATCH, args.originals - first), args)
            start = time.perf_counter()
            failed = [r for r in catalogue.register_many(news) if isinstance(r, Exception)]
            seconds += time.perf_counter() - start
            if failed:
                raise failed[0]
            if sys.stderr.isatty():
                print(f"\rregistered {first + len(news):,}", end="", file=sys.stderr)
        catalogue.maintain()
        start = time.perf_counter()
        catalogue.snapshot()
        snapshot_s = time.perf_counter() - start
    return {"register_per_s": args.originals / seconds, "snapshot_s": snapshot_s}


def percentiles(run: Callable[[int], object], count: int) -> dict[str, float]:
    """p50 and p99 of so many calls, in milliseconds, after a few to warm up."""
    for i in range(5):
        run(i)
    times = []
    for i in range(count):
        start = time.perf_counter()
        run(i)
        times.append((time.perf_counter() - start) * 1e3)
    return {"p50_ms": float(np.percentile(times, 50)), "p99_ms": float(np.percentile(times, 99))}


def memory_mb() -> dict[str, float]:
    """Resident memory of this process: its own, and pages of files (the store, libraries)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = {line.split(":")[0]: line.split()[1] for line in lines if "kB" in line}
    return {
        "resident_mb": int(fields["VmRSS"]) / 1024,
        "own_mb": int(fields["RssAnon"]) / 1024,
        "files_mb": int(fields["RssFile"]) / 1024,
    }


def start_up(path: Path) -> dict[str, Any]:
    """Open in this fresh process and say how long it took and how much memory it holds."""
    before = memory_mb()["resident_mb"]
    start = time.perf_counter()
    catalogue = Catalogue.open(path, SPACES, SCHEMA, CatalogueConfig(snapshot_changes=0))
    seconds = time.perf_counter() - start
    result = {"open_s": seconds, "from": catalogue.stats().opened_from} | memory_mb()
    catalogue.close()
    return result | {"before_open_mb": before}


def searches(path: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Search and add in a fresh process."""
    config = CatalogueConfig(snapshot_changes=0)
    with Catalogue.open(path, SPACES, SCHEMA, config) as catalogue:
        result: dict[str, Any] = {}
        for space in VECTORS:
            rows = vectors(space, 0, BATCH, args.seed)
            if space.kind == "float":
                noise = np.random.default_rng(0).standard_normal(rows.shape) * 0.03
                rows = rows + noise
                rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            found = catalogue.search(space.name, rows[:100], 1)
            result[f"{space.name}, original found first"] = float(
                np.mean([neighbors[0].key == i + 1 for i, neighbors in enumerate(found)])
            )

            def search(i: int, space: Space = space, rows: NDArray[Any] = rows) -> object:
                i %= BATCH
                return catalogue.search(space.name, rows[i : i + 1], args.k)

            def of_brand(i: int, space: Space = space, rows: NDArray[Any] = rows) -> object:
                i %= BATCH
                return catalogue.search(space.name, rows[i : i + 1], args.k, brands=["brand-07"])

            def of_eight(i: int, space: Space = space, rows: NDArray[Any] = rows) -> object:
                return catalogue.search(space.name, rows[8 * (i % 60) :][:8], args.k)

            result[space.name] = percentiles(search, args.queries)
            result[f"{space.name}, one brand"] = percentiles(of_brand, args.queries)
            result[f"{space.name}, 8 queries"] = percentiles(of_eight, args.queries // 4)
        queries = [asked(row, i) for i, row in enumerate(points(0, BATCH, args.seed)[:60])]
        best = [catalogue.most_voted(query, 1) for query in queries]
        result["points, original found first"] = float(
            np.mean([found[0].key == i + 1 for i, found in enumerate(best)])
        )
        result["points"] = percentiles(
            lambda i: catalogue.most_voted(queries[i % 60], 2), args.queries // 4
        )
        rng = np.random.default_rng(args.seed)
        picked = rng.integers(1, args.originals, (args.queries, 50))
        result["50 records by key"] = percentiles(
            lambda i: catalogue.by_key(picked[i % len(picked)].tolist()), args.queries
        )
        news = batch(args.originals, BATCH, args)
        left = iter(news)
        result["add to searchable"] = percentiles(lambda i: catalogue.register(next(left)), 200)
        best = catalogue.search("sscd", np.stack([n.vectors["sscd"] for n in news[:100]]), 1)
        result["added, found first"] = float(np.mean([b[0].key > args.originals for b in best]))
        result["pieces"] = {
            s.name: [f"{p.kind}:{p.rows}" for p in s.pieces] for s in catalogue.stats().spaces
        }
    return result


def disk(path: Path) -> dict[str, float]:
    """What the catalogue takes on disk, in MB."""
    newest = max((path / "snapshots").iterdir())
    return {
        "store_mb": (path / "data.mdb").stat().st_blocks * 512 / 1e6,
        "snapshot_mb": sum(p.stat().st_size for p in newest.iterdir()) / 1e6,
    }


def fresh(run: Callable[..., Any], *given: Any) -> Any:
    """Run in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(run, *given).result()


def measure(path: Path, args: argparse.Namespace) -> dict[str, Any]:
    """All figures, in an order in which none disturbs the next."""
    result: dict[str, Any] = {"build": fresh(build, path, args), "disk": disk(path)}
    result["start from snapshot"] = fresh(start_up, path)
    snapshots = path / "snapshots"
    snapshots.rename(path / "aside")
    result["start from store"] = fresh(start_up, path)
    snapshots.rmdir()
    (path / "aside").rename(snapshots)
    result["search"] = fresh(searches, path, args)
    return result


def setting(args: argparse.Namespace) -> dict[str, Any]:
    """What has to be known to compare figures."""
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    model = [line for line in cpus if line.startswith("model name")]
    return {
        "command": shlex.join(["python", *sys.argv]),
        "seed": args.seed,
        "originals": args.originals,
        "spaces": [f"{s.name} {s.kind} {s.dimension}" for s in SPACES],
        "k": args.k,
        "preview_bytes": args.preview_bytes,
        "features_bytes": args.features_bytes,
        "cpu": model[0].split(":")[1].strip() if model else platform.machine(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "numpy": np.__version__,
        "faiss": _version("faiss-gpu") or _version("faiss-cpu"),
        "lmdb": _version("lmdb"),
    }


def _version(name: str) -> str:
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return ""


def show(values: dict[str, Any], indent: str = "") -> None:
    """Print nested figures, one a line."""
    for name, value in values.items():
        if isinstance(value, dict):
            print(f"{indent}{name}:")
            show(value, indent + "  ")
        else:
            print(f"{indent}{name}: {f'{value:.4g}' if isinstance(value, float) else value}")


def main() -> None:
    """Parse, measure, print, and write JSON when asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--originals", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=300, help="searches per figure")
    parser.add_argument("--k", type=int, default=50, help="neighbours per search")
    parser.add_argument("--preview-bytes", type=int, default=1000)
    parser.add_argument("--features-bytes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--dir", type=Path, help="where to build the catalogue; default: temporary")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    if args.originals < BATCH:
        parser.error(f"--originals is at least {BATCH}")
    folder = Path(tempfile.mkdtemp(dir=args.dir))
    try:
        result = {"setting": setting(args)} | measure(folder / "catalogue", args)
    finally:
        shutil.rmtree(folder)
    show(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
