"""Measure Copycatch on a folder of labelled pictures, through gRPC, as a caller sees it.

    python -m scripts.evaluate --data DIR [--json FILE] [--csv FILE] [--plots DIR]
        [--config TOML] [--encoder sscd|sscd_distilled] [--policy NAME] [--callers N]
        [--limit N] [--server ADDRESS] [--held-out PAIRS.npz [--folds N]]

DIR holds `eval.csv` (see scripts/evaluation_data.py). All originals and distractors are
registered, then every listing is checked by several callers at once, asking for scores below the
review threshold too. Without --server a server is started in this process over an empty catalogue.
What the figures mean is in service/evaluation/metrics.py; the verdicts of every policy follow
from one run, since a policy only reads the score.

With --held-out nothing that is measured has been fitted to: see scripts/held_out.py.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from rich.console import Console
from rich.progress import Progress

from scripts.asking import Run, ask, register_all, time_alone
from scripts.evaluation_data import Data, DataInvalid, load
from scripts.held_out import FitFailed, ask_held_out
from scripts.serving import served
from service.config import ConfigInvalid
from service.evaluation.report import figures, number, plain, show, write_csv

Draw = Callable[[Path, Data, Run], None]


def measure(chosen: argparse.Namespace, data: Data, progress: Progress) -> Run:
    """Register and ask everything."""
    run = Run()
    settings = {"encoder": chosen.encoder} if chosen.encoder else {}
    if chosen.held_out:
        ask_held_out(
            run,
            data,
            chosen.held_out,
            progress,
            folds=chosen.folds,
            callers=chosen.callers,
            policy=chosen.policy,
            config=chosen.config,
            **settings,
        )
    elif chosen.server:
        brand = f"evaluation-{time.time_ns():x}"
        _measure(run, chosen, chosen.server, data, progress, brand, shared=True)
    else:
        with served(chosen.config, **settings) as (address, _):
            _measure(run, chosen, address, data, progress, "evaluation", shared=False)
    return run


def _measure(
    run: Run,
    chosen: argparse.Namespace,
    address: str,
    data: Data,
    progress: Progress,
    brand: str,
    *,
    shared: bool,
) -> None:
    """Register and ask one server; `shared` when others' brands are on it."""
    names = register_all(run, address, brand, data, progress)
    among = brand if shared else ""
    ask(
        run,
        address,
        data,
        names,
        progress,
        callers=chosen.callers,
        policy=chosen.policy,
        brand=among,
    )
    time_alone(run, address, data, names, progress, among)


def report(run: Run, chosen: argparse.Namespace) -> dict[str, Any]:
    """Return all figures, in the form of the JSON file."""
    alone = run.alone_ms
    return figures(run.asked, run.judgements, chosen.resamples) | {
        "held_out": bool(chosen.held_out),
        "limited": bool(chosen.limit),
        "ms_per_listing": run.seconds * 1000 / len(run.asked),
        "callers": chosen.callers,
        "latency_ms_one_caller": {
            "p50": statistics.median(alone) if alone else None,
            "p90": statistics.quantiles(alone, n=10)[-1] if len(alone) > 1 else None,
            "listings": len(alone),
        },
        "steps_ms_median": {s: statistics.median(v) for s, v in run.steps_ms.items()},
        "registered": run.registered,
        "registration_failures": run.failures,
        "registration_seconds": run.registration_seconds,
        "server": run.info,
    }


def show_run(found: dict[str, Any], console: Console) -> None:
    """Print what a run says besides the measures: speed, and what failed."""
    alone = found["latency_ms_one_caller"]["p50"]
    console.print(
        f"{found['ms_per_listing']:.0f} ms per listing with {found['callers']} callers (wall / "
        "listings)" + (f"; {number(alone)} ms a call alone, median" if alone else "")
    )
    steps = ", ".join(f"{name} {ms:.1f}" for name, ms in found["steps_ms_median"].items())
    console.print(f"median ms of each step: {steps}")
    console.print(f"registered {found['registered']} in {found['registration_seconds']:.0f} s")
    for kind in ("registration_failures", "errors"):
        for path, why in list(found[kind].items())[:10]:
            console.print(f"{kind.replace('_', ' ')}: {path}: {why}", markup=False)
        if len(found[kind]) > 10:
            console.print(f"... and {len(found[kind]) - 10} more")
    if found["limited"]:
        count = sum(found["listings"].values())
        console.print(f"only {count} listings were asked: a trial, no measurement")


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
    parser.add_argument(
        "--held-out",
        type=Path,
        metavar="PAIRS.npz",
        help="signals of scripts/collect.py; each fold is served by a model that has not seen it",
    )
    parser.add_argument("--folds", type=int, default=5, help="of --held-out")
    parser.add_argument(
        "--resamples", type=int, default=1000, help="of the bootstrap; 0 gives no intervals"
    )
    chosen = parser.parse_args()
    if chosen.server and (chosen.config or chosen.encoder):
        parser.error("--config and --encoder are settings of the server; start it with them")
    if chosen.held_out and (chosen.server or chosen.limit):
        parser.error("--held-out starts servers of its own and asks about everything")
    if chosen.callers < 1 or (chosen.limit is not None and chosen.limit < 1):
        parser.error("--callers and --limit take numbers from 1 on")
    if chosen.folds < 2 or chosen.resamples < 0:
        parser.error("--folds takes numbers from 2 on, --resamples from 0 on")
    return chosen


def main() -> int:
    """Measure; returns the exit code."""
    chosen = arguments()
    console = Console(width=None if sys.stdout.isatty() else 160)
    draw: Draw | None = None
    try:
        if chosen.plots:
            from scripts.plots import draw  # before an hour of work, not after it
        data = load(chosen.data)
        data = data.limited(chosen.limit) if chosen.limit else data
        with Progress(console=Console(stderr=True)) as progress:
            run = measure(chosen, data, progress)
    except (DataInvalid, ConfigInvalid, FitFailed) as error:
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
    found = report(run, chosen)
    if chosen.json:
        chosen.json.write_text(json.dumps(plain(found), indent=2) + "\n", encoding="utf-8")
    what = ", held out" if chosen.held_out else ""
    show(found, console, f"Copycatch{what}: {', '.join(run.info['encoders'])}")
    show_run(found, console)
    if draw is not None:
        draw(chosen.plots, data, run)
        console.print(f"plots are in {chosen.plots}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
