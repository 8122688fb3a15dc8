"""Measure the memory of listings: a retroactive sweep of new originals over many listings.

    python -m scripts.bench_memory --data DIR [--listings 1000000] [--originals 100] [--json FILE]

The folder has an `eval.csv` (see "Evaluate" in the README). Some originals and their copies are
the needles: real pictures, checked and remembered as a server does, scattered among listings
with vectors drawn from a seed. Then the originals are registered and looked for. Nothing is
asserted; figures go with the seed, the machine and the command that repeats them.

`--compare` also measures the other ways to keep vectors: in memory, flat and inverted.
"""

import argparse
import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.catalogue import Catalogue, CatalogueConfig
from index.memory import Memory, MemoryConfig
from index.pieces import Batch, Sealed
from index.recall import RECALL_K, exact_positions
from index.seen import SeenListing, SeenPicture
from index.spaces import Space, scores
from index.vectors import IndexOptions
from models.batcher import Batcher
from models.detail import read_preview
from models.fingerprint import Fingerprinter
from models.print_record import PrintRecord, ViewRecord
from models.sketch import Kept, Sketch, original_queries
from models.sscd import SscdEncoder
from models.views import WHOLE
from scripts.bench_index import memory_mb, show, vectors
from scripts.evaluation_data import load
from service.matching.pipeline import Matcher
from service.matching.results import CheckOptions, Verdict
from service.registry import Registry, Submission
from service.sweeps.recall import Recall

BATCH = 1000
BRAND = "bench"
SELLERS = 5000
SMALL = 20_000
COMPARED = 1_000_000


def bulk(
    spaces: list[Space], first: int, n: int, sheets: list[Sketch], seed: int
) -> list[SeenListing]:
    """Listings with drawn vectors, each with the rendition of some real picture."""
    drawn = {space.name: vectors(space, first, n, seed) for space in spaces}
    rng = np.random.default_rng([seed, 9, first])
    listings = []
    for i in range(n):
        rows = {name: each[i] for name, each in drawn.items()}
        floats = {name: row for name, row in rows.items() if row.dtype.kind == "f"}
        view = ViewRecord(WHOLE, floats, rng.integers(0, 256, (8, 32), np.uint8), 90)
        digests = rng.bytes(32), rng.bytes(32)
        record = PrintRecord("bench", *digests, int(rng.integers(2**63)), (view,))
        look = replace(sheets[(first + i) % len(sheets)], record=record)
        picture = SeenPicture(*digests, {n: {0: row} for n, row in rows.items()}, _coded(look))
        seller = f"seller-{rng.integers(SELLERS)}"
        listings.append(SeenListing(f"bulk-{first + i}", seller, (picture,)))
    return listings


def _coded(sketch: Sketch) -> bytes:
    """`to_bytes` without coding the same rendition a million times."""
    key = id(sketch.sheet)
    if key not in _SHEETS:
        whole, record = sketch.to_bytes(), sketch.record.to_bytes(compact=True)
        _SHEETS[key] = whole[5 + len(record) :]
    record = sketch.record.to_bytes(compact=True)
    return b"\x01" + len(record).to_bytes(4, "little") + record + _SHEETS[key]


_SHEETS: dict[int, bytes] = {}


def needles(args: argparse.Namespace) -> tuple[list[str], list[tuple[str, str]]]:
    """Originals to look for, and (listing, original) pairs of their copies."""
    data = load(args.data)
    rng = np.random.default_rng(args.seed)
    copies = [each for each in data.listings if each.role in ("copy", "restyled")]
    wanted = sorted({each.original for each in copies})
    chosen = {wanted[i] for i in rng.permutation(len(wanted))[: args.originals]}
    pairs = [(each.path, each.original) for each in copies if each.original in chosen]
    return sorted(chosen), pairs


def seen(matcher: Matcher, listing_id: str, image: bytes) -> SeenListing | None:
    """Check a picture as a server does; what it would remember."""
    kept: list[Kept] = []
    matcher.check(image, CheckOptions(), keep=kept.append)
    made = [sketch for each in kept if (sketch := each())]
    if not made:
        return None
    s = made[0]
    picture = SeenPicture(s.record.sha256, s.record.pixel_sha256, s.rows(), s.to_bytes())
    return SeenListing(listing_id, "thief", (picture,))


def fill(memory: Memory, real: list[SeenListing], args: argparse.Namespace) -> float:
    """Remember everything, the real ones scattered; the seconds of the memory alone."""
    spaces = list(memory.spaces.values())
    sheets = [Sketch.from_bytes(each.pictures[0].print) for each in real[:200]]
    rng = np.random.default_rng(args.seed)
    at = np.sort(rng.integers(0, max(args.listings // BATCH, 1), len(real))).tolist()
    left: Iterator[tuple[int, SeenListing]] = iter(zip(at, real, strict=True))
    following, seconds = next(left, None), 0.0
    for part in range(max(args.listings // BATCH, 1)):
        group = bulk(spaces, part * BATCH, BATCH, sheets, args.seed)
        while following is not None and following[0] <= part:
            group.insert(int(rng.integers(len(group))), following[1])
            following = next(left, None)
        began = time.perf_counter()
        memory.remember(group)
        seconds += time.perf_counter() - began
        if sys.stderr.isatty() or part % 50 == 49:
            print(f"remembered {(part + 1) * BATCH:,}", file=sys.stderr)
    return seconds


def agreement(
    folder: Path,
    schema: str,
    spaces: list[Space],
    real: list[SeenListing],
    queries: dict[str, NDArray[Any]],
    args: argparse.Namespace,
) -> dict[str, float]:
    """Recall at 10 of a search against comparing with every row as it came, on a small set."""
    sheets = [Sketch.from_bytes(each.pictures[0].print) for each in real[:50]]
    held = bulk(spaces, 0, min(args.listings, SMALL), sheets, args.seed) + real
    shares = {}
    with Memory.open(folder, spaces, schema) as memory:
        for start in range(0, len(held), BATCH):
            memory.remember(held[start : start + BATCH])
        for name, asked in queries.items():
            space = memory.spaces[name]
            ids: dict[tuple[int, int], int] = {}
            rows: list[NDArray[Any]] = []
            for number, each in enumerate(held, start=1):
                for view, row in each.pictures[0].rows[name].items():
                    ids[number, view] = len(rows)
                    rows.append(row)
            checked = space.checked(asked)
            every = np.stack(rows)
            truth = exact_positions(space, every, checked, RECALL_K)
            good = 0
            for query, t, hits in zip(
                checked, truth, memory.search(name, checked, RECALL_K), strict=True
            ):
                least = scores(space, query, every[t]).min()  # ties are as good as each other
                found = every[[ids[hit.row.number, hit.row.view] for hit in hits]]
                good += int((scores(space, query, found) >= least - 1e-9).sum())
            shares[name] = good / truth.size
    return shares


def compare(memory: Memory, queries: dict[str, NDArray[Any]], rows: int) -> dict[str, Any]:
    """The same vectors in an index in memory: build, bytes, seconds for all queries."""
    space = memory.spaces["sscd"]
    held = np.concatenate(
        [vectors(space, first, BATCH, 7) for first in range(0, rows, BATCH)]
    ).astype(np.float16)
    batch = Batch(np.arange(rows), np.zeros(rows, np.int32), held)
    result: dict[str, Any] = {"rows": rows, "queries": len(queries["sscd"])}
    checked = space.checked(queries["sscd"])
    for name, options in (
        ("flat fp16", IndexOptions(ivf_from_rows=10**9)),
        ("ivf sq8", IndexOptions(ivf_from_rows=1)),
    ):
        before, began = memory_mb()["own_mb"], time.perf_counter()
        piece = Sealed.of(space, batch, options)
        built = time.perf_counter() - began
        began = time.perf_counter()
        piece.propose(checked, 128, None)
        result[name] = {
            "build_s": built,
            "search_s": time.perf_counter() - began,
            "own_mb": memory_mb()["own_mb"] - before,
            "recall": piece.index.recall,
        }
        del piece
    return result


def measure(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Everything, in one process."""
    data = load(args.data)
    wanted, pairs = needles(args)
    result: dict[str, Any] = {}
    with Batcher(SscdEncoder(args.encoder, threads=os.cpu_count() or 1)) as batcher:
        printer = Fingerprinter(batcher)
        spaces = [Space(*each) for each in printer.spaces]
        config = CatalogueConfig(snapshot_changes=0)
        with (
            Catalogue.open(folder / "catalogue", spaces, printer.schema, config) as catalogue,
            Memory.open(
                folder / "memory",
                spaces,
                printer.schema,
                MemoryConfig(max_listings=10**9, max_age_s=1e9),
            ) as memory,
        ):
            matcher = Matcher(catalogue, printer)
            real = [
                made
                for path, _ in pairs
                if (made := seen(matcher, path, data.read(path))) is not None
            ]
            rows = [len(each.pictures[0].rows["sscd"]) for each in real]
            prints = [len(each.pictures[0].print) for each in real]
            result["needles"] = {
                "listings": len(real),
                "views a picture": float(np.mean(rows)),
                "print bytes": float(np.mean(prints)),
            }
            seconds = fill(memory, real, args)
            stats = memory.stats()
            result["memory"] = {
                "listings": stats.listings,
                "rows": dict(stats.rows),
                "remember_per_s": stats.listings / seconds,
                "disk_gb": stats.disk_bytes / 1e9,
                "disk bytes a listing": stats.disk_bytes / stats.listings,
            }
            catalogue.create_brand(BRAND)
            registry, keys = Registry(catalogue, printer), {}
            for number, path in enumerate(wanted):
                image = data.read(path)
                keys[path] = registry.register(Submission(BRAND, f"o{number}", image)).key
            result["sweep"] = sweep(memory, catalogue, matcher, keys, pairs, data.read)
            queries = asked(catalogue, list(keys.values()))
            small = agreement(folder / "small", printer.schema, spaces, real, queries, args)
            result["recall at 10 against exact search"] = small
            if args.compare:
                result["compare"] = compare(memory, queries, min(args.listings, COMPARED))
    return result


def asked(catalogue: Catalogue, keys: list[int]) -> dict[str, NDArray[Any]]:
    """All queries of these originals, by space."""
    parts: dict[str, list[NDArray[Any]]] = {}
    for record in catalogue.by_key(keys):
        assert record is not None
        preview = read_preview(catalogue.preview(record.key))
        for space, rows in original_queries(record.vectors, preview).items():
            parts.setdefault(space, []).append(rows)
    return {space: np.concatenate(each) for space, each in parts.items()}


def sweep(
    memory: Memory,
    catalogue: Catalogue,
    matcher: Matcher,
    keys: dict[str, int],
    pairs: list[tuple[str, str]],
    read: Callable[[str], bytes],
) -> dict[str, Any]:
    """A retroactive sweep: candidates, then each one checked; what became of the needles."""
    recall = Recall(
        memory,
        catalogue,
        matcher.could_be,
        lambda sketch, entry, options: matcher.check_again(sketch, options),
    )
    before, searched, began = memory_mb()["own_mb"], 0.0, time.perf_counter()
    original = memory.search

    def timed(*given: Any, **options: Any) -> Any:
        nonlocal searched
        start = time.perf_counter()
        found = original(*given, **options)
        searched += time.perf_counter() - start
        return found

    memory.search = timed  # type: ignore[method-assign]
    listings = list(recall.listings(list(keys.values())))
    memory.search = original  # type: ignore[method-assign]
    planned = time.perf_counter() - began
    peak = memory_mb()["own_mb"]
    flagged: dict[str, set[str]] = {}
    began = time.perf_counter()
    for listing in listings:
        for picture in listing.pictures:
            answer = recall.seen(picture.location).check(CheckOptions())
            for match in answer.matches:
                if match.verdict in (Verdict.COPY, Verdict.REVIEW):
                    flagged.setdefault(listing.listing_id, set()).add(match.original)
    checked = time.perf_counter() - began
    names = {path: f"brands/{BRAND}/originals/o{i}" for i, path in enumerate(sorted(keys))}
    candidates = {listing.listing_id for listing in listings}
    now = [
        any(
            match.original == names[o] and match.verdict in (Verdict.COPY, Verdict.REVIEW)
            for match in matcher.check(read(path), CheckOptions()).matches
        )
        for path, o in pairs
    ]
    return {
        "originals": len(keys),
        "plan_s": planned,
        "of which searching_s": searched,
        "check_s": checked,
        "candidates": len(listings),
        "own_mb before": before,
        "own_mb after planning": peak,
        "needles among the candidates": float(np.mean([path in candidates for path, _ in pairs])),
        "needles found COPY or REVIEW": float(
            np.mean([names[o] in flagged.get(path, ()) for path, o in pairs])
        ),
        "needles found by a check of the picture itself": float(np.mean(now)),
        "others found": len(set(flagged) - {path for path, _ in pairs}),
    }


def main() -> None:
    """Parse, measure, print, and write JSON when asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--listings", type=int, default=1_000_000)
    parser.add_argument("--originals", type=int, default=100)
    parser.add_argument("--encoder", default="sscd_distilled")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--compare", action="store_true", help="measure indexes in memory too")
    parser.add_argument("--dir", type=Path, help="where to build; default: temporary")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=args.dir))
    try:
        command = shlex.join(["python", *sys.argv])
        result = {"command": command, "cores": os.cpu_count(), "load": os.getloadavg()[0]}
        result |= measure(folder, args)
    finally:
        shutil.rmtree(folder)
    show(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
