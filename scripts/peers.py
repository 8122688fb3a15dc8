"""Measure other detectors on the same pictures, each at its own settings, in one table.

    python -m scripts.peers --data DIR [--limit N] [--methods pdq,sscd,...] [--json FILE]
        [--copycatch RESULT.json] [--environment .venv-peers]

DIR is a folder as of `scripts/evaluate.py`, and `--limit N` takes the same pictures as there.
The peers are installed by uv into an environment of their own, pinned with hashes in
requirements/peers.txt; each runs as a process of its own (scripts/peer_answers.py). Their
answers are measured by the functions that measure Copycatch; `--copycatch` adds its rows from
the JSON of `scripts/evaluate.py`.

| method | what it is |
|---|---|
| pdq | PDQ within 31 bits, quality 50 or more (hasher-matcher-actioner's rule) |
| phash | imagehash pHash within 10 of 64 bits |
| sscd | SSCD with a cosine of 0.75 or more (its README) |
| immaculate-pdq, immaculate-sscd | the command `immaculate`; sets without scores, so no ranking |
| perception | Thorn perception's local descriptors, defaults, score = share of matched points |
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.evaluation_data import Data, DataInvalid, load
from service.evaluation.answers import Answer, Asked
from service.evaluation.report import figures, number, plain

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements/peers.txt"
METHODS = ("pdq", "phash", "sscd", "immaculate-pdq", "immaculate-sscd", "perception")
UNRANKED = ("immaculate-pdq", "immaculate-sscd")
"""Answer sets without scores: what depends on a ranking means nothing for them."""


class PeersFailed(RuntimeError):
    """The environment can not be made, or a method ended with an error; the message has it."""


def environment(folder: Path) -> Path:
    """Make or update the peers' environment with uv; returns its interpreter.

    Raises:
        PeersFailed: there is no uv, or a package can not be installed.
    """
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        raise PeersFailed("uv is not to be found; install it (pip install uv) to fetch the peers")
    python = folder / "bin/python"
    if not python.exists():
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
    _run([uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(python), str(LOCK)])
    return python


def ask(python: Path, method: str, data: Data) -> tuple[list[Asked], float]:
    """Return the listings with what a method answers, and the seconds that it took.

    Raises:
        PeersFailed: it ended with an error.
    """
    with tempfile.TemporaryDirectory(prefix="copycatch-peer-") as name:
        job, out = Path(name) / "job.json", Path(name) / "answers.json"
        listings = [listing.path for listing in data.listings]
        work = {"folder": str(data.folder.resolve()), "listings": listings}
        job.write_text(json.dumps(work | {"registered": data.registered}), encoding="utf-8")
        began = time.perf_counter()
        script = str(ROOT / "scripts/peer_answers.py")
        _run([str(python), "-W", "ignore", script, method, str(job), str(out)])
        seconds = time.perf_counter() - began
        answers = json.loads(out.read_text(encoding="utf-8"))
    return [_answered(listing, answers[listing.path]) for listing in data.listings], seconds


def _answered(listing: Asked, answers: Sequence[tuple[str, float, bool]]) -> Asked:
    return replace(
        listing,
        verdict="COPY" if any(match for _, _, match in answers) else "CLEAR",
        answers=tuple(
            Answer(original, score, "COPY" if match else "CLEAR")
            for original, score, match in answers
        ),
    )


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeersFailed(
            f"{' '.join(command[:4])} ... ended with {done.returncode}:\n{done.stderr}"
        )


def rows_of(name: str, found: Mapping[str, Any]) -> list[list[str]]:
    """Return the rows of a table: one for each policy, or one for a peer's own setting."""
    bounds = found["confidence_95"]

    def cell(value: float | None, key: str) -> str:
        low, high = bounds.get(key) or (math.nan, math.nan)
        span = "" if math.isnan(low) else f" ({low:.2f} - {high:.2f})"
        return f"{number(value)}{span}" if value is not None and not math.isnan(value) else ""

    ranked = name not in UNRANKED
    rows = []
    for policy, each in found["policies"].items():
        said = [
            cell(each["copy_rate"].get(role), f"policy/{policy}/copy_rate/{role}")
            for role in ("copy", "same_product", "unrelated")
        ]
        strong = each["restyled_copy_rate"]["strong"]["all"]
        said.append(cell(strong, f"policy/{policy}/copy_rate/restyled_strong"))
        first = found["restyled_recall_at_fpr"]["0.01"]["all"]
        retrieval = [
            cell(found["micro_ap"], "micro_ap"),
            cell(found["recall_at_fpr"]["0.01"], "recall_at_fpr/0.01"),
            cell(first, "restyled_recall_at_fpr/0.01/all"),
        ]
        title = name if policy == "own" else f"{name}, {policy}"
        rows.append([title, *said, *(retrieval if ranked else ["", "", ""])])
    return rows


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with eval.csv")
    parser.add_argument("--limit", type=int, help="ask only N listings: a trial, no measurement")
    parser.add_argument("--methods", default=",".join(METHODS), help="some of them")
    parser.add_argument("--json", type=Path, help="write all figures")
    parser.add_argument("--copycatch", type=Path, help="JSON of scripts/evaluate.py, for its rows")
    parser.add_argument("--environment", type=Path, default=ROOT / ".venv-peers")
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap")
    chosen = parser.parse_args()
    chosen.methods = chosen.methods.split(",")
    if unknown := sorted(set(chosen.methods) - set(METHODS)):
        parser.error(f"--methods {unknown[0]} is none of {', '.join(METHODS)}")
    return chosen


def main() -> int:
    """Measure; returns the exit code."""
    chosen = arguments()
    console = Console(width=None if sys.stdout.isatty() else 200)
    table = Table(
        "detector",
        "COPY: copy",
        "COPY: same_product",
        "COPY: unrelated",
        "COPY: restyled, strong",
        "micro-AP",
        "copies at 1 %",
        "restyles at 1 %",
        "ms a listing",
    )
    everything: dict[str, Any] = {}
    try:
        data = load(chosen.data)
        data = data.limited(chosen.limit) if chosen.limit else data
        python = environment(chosen.environment)
        for method in chosen.methods:
            asked, seconds = ask(python, method, data)
            found = figures(asked, {"own": asked}, chosen.resamples) | {"seconds": seconds}
            everything[method] = found
            spent = f"{1000 * seconds / len(asked):.0f}"
            for row in rows_of(method, found):
                table.add_row(*row, spent)
            Console(stderr=True).print(f"{method}: {seconds:.0f} s")
    except (DataInvalid, PeersFailed) as error:
        print(error, file=sys.stderr)
        return 2
    if chosen.copycatch:
        found = json.loads(chosen.copycatch.read_text(encoding="utf-8"))
        for row in rows_of("Copycatch", found):
            table.add_row(*row, f"{found['ms_per_listing']:.0f}")
    console.print(table)
    console.print(
        "ms a listing: wall time of everything, registered pictures too, by the listings; "
        "Copycatch: of the checks alone"
    )
    if chosen.json:
        chosen.json.write_text(json.dumps(plain(everything), indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
