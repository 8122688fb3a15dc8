"""Measure Copycatch on a folder of labelled pictures, through gRPC, as a caller sees it.

    python -m scripts.evaluate --data DIR [--json FILE] [--csv FILE] [--plots DIR]
        [--config TOML] [--encoder sscd|sscd_distilled] [--policy NAME] [--callers N]
        [--limit N] [--server ADDRESS]

DIR holds `eval.csv` (see scripts/evaluation_data.py). All originals and distractors are
registered, then every listing is checked by several callers at once, asking for scores below the
review threshold too. Without --server a server is started in this process over an empty catalogue.
What the figures mean is in scripts/metrics.py.
"""

import argparse
import csv
import json
import math
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from copycatch.v1 import match_service_pb2 as pb
from copycatch.v1 import match_service_pb2_grpc
from scripts.evaluation_data import Data, DataInvalid, load
from scripts.metrics import FALSE_POSITIVE_RATES, Answer, Asked, Metrics, calibration_error
from scripts.metrics import intervals as bootstrap
from scripts.serving import connect, register, served
from service.config import ConfigInvalid

MATCHES = 10
ALONE = 100
"""Listings that one caller asks again, alone, for the latency."""


@dataclass(slots=True)
class Run:
    """What was asked, answered and timed.

    Attributes:
        asked: every listing with its answers.
        seconds: wall time of all checks by `callers` at once, and of the registration.
        alone_ms: latency of single calls with nobody else there, one for each listing asked.
        steps_ms: of each step, one value for each listing that took it.
        failures: originals that could not be registered, and why.
        info: GetServerInfo, as JSON has it.
    """

    asked: list[Asked] = field(default_factory=list)
    seconds: float = 0.0
    registration_seconds: float = 0.0
    registered: int = 0
    alone_ms: list[float] = field(default_factory=list)
    steps_ms: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[str, str] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)


class Caller:
    """Checks listings, each thread over a connection of its own."""

    def __init__(
        self, address: str, data: Data, names: Mapping[str, str], config: pb.MatchConfig
    ) -> None:
        self._address, self._data, self._names, self._config = address, data, names, config
        self._local = threading.local()
        self._lock = threading.Lock()
        self._channels: list[grpc.Channel] = []

    def __call__(self, listing: Asked) -> tuple[Asked, pb.ImageResult]:
        """Return the listing with its answers, and the answer."""
        request = pb.CheckListingRequest(
            listing=pb.Listing(
                listing_id=listing.path[-200:], images=[self._data.read(listing.path)]
            ),
            config=self._config,
        )
        result = self._stub().CheckListing(request, timeout=300).image_results[0]
        answers = tuple(
            Answer(
                self._names[match.original],
                match.score,
                pb.Verdict.Name(match.verdict),
                pb.MatchKind.Name(match.kind),
                tuple(pb.Edit.Type.Name(edit.type) for edit in match.edits),
            )
            for match in result.matches
        )
        answered = replace(
            listing,
            verdict=pb.Verdict.Name(result.verdict),
            answers=answers,
            error=result.error.message,
        )
        return answered, result

    def close(self) -> None:
        """Close all connections."""
        for channel in self._channels:
            channel.close()

    def _stub(self) -> match_service_pb2_grpc.MatchServiceStub:
        if not hasattr(self._local, "stub"):
            channel = connect(self._address)
            with self._lock:
                self._channels.append(channel)
            self._local.stub = match_service_pb2_grpc.MatchServiceStub(channel)
        stub: match_service_pb2_grpc.MatchServiceStub = self._local.stub
        return stub


def measure(
    address: str, data: Data, callers: int, policy: str, progress: Progress, *, shared: bool
) -> Run:
    """Register and ask everything.

    Args:
        shared: whether others' brands are on the server, so that answers are asked for among
            the brand of this run alone.
    """
    run = Run()
    brand = f"evaluation-{time.time_ns():x}"
    with connect(address) as channel:
        stub = match_service_pb2_grpc.MatchServiceStub(channel)
        info = stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=60)
        task = progress.add_task("register", total=len(data.registered))
        began = time.perf_counter()
        images = {path: _reader(data, path) for path in data.registered}
        names, run.failures = register(channel, brand, images, lambda: progress.advance(task))
        run.registration_seconds, run.registered = time.perf_counter() - began, len(names)
    run.info = {
        "version": info.version,
        "schema": info.schema,
        "encoders": [f"{e.name}@{e.weights_sha256[:8]} on {e.device}" for e in info.encoders],
        "clip": info.clip,
        "policy": policy or info.policy,
        "model": info.model,
    }
    config = pb.MatchConfig(
        brands=[f"brands/{brand}"] if shared else [],
        max_matches=MATCHES,
        min_score=0.0,
        policy=policy,
    )
    caller = Caller(address, data, names, config)
    try:
        task = progress.add_task("check", total=len(data.listings))
        began = time.perf_counter()
        with ThreadPoolExecutor(callers, thread_name_prefix="caller") as pool:
            for answered, result in pool.map(caller, data.listings):
                run.asked.append(answered)
                for step, spent in result.steps_ms.items():
                    run.steps_ms[step].append(spent)
                progress.advance(task)
        run.seconds = time.perf_counter() - began
        spread = data.limited(ALONE).listings
        task = progress.add_task("one caller", total=len(spread))
        for listing in spread:
            began = time.perf_counter()
            caller(listing)
            run.alone_ms.append((time.perf_counter() - began) * 1000)
            progress.advance(task)
    finally:
        caller.close()
    return run


def report(run: Run, callers: int) -> dict[str, Any]:
    """Return all figures, in the form of the JSON file."""
    metrics = Metrics(run.asked)
    recall_at_p90, threshold = metrics.recall_at_p90()
    rates = [f"{rate:g}" for rate in FALSE_POSITIVE_RATES]
    both = ["COPY", "REVIEW"]
    counts = {role: len(metrics.of(role)) for role in sorted({a.role for a in run.asked})}
    return {
        "micro_ap": metrics.micro_ap(),
        "recall_at_p90": recall_at_p90,
        "recall_at_p90_threshold": threshold,
        "recall_at_fpr": {rate: metrics.recall_at_fpr(rate) for rate in rates},
        "threshold_at_fpr": metrics.thresholds,
        "restyled_recall_at_fpr": {r: metrics.restyled_recall_at_fpr(r) for r in rates},
        "copy_rate": metrics.verdict_rate(["COPY"]),
        "review_rate": metrics.verdict_rate(both),
        "restyled_copy_rate": {
            f: metrics.restyled_rate(f, ["COPY"]) for f in ("strong", "medium", "weak")
        },
        "restyled_review_rate": {
            f: metrics.restyled_rate(f, both) for f in ("strong", "medium", "weak")
        },
        "ms_per_listing": run.seconds * 1000 / len(run.asked),
        "callers": callers,
        "latency_ms_one_caller": {
            "p50": statistics.median(run.alone_ms),
            "p90": statistics.quantiles(run.alone_ms, n=10)[-1] if len(run.alone_ms) > 1 else None,
            "listings": len(run.alone_ms),
        },
        "steps_ms_median": {s: statistics.median(v) for s, v in run.steps_ms.items()},
        "rank1": metrics.rank1(),
        "recall_by_edit_at_fpr_0.01": metrics.recall_by_edit("0.01"),
        "expected_calibration_error": calibration_error(*metrics.calibrated("shown")),
        "calibration_error": {
            which: calibration_error(*metrics.calibrated(which))
            for which in ("shown", "best", "all")
        },
        "confidence_95": bootstrap(run.asked),
        "listings": counts,
        "registered": run.registered,
        "registration_failures": run.failures,
        "registration_seconds": run.registration_seconds,
        "errors": {a.path: a.error for a in run.asked if a.error},
        "server": run.info,
    }


def plain(value: Any) -> Any:
    """Return the same for JSON, which has neither NaN nor infinity: they become null."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show(figures: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    bounds = figures["confidence_95"]
    table = Table(
        "figure", "value", "95 % interval", title="Copycatch, " + figures["server"]["policy"]
    )

    def add(name: str, value: float, key: str = "") -> None:
        low, high = bounds.get(key, (math.nan, math.nan))
        table.add_row(name, _number(value), f"{low:.3f} - {high:.3f}" if low == low else "")

    add("micro-AP of copies", figures["micro_ap"], "micro_ap")
    add("recall at 90 % precision", figures["recall_at_p90"], "recall_at_p90")
    for rate, value in figures["recall_at_fpr"].items():
        add(f"copies found at {float(rate):.1%} false alarms", value, f"recall_at_fpr/{rate}")
    for rate, kinds in figures["restyled_recall_at_fpr"].items():
        for kind, value in kinds.items():
            key = f"restyled_recall_at_fpr/{rate}/{kind}"
            add(f"strong restyles at {float(rate):.1%}: {kind}", value, key)
    for name, words in (("copy_rate", "COPY"), ("review_rate", "COPY or REVIEW")):
        for role, value in figures[name].items():
            add(f"{words}: {role} ({figures['listings'][role]})", value, f"{name}/{role}")
    for role, value in figures["rank1"].items():
        add(f"own original first: {role}", value)
    key = "expected_calibration_error"
    add("calibration error of shown scores", figures[key], key)
    add(
        f"ms per listing, {figures['callers']} callers (wall / listings)", figures["ms_per_listing"]
    )
    add("ms of a call, one caller, median", figures["latency_ms_one_caller"]["p50"])
    console.print(table)
    edits = Table("edit", "copies", "found at 1 %", "COPY", "alone", "found at 1 %")
    for edit, row in figures["recall_by_edit_at_fpr_0.01"].items():
        edits.add_row(edit, *(_number(value) for value in row.values()))
    console.print(edits)
    steps = ", ".join(f"{name} {ms:.1f}" for name, ms in figures["steps_ms_median"].items())
    console.print(f"median ms of each step: {steps}")
    console.print(f"registered {figures['registered']} in {figures['registration_seconds']:.0f} s")
    for kind in ("registration_failures", "errors"):
        for path, why in list(figures[kind].items())[:10]:
            console.print(f"{kind.replace('_', ' ')}: {path}: {why}", markup=False)
        if len(figures[kind]) > 10:
            console.print(f"... and {len(figures[kind]) - 10} more")


def write_csv(path: Path, asked: Sequence[Asked]) -> None:
    """Write a line for each answer, and one for a listing without answers."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(
            "path role original edits fidelity group verdict error rank answer score right "
            "answer_verdict kind found_edits".split()
        )
        for q in asked:
            listing = [q.path, q.role, q.original, "+".join(q.edits), q.fidelity, q.group]
            listing += [q.verdict, q.error]
            if not q.answers:
                out.writerow([*listing, *[""] * 7])
            for rank, a in enumerate(q.answers, start=1):
                right = int(a.original == q.original)
                found = "+".join(a.edits)
                out.writerow(
                    [*listing, rank, a.original, f"{a.score:.6f}", right, a.verdict, a.kind, found]
                )


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with eval.csv")
    parser.add_argument("--json", type=Path, help="write all figures")
    parser.add_argument("--csv", type=Path, help="write every answer")
    parser.add_argument("--plots", type=Path, help="draw curves and contact sheets (matplotlib)")
    parser.add_argument("--config", type=Path, help="settings of the server, TOML")
    parser.add_argument("--encoder", choices=["sscd", "sscd_distilled"])
    parser.add_argument("--policy", default="", help="strict, balanced or recall")
    parser.add_argument("--callers", type=int, default=4, help="callers at once")
    parser.add_argument("--limit", type=int, help="ask only N listings: a trial, no measurement")
    parser.add_argument("--server", help="address of a running server, which keeps the brand")
    chosen = parser.parse_args()
    if chosen.server and (chosen.config or chosen.encoder):
        parser.error("--config and --encoder are settings of the server; start it with them")
    if chosen.callers < 1 or (chosen.limit is not None and chosen.limit < 1):
        parser.error("--callers and --limit take numbers from 1 on")
    return chosen


def main() -> int:
    """Measure; returns the exit code."""
    chosen, console = arguments(), Console()
    draw: Callable[[Path, Data, Metrics], None] | None = None
    try:
        if chosen.plots:
            from scripts.plots import draw  # before an hour of work, not after it
        data = load(chosen.data)
        data = data.limited(chosen.limit) if chosen.limit else data
        with Progress(console=Console(stderr=True)) as progress:
            if chosen.server:
                run = measure(
                    chosen.server, data, chosen.callers, chosen.policy, progress, shared=True
                )
            else:
                values = {"encoder": chosen.encoder} if chosen.encoder else {}
                with served(chosen.config, **values) as (address, _):
                    run = measure(
                        address, data, chosen.callers, chosen.policy, progress, shared=False
                    )
    except (DataInvalid, ConfigInvalid) as error:
        print(error, file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        print("--plots needs matplotlib: pip install matplotlib", file=sys.stderr)
        return 2
    except grpc.RpcError as error:
        print(f"the server answered {error.code().name}: {error.details()}", file=sys.stderr)
        return 1
    if chosen.csv:
        write_csv(chosen.csv, run.asked)
    figures = report(run, chosen.callers)
    figures["limited"] = bool(chosen.limit)
    if chosen.json:
        chosen.json.write_text(json.dumps(plain(figures), indent=2) + "\n", encoding="utf-8")
    show(figures, console)
    if chosen.limit:
        console.print(f"only {len(run.asked)} listings were asked: a trial, no measurement")
    if draw is not None:
        draw(chosen.plots, data, Metrics(run.asked))
        console.print(f"plots are in {chosen.plots}")
    return 0


def _number(value: float | int) -> str:
    if isinstance(value, int):
        return str(value)
    return "" if math.isnan(value) else f"{value:.1f}" if value >= 10 else f"{value:.3f}"


def _reader(data: Data, path: str) -> Callable[[], bytes]:
    return lambda: data.read(path)


if __name__ == "__main__":
    sys.exit(main())
