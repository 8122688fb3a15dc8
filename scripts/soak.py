"""Load a real server for a while, do to it what happens to servers, and check every answer.

    python -m scripts.soak --minutes 30 --out soak

Callers match, import, delete and sweep, and send bad input (5 %); each knows what is registered
and what is not, so each answer has one right form: a registered picture is found under its
name, a withdrawn one never again, and no picture has two owners. After a calm phase the same
load goes on while the server is killed and started again, asked to end under load, and halted;
while callers hang up in the middle of a stream, and give calls a millisecond. At the end what the
server holds is compared with what it should hold, and the audit log is verified.

`--out` gets report.json, report.txt, soak.png (with matplotlib) and the server's log. Which
things are done with which pictures follows from `--seed`; how they interleave does not. Ends
with 1 after a wrong answer.
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from copycatch.v1 import brands_service_pb2, match_service_pb2, originals_service_pb2
from scripts.soaking import pictures, process, report
from scripts.soaking.caller import Caller
from scripts.soaking.held import Gone, Held
from scripts.soaking.keeper import BRANDS, Post
from scripts.soaking.ledger import Ledger
from scripts.soaking.sweeper import Sweeper
from scripts.soaking.worker import Worker

_STRANGERS = 12
_FAULTS_A_MINUTE = 2.0
_STUCK_S = 900.0


def main() -> None:
    """Soak, print the report, and end with 1 after a wrong answer."""
    options = _options()
    told = soak(options)
    print(report.text(told))
    raise SystemExit(bool(told["wrong_answers"]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="of all phases together")
    parser.add_argument("--calm", type=float, help="minutes without faults; a third by default")
    parser.add_argument("--out", type=Path, help="folder for the report; none is kept without it")
    parser.add_argument("--data", type=Path, help="folder of pictures, none a copy of another")
    parser.add_argument("--callers", type=int, default=5, help="beside the one that sweeps")
    parser.add_argument("--pictures", type=int, default=24, help="of each caller")
    parser.add_argument("--encoder", default="sscd_distilled", help="setting of the server")
    parser.add_argument("--stop", type=float, default=5.0, help="seconds that it is halted")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def soak(options: argparse.Namespace) -> dict[str, Any]:
    """Do it; the figures of the report."""
    with tempfile.TemporaryDirectory(prefix="copycatch-soak-") as folder:
        out: Path | None = options.out
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
        ledger = Ledger()
        with process.Server(Path(folder), options.encoder, ledger) as server:
            _run(options, server, ledger)
            starts = server.starts
        told = {
            "command": shlex.join([Path(sys.executable).name, "-m", "scripts.soak", *sys.argv[1:]]),
            "seed": options.seed,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
            "encoder": options.encoder,
            "callers": options.callers + 1,
        } | report.figures(ledger, starts)
        if out is not None:
            (out / "report.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
            (out / "report.txt").write_text(report.text(told), encoding="utf-8")
            (out / "server.log").write_bytes((Path(folder) / "server.log").read_bytes())
            if find_spec("matplotlib") is None:
                print("matplotlib is not installed: there is no plot", file=sys.stderr)
            else:
                report.plot(ledger, out / "soak.png")
    return told


def _run(options: argparse.Namespace, server: process.Server, ledger: Ledger) -> None:
    calm_s = 60 * (options.minutes / 3 if options.calm is None else options.calm)
    faults_s = 60 * options.minutes - calm_s
    main_caller = Caller(server.address, server.secret, ledger)
    for brand in BRANDS:
        request = brands_service_pb2.CreateBrandRequest(brand_id=brand)
        main_caller.call("create brand", main_caller.brands.CreateBrand, request)
    workers = _workers(options, server, ledger)
    ended, faulty, sampled = threading.Event(), threading.Event(), threading.Event()
    sampler = threading.Thread(target=process.sampling, args=(server, ledger, sampled))
    threads = [threading.Thread(target=one.run, args=(ended, faulty)) for one in workers]
    sampler.start()
    ledger.begin(report.CALM)
    try:
        for thread in threads:
            thread.start()
        ended.wait(calm_s)
        ledger.begin(report.FAULTS)
        faulty.set()
        count = max(3, round(faults_s / 60 * _FAULTS_A_MINUTE))
        process.faults(server, ledger, options.seed, faults_s, count, options.stop)
    finally:
        ledger.begin("end")
        ended.set()
        for thread in threads:
            thread.join(_STUCK_S)
            if thread.is_alive():
                ledger.mistake("a caller never got its answer")
        sampled.set()
        sampler.join()
    for worker in workers:
        worker.settle()
    held = [one for worker in workers for one in worker.held]
    _compare(main_caller, ledger, held)
    _verify_audit(server, ledger)
    main_caller.close()


def _workers(options: argparse.Namespace, server: process.Server, ledger: Ledger) -> list[Worker]:
    callers, each, seed = options.callers + 1, options.pictures, options.seed
    count = callers * each + _STRANGERS
    if options.data is None:
        found = pictures.made_up(count, seed)
    else:
        found = pictures.of_folder(options.data, count, seed)
    strangers, own = found[:_STRANGERS], found[_STRANGERS:]
    gone, made = Gone(), list[Worker]()
    for number in range(callers):
        held = [Held(one, number * each + i) for i, one in enumerate(own[number::callers])]
        caller = Caller(server.address, server.secret, ledger)
        post = Post(caller, ledger, gone, server.up, strangers)
        if number:
            made.append(Worker(post, held, seed * 1000 + number))
        else:
            made.append(Sweeper(post, held, server.sweeps, seed * 1000))
    return made


def _compare(caller: Caller, ledger: Ledger, held: list[Held]) -> None:
    """Hold what the server has against what it should have."""
    wanted = {one.name for one in held if one.name}
    found: list[str] = []
    for brand in BRANDS:
        token = ""
        while True:
            request = originals_service_pb2.ListOriginalsRequest(
                parent=f"brands/{brand}", page_size=500, page_token=token
            )
            page = caller.call("list", caller.originals.ListOriginals, request)
            found += [one.name for one in page.originals]
            token = page.next_page_token
            if not token:
                break
    for name in sorted(set(found) ^ wanted):
        told = "is there and should not be" if name in found else "was acknowledged and is lost"
        ledger.mistake(f"at the end {name} {told}")
    info = caller.call("info", caller.match.GetServerInfo, match_service_pb2.GetServerInfoRequest())
    sizes = {index.space: index.size for index in info.indexes}
    if info.original_count != len(wanted) or sizes["sscd"] != len(wanted):
        ledger.mistake(
            f"at the end there are {info.original_count} originals and {sizes['sscd']} vectors, "
            f"not {len(wanted)}"
        )
    if info.warnings:
        ledger.mistake(f"at the end the server warns: {'; '.join(info.warnings)}")


def _verify_audit(server: process.Server, ledger: Ledger) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service.cli.main", "audit", "verify", "--server", server.address],
        env=os.environ
        | {
            "COPYCATCH_API_KEY": server.secret,
            "PYTHONPATH": os.pathsep.join((str(process.ROOT), str(process.ROOT / "protos"))),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        ledger.mistake(f"the audit log does not verify: {done.stdout} {done.stderr}")
    ledger.note("audit log verified")


if __name__ == "__main__":
    main()
