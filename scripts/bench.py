"""Throughput of CheckListing, against the encoder alone.

    python -m scripts.bench [--data DIR] [--role unrelated|copy] [--encoder NAME ...]
        [--listings N] [--originals N]

The server runs in a process of its own, as it does for its users. The bare loop runs an encoder
with the same threads over the same pictures, decoded before, one at a time: once before the calls
and once after them, so that a machine that slows down meanwhile is seen. It is run with the
encoder that serves and with `sscd`, one pass of which is the unit of the last column. Pictures
that match nothing come from the `unrelated` rows of DIR (see scripts/evaluation_data.py), or are
drawn, and those that are not CLEAR are left out and counted; with `--role copy` they are edited
copies of what is registered, and those that are CLEAR are left out. "core ms" is what the cores
worked for the server, per picture.
"""

import argparse
import io
import os
import platform
import shlex
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from copycatch.v1 import match_service_pb2 as pb
from copycatch.v1 import match_service_pb2_grpc
from models.images import decode
from models.sscd import SscdEncoder
from scripts.evaluation_data import DataInvalid, load
from scripts.serving import Apart, connect, register, served_apart
from service.cores import cores
from tests.kit.images import draw

CALLERS = (1, 4, 16)
ENCODERS = ("sscd", "sscd_distilled")
UNIT = "sscd"
_TIMEOUT_S = 300.0


def bare_per_s(encoder: SscdEncoder, images: Sequence[bytes]) -> float:
    """Return pictures a second of the encoder alone; decoding is not timed."""
    pictures = [decode(image).rgb for image in images]
    encoder.encode(encoder.prepare(pictures[0])[None])
    began = time.perf_counter()
    for rgb in pictures:
        encoder.encode(encoder.prepare(rgb)[None])
    return len(pictures) / (time.perf_counter() - began)


def asked_per_s(
    server: Apart, images: Sequence[bytes], callers: int
) -> tuple[float, list[float], float]:
    """Ask as several callers.

    Returns:
        Pictures a second, the milliseconds of each call, and the milliseconds that cores worked
        for the server, per picture.
    """
    with ThreadPoolExecutor(callers) as pool:
        local = threading.local()
        channels = []

        def call(image: bytes) -> float:
            if not hasattr(local, "stub"):
                channels.append(connect(server.address))
                local.stub = match_service_pb2_grpc.MatchServiceStub(channels[-1])
            began = time.perf_counter()
            local.stub.CheckListing(_request(image), timeout=_TIMEOUT_S)
            return (time.perf_counter() - began) * 1000

        list(pool.map(call, images[: 2 * callers]))
        worked_s, began = server.cpu_s(), time.perf_counter()
        latencies_ms = list(pool.map(call, images))
        seconds, worked_s = time.perf_counter() - began, server.cpu_s() - worked_s
    for channel in channels:
        channel.close()
    return len(images) / seconds, latencies_ms, worked_s * 1000 / len(images)


def bench(
    name: str,
    originals: dict[str, Callable[[], bytes]],
    images: Sequence[bytes],
    copied: bool,
    console: Console,
) -> None:
    """Measure one encoder and print its table; `copied` asks of pictures that match."""
    with (
        tempfile.TemporaryDirectory(prefix="copycatch-") as folder,
        served_apart(Path(folder), encoder=name, clip="off") as server,
    ):
        config = server.config
        with connect(server.address) as channel:
            names, failures = register(channel, "bench", originals)
            stub = match_service_pb2_grpc.MatchServiceStub(channel)
            asked = [
                image
                for image in images
                if (stub.CheckListing(_request(image), timeout=_TIMEOUT_S).verdict != pb.CLEAR)
                == copied
            ]
        console.print(
            f"\n{name}: {len(names)} originals ({len(failures)} refused), {len(asked)} listings; "
            f"{len(images) - len(asked)} that were {'' if copied else 'not '}CLEAR are left out; "
            f"{config.passes_at_once} passes of {config.threads_of_pass} threads at once, "
            f"worker threads {config.threads}, batch {config.batch_size}"
        )
        if not asked:
            raise DataInvalid("no listing is left to ask for; name other pictures with --data")
        encoders = {
            each: SscdEncoder(each, threads=config.encoder_threads) for each in (name, UNIT)
        }
        before = {each: bare_per_s(encoder, asked) for each, encoder in encoders.items()}
        rows = [(callers, *asked_per_s(server, asked, callers)) for callers in CALLERS]
        after = {each: bare_per_s(encoder, asked) for each, encoder in encoders.items()}
    bare, unit = (statistics.harmonic_mean([before[x], after[x]]) for x in (name, UNIT))
    table = Table(
        *("callers", "a second", "of its loop", f"of {UNIT}'s", "p50 ms", "p99 ms"),
        *("core ms", "p50 passes"),
        title=name,
    )
    for callers, per_s, latencies_ms, core_ms in rows:
        p50, p99 = np.quantile(latencies_ms, [0.5, 0.99])
        table.add_row(
            str(callers),
            f"{per_s:.1f}",
            f"{per_s / bare:.2f}",
            f"{per_s / unit:.2f}",
            f"{p50:.1f}",
            f"{p99:.1f}",
            f"{core_ms:.0f}",
            f"{p50 * unit / 1000:.1f}",
        )
    console.print(table)
    for each, first in before.items():
        console.print(f"bare loop of {each}: {first:.1f} a second before, {after[each]:.1f} after")


def pictures(
    folder: Path | None, role: str, original_count: int, listing_count: int
) -> tuple[dict[str, Callable[[], bytes]], list[bytes]]:
    """Return originals to read and listings, of a folder or drawn."""
    if folder is None:
        originals: dict[str, Callable[[], bytes]] = {
            f"drawn {i}": partial(_drawn, i) for i in range(original_count)
        }
        return originals, [_drawn(1_000_000 + i) for i in range(listing_count)]
    data = load(folder)
    chosen = data.registered[:original_count]
    among = set(chosen)
    asked = [
        each.path
        for each in data.listings
        if each.role == role and (not each.original or each.original in among)
    ]
    # Of all that there are, so that edits that lie one after the other do not decide.
    listings = asked[:: max(1, len(asked) // listing_count)][:listing_count]
    if not listings:
        raise DataInvalid(f"{folder} has no rows of role {role} to ask for; add some")
    return {p: partial(data.read, p) for p in chosen}, [data.read(path) for path in listings]


def main() -> int:
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with eval.csv")
    parser.add_argument("--role", choices=("unrelated", "copy"), default="unrelated")
    parser.add_argument("--encoder", choices=ENCODERS, nargs="+", default=ENCODERS)
    parser.add_argument("--listings", type=int, default=200)
    parser.add_argument("--originals", type=int, default=300)
    chosen = parser.parse_args()
    if chosen.listings < 1 or chosen.originals < 1:
        parser.error("--listings and --originals take numbers from 1 on")
    if chosen.role == "copy" and chosen.data is None:
        parser.error("--role copy needs --data, a folder with copies of its originals")
    console = Console()
    console.print(
        f"{_processor()}, {cores()} of {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}\npython -m scripts.bench {shlex.join(sys.argv[1:])}"
    )
    try:
        originals, images = pictures(chosen.data, chosen.role, chosen.originals, chosen.listings)
        for name in chosen.encoder:
            bench(name, originals, images, chosen.role == "copy", console)
    except DataInvalid as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _request(image: bytes) -> pb.CheckListingRequest:
    return pb.CheckListingRequest(listing=pb.Listing(images=[image]))


def _drawn(seed: int) -> bytes:
    stream = io.BytesIO()
    draw(seed, (800, 600)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
