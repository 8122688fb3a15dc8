"""Measure forward sweeps: rate beside the bare encoder, memory, and what calls notice of them.

    python -m scripts.bench_sweep --data DIR [--listings 1000 10000] [--encoder NAME] [--json FILE]

Pictures of DIR (see scripts/evaluation_data.py) are registered, the others are encoded anew until
there are as many distinct listings as are asked for, in tar shards. Each number of listings is
swept by a server in a process of its own, started for it: memory is that of the server and of
all processes below it, the largest sum seen.

The bare loop runs the same encoder with the same threads over some of the same pictures, decoded
before, one at a time: before the sweep and after it, so that a machine that slows down
meanwhile is seen. Beside both stands what they took of the cores, which says more on a machine
that others work on. With --exact the listings are the originals' own pixels in other files, known
by their digests: what is left is what a sweep itself takes.

Then CheckListing is asked at a fixed rate without a sweep, with one, and without one again; a call
that has to wait for the one before counts from when it was due.
"""

import argparse
import io
import json
import os
import shlex
import shutil
import statistics
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from PIL import Image

from copycatch.v1 import match_service_pb2, match_service_pb2_grpc, sweep_service_pb2_grpc
from copycatch.v1 import sweep_service_pb2 as pb
from models.images import decode
from models.sscd import SscdEncoder
from scripts.bench import ENCODERS
from scripts.bench_index import show
from scripts.evaluation_data import ASKED, Data, DataInvalid, load
from scripts.serving import Apart, connect, register, served_apart

SHARD = 1_000
BARE = 200
"""Pictures of each bare loop."""
FINAL = (pb.Sweep.SUCCEEDED, pb.Sweep.CANCELLED, pb.Sweep.FAILED)
_LOOK_S = 0.25
_TIMEOUT_S = 300.0


def anew(image: bytes, seed: int) -> bytes:
    """The picture as another shop would save it: a little smaller, another quality, other bytes."""
    rng = np.random.default_rng(seed)
    with Image.open(io.BytesIO(image)) as opened:
        picture = opened.convert("RGB")
    share = float(rng.uniform(0.8, 1.0))
    size = max(round(picture.width * share), 32), max(round(picture.height * share), 32)
    stream = io.BytesIO()
    picture.resize(size, Image.Resampling.LANCZOS).save(
        stream, "JPEG", quality=int(rng.integers(70, 96))
    )
    return stream.getvalue()


def same(image: bytes, seed: int) -> bytes:
    """The very pixels in another file."""
    with Image.open(io.BytesIO(image)) as opened:
        picture = opened.convert("RGB")
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=1 + seed % 3)
    return stream.getvalue()


def chosen(args: argparse.Namespace, data: Data) -> tuple[list[str], list[str]]:
    """Paths to register, and paths to make listings of.

    Where the folder registers too few pictures, unrelated ones are registered too, and not asked.
    """
    spare = [each.path for each in data.listings if each.role == "unrelated"]
    originals = [*data.registered, *spare][: args.originals]
    taken = set(originals)
    asked = [a.path for a in data.listings if a.role in args.roles and a.path not in taken]
    if args.exact:
        asked = originals
    if len(originals) < args.originals or not asked:
        raise DataInvalid(
            f"{data.folder} has {len(data.registered)} pictures to register and {len(asked)} to "
            "ask for; ask for fewer with --originals, or for other --roles"
        )
    rng = np.random.default_rng(args.seed)
    return originals, [asked[i] for i in rng.permutation(len(asked))]


def write_shard(
    folder: Path, paths: Sequence[Path], first: int, count: int, target: Path, exact: bool
) -> None:
    """Write listings `first` to `first + count` as one tar file, each of its own seller's shop."""
    with tarfile.open(target, "w") as archive:
        for number in range(first, first + count):
            image = (folder / paths[number % len(paths)]).read_bytes()
            data = same(image, number) if exact else anew(image, number)
            seller = json.dumps({"seller": f"shop-{number % 97}"}).encode()
            for name, part in ((f"x{number:07d}.jpg", data), (f"x{number:07d}.json", seller)):
                info = tarfile.TarInfo(name)
                info.size = len(part)
                archive.addfile(info, io.BytesIO(part))


def write_listings(data: Data, paths: Sequence[str], count: int, folder: Path, exact: bool) -> None:
    """Write so many listings as shards, on all cores."""
    folder.mkdir()
    with ProcessPoolExecutor() as pool:
        shards = [
            pool.submit(
                write_shard,
                data.folder,
                [Path(path) for path in paths],
                first,
                min(SHARD, count - first),
                folder / f"{first // SHARD:05d}.tar",
                exact,
            )
            for first in range(0, count, SHARD)
        ]
        for shard in shards:
            shard.result()


def pictures(folder: Path, count: int) -> list[bytes]:
    """Some of the listings' pictures, from the first shard."""
    with tarfile.open(folder / "00000.tar") as archive:
        members = [member for member in archive if member.name.endswith(".jpg")]
        step = max(len(members) // count, 1)
        return [archive.extractfile(each).read() for each in members[::step]]  # type: ignore[union-attr]


def swept(stub: Any, manifest: Path, name: str) -> pb.Sweep:
    """Sweep a manifest to its end."""
    sweep: pb.Sweep = begun(stub, manifest, name)
    while sweep.state not in FINAL:
        time.sleep(_LOOK_S)
        sweep = stub.GetSweep(pb.GetSweepRequest(name=sweep.name))
        if sys.stderr.isatty():
            print(f"\r{sweep.counts.done_count:,} listings", end="", file=sys.stderr)
    if sweep.state != pb.Sweep.SUCCEEDED or sweep.counts.failed_count:
        raise RuntimeError(f"the sweep did not succeed: {sweep}")
    return sweep


def begun(stub: Any, manifest: Path, name: str) -> Any:
    """Start a sweep of a folder of shards."""
    forward = pb.ForwardSource(manifest=str(manifest), form=pb.ForwardSource.SHARDS)
    return stub.CreateSweep(pb.CreateSweepRequest(sweep_id=name, sweep=pb.Sweep(forward=forward)))


def bare(encoder: SscdEncoder, images: Sequence[bytes]) -> tuple[float, float]:
    """Pictures a second of the encoder alone, and milliseconds of cores for each."""
    decoded = [decode(image).rgb for image in images]
    encoder.encode(encoder.prepare(decoded[0])[None])
    began, worked = time.perf_counter(), time.process_time()
    for rgb in decoded:
        encoder.encode(encoder.prepare(rgb)[None])
    worked = time.process_time() - worked
    return len(decoded) / (time.perf_counter() - began), worked / len(decoded) * 1000


def rate(
    server: Apart, channel: grpc.Channel, manifest: Path, args: argparse.Namespace
) -> dict[str, Any]:
    """A sweep with nothing else to do, between two bare loops."""
    encoder = SscdEncoder(args.encoder, threads=server.config.encoder_threads)
    images = pictures(manifest, min(args.bare, args.most))
    before, bare_ms = bare(encoder, images)
    idle, worked = server.memory_mb(), server.cpu_s()
    stub = sweep_service_pb2_grpc.SweepServiceStub(channel)
    with server.peak() as peak:
        sweep = swept(stub, manifest, f"alone-{args.most}")
    core_ms = (server.cpu_s() - worked) / args.most * 1000
    after, bare_ms_after = bare(encoder, images)
    created, started, ended = (
        each.ToNanoseconds() / 1e9 for each in (sweep.create_time, sweep.start_time, sweep.end_time)
    )
    listings_per_s = args.most / (ended - created)
    alone = statistics.harmonic_mean([before, after])
    bare_ms = statistics.mean([bare_ms, bare_ms_after])
    counts = sweep.counts
    return {
        "listings_per_s": listings_per_s,
        "bare loop, pictures_per_s before": before,
        "bare loop, pictures_per_s after": after,
        "of the bare loop": listings_per_s / alone,
        "core_ms a listing": core_ms,
        "core_ms a picture of the bare loop": bare_ms,
        "of the bare loop, by core_ms": bare_ms / core_ms,
        "seconds": ended - created,
        "of which reading the manifest": started - created,
        "verdicts": {
            "clear": counts.clear_count,
            "review": counts.review_count,
            "copy": counts.copy_count,
        },
        "memory_mb before": idle,
        "memory_mb at most": dict(peak),
    }


def latencies_ms(channel: grpc.Channel, images: Sequence[bytes], per_s: float) -> list[float]:
    """Ask for listings at a fixed rate; milliseconds from when each call was due."""
    stub = match_service_pb2_grpc.MatchServiceStub(channel)
    began = time.perf_counter()

    def ask(number: int) -> float:
        listing = match_service_pb2.Listing(images=[images[number]])
        stub.CheckListing(
            match_service_pb2.CheckListingRequest(listing=listing), timeout=_TIMEOUT_S
        )
        return (time.perf_counter() - began - number / per_s) * 1000

    with ThreadPoolExecutor(16) as pool:
        asked = []
        for number in range(len(images)):
            time.sleep(max(began + number / per_s - time.perf_counter(), 0))
            asked.append(pool.submit(ask, number))
        return [one.result() for one in asked]


@contextmanager
def sweeping(stub: Any, manifest: Path) -> Iterator[Callable[[], int]]:
    """Sweeps for the time of the block, one after the other; yields how many listings are done."""
    ending, done = threading.Event(), [0]

    def work() -> None:
        number = before = 0
        while not ending.is_set():
            sweep = begun(stub, manifest, f"beside-{number}")
            number += 1
            while sweep.state not in FINAL and not ending.wait(_LOOK_S):
                sweep = stub.GetSweep(pb.GetSweepRequest(name=sweep.name))
                done[0] = before + sweep.counts.done_count
            before = done[0]
        if sweep.state not in FINAL:
            stub.CancelSweep(pb.CancelSweepRequest(name=sweep.name))

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(work)
        try:
            while not done[0] and not running.done():
                time.sleep(_LOOK_S)
            yield lambda: done[0]
        finally:
            ending.set()
            running.result()


def beside(channel: grpc.Channel, manifest: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Calls without a sweep, with one, and without one again, with the same pictures."""
    images = [anew(image, 10_000_000 + i) for i, image in enumerate(pictures(manifest, SHARD))]
    images = [images[i % len(images)] for i in range(args.lookups)]
    latencies_ms(channel, images[: min(20, args.lookups // 2)], args.per_s)  # warms up
    alone = latencies_ms(channel, images[: args.lookups // 2], args.per_s)
    stub = sweep_service_pb2_grpc.SweepServiceStub(channel)
    with sweeping(stub, manifest) as done:
        first, began = done(), time.perf_counter()
        along = latencies_ms(channel, images, args.per_s)
        listings_per_s = (done() - first) / (time.perf_counter() - began)
    alone += latencies_ms(channel, images[args.lookups // 2 :], args.per_s)
    without, with_ = _quantiles(alone), _quantiles(along)
    return {
        "calls_per_s": args.per_s,
        "calls": args.lookups,
        "without a sweep": without,
        "with a sweep": with_,
        "ratio of p50": with_["p50_ms"] / without["p50_ms"],
        "ratio of p99": with_["p99_ms"] / without["p99_ms"],
        "listings_per_s meanwhile": listings_per_s,
    }


def _quantiles(ms: Sequence[float]) -> dict[str, float]:
    return {f"p{q}_ms": float(np.quantile(ms, q / 100)) for q in (50, 90, 99)}


def measure(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Everything, with a server for each number of listings."""
    data = load(args.data)
    originals, asked = chosen(args, data)
    data_dir = args.data_dir or folder / "data"
    settings: dict[str, Any] = {"encoder": args.encoder, "clip": "off", "conflict_check": "off"}
    settings["sweep_roots"] = [str(folder)]
    result: dict[str, Any] = {"originals": len(originals), "encoder": args.encoder}
    with served_apart(data_dir, **settings) as server, connect(server.address) as channel:
        info = match_service_pb2_grpc.MatchServiceStub(channel).GetServerInfo(
            match_service_pb2.GetServerInfoRequest()
        )
        if not info.original_count:
            images = {path: partial(data.read, path) for path in originals}
            names, failures = register(channel, "bench", images)
            result["originals"], result["refused"] = len(names), len(failures)
        elif info.original_count < 0.95 * len(originals):
            raise DataInvalid(f"{data_dir} has {info.original_count} originals; name another one")
        config = server.config
        result["threads"] = {
            "encoder": config.threads_of_pass,
            "passes": config.passes_at_once,
            "processes": config.processes,
            "calls": config.threads,
            "sweeps": config.threads_of_sweeps,
        }
    for count in args.listings:
        args.most = count
        manifest = folder / f"listings-{count}"
        write_listings(data, asked, count, manifest, args.exact)
        with served_apart(data_dir, **settings) as server, connect(server.address) as channel:
            result[f"sweep of {count:,}"] = rate(server, channel, manifest, args)
            if count == args.listings[-1] and args.lookups:
                result["calls beside a sweep"] = beside(channel, manifest, args)
        shutil.rmtree(data_dir / "sweeps")
        shutil.rmtree(manifest)
    return result


def main() -> int:
    """Measure, print, and write JSON when asked; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with eval.csv")
    parser.add_argument("--listings", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--originals", type=int, default=2_000)
    parser.add_argument("--roles", nargs="+", choices=ASKED, default=list(ASKED))
    parser.add_argument("--exact", action="store_true", help="sweep the originals' own pixels")
    parser.add_argument("--encoder", choices=ENCODERS, default="sscd_distilled")
    parser.add_argument("--bare", type=int, default=BARE, help="pictures of each bare loop")
    parser.add_argument("--lookups", type=int, default=300, help="calls with and without a sweep")
    parser.add_argument("--per-s", type=float, default=2.0, help="calls a second")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--data-dir", type=Path, help="keeps the originals for the next run")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    if min(*args.listings, args.originals, args.bare) < 1 or args.lookups < 0 or args.per_s <= 0:
        parser.error("numbers from 1 on are taken; --lookups 0 leaves the calls out")
    command = shlex.join(["python", "-m", "scripts.bench_sweep", *sys.argv[1:]])
    result = {"command": command, "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    try:
        with tempfile.TemporaryDirectory(prefix="copycatch-") as folder:
            result |= measure(Path(folder).resolve(), args)
    except DataInvalid as error:
        print(error, file=sys.stderr)
        return 2
    show(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
