"""One caller of a soak that sweeps: each sweep ends, and finds each listing once, as it is."""

import csv
import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from copycatch.v1 import match_service_pb2, sweep_service_pb2
from scripts.soaking.caller import Unanswered
from scripts.soaking.held import Held
from scripts.soaking.keeper import Post
from scripts.soaking.worker import Worker

_SWEEP_S = 400.0
_POLL_S = 2.0
_STATE = sweep_service_pb2.Sweep.State


class Sweeper(Worker):
    """Registers and withdraws pictures of its own, and sweeps them."""

    role = "sweeper"

    def __init__(self, post: Post, held: Sequence[Held], folder: Path, seed: int) -> None:
        super().__init__(post, held, seed)
        self._folder, self._count = folder, 0
        self._chosen = random.Random(seed)

    def _once(self, ended: threading.Event, faults: threading.Event) -> None:
        self.change()
        self._sweep(ended)

    def _sweep(self, ended: threading.Event) -> None:
        self._count += 1
        sweep_id = f"s{self._count}"
        folder = self._folder / sweep_id
        folder.mkdir()
        wanted = self._write(folder)
        start = time.monotonic()
        sweep = sweep_service_pb2.Sweep(
            forward=sweep_service_pb2.ForwardSource(manifest=str(folder / "listings.csv"))
        )
        # With an id of its own a second try is the same sweep.
        request = sweep_service_pb2.CreateSweepRequest(
            sweep=sweep, sweep_id=sweep_id, request_id=sweep_id
        )
        create = self._caller.sweeps.CreateSweep
        name = self._again("create sweep", create, request).name
        get = sweep_service_pb2.GetSweepRequest(name=name)
        while True:
            found = self._again("get sweep", self._caller.sweeps.GetSweep, get)
            if found.state not in (_STATE.PLANNING, _STATE.RUNNING):
                break
            if time.monotonic() - start > _SWEEP_S:
                self._ledger.mistake(f"{name} is not done after {_SWEEP_S:g} s: {found.counts}")
                return
            time.sleep(_POLL_S)
            if ended.is_set() and time.monotonic() - start > 60:
                return
        if found.state != _STATE.SUCCEEDED:
            state = sweep_service_pb2.Sweep.State.Name(found.state)
            self._ledger.mistake(f"{name} is {state}: {found.error_message}")
            return
        self._judge_findings(name, wanted, start)
        self._ledger.note("sweeps that ended")

    def _write(self, folder: Path) -> dict[str, Held | None]:
        """Write a manifest; by listing, what is known of its picture, None for a broken file."""
        chosen: list[Held | None] = [*self.shuffled()[:4]]
        chosen += [Held(self._chosen.choice(self._strangers), -1), None]
        wanted = {}
        with (folder / "listings.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("listing_id", "path", "seller"))
            for number, held in enumerate(chosen):
                path = folder / f"{number}.jpg"
                path.write_bytes(held.picture.bytes_of() if held else b"no picture")
                rows.writerow((f"offer-{number}", path.name, "some-shop"))
                wanted[f"offer-{number}"] = held
        return wanted

    def _judge_findings(self, name: str, wanted: dict[str, Held | None], start: float) -> None:
        request = sweep_service_pb2.ListFindingsRequest(parent=name, page_size=100)
        answer = self._again("list findings", self._caller.sweeps.ListFindings, request)
        found = {one.listing_id: one for one in answer.findings}
        if len(answer.findings) != len(found) or found.keys() != wanted.keys():
            ids = sorted(one.listing_id for one in answer.findings)
            self._ledger.mistake(f"{name}: findings of {ids}, not of each listing once")
            return
        for listing, held in wanted.items():
            finding = found[listing]
            verdict = match_service_pb2.Verdict.Name(finding.verdict)
            named = [match.original for match in finding.matches]
            what = f"{name}, {listing}: {verdict} {named[:2]}"
            if held is None:
                if [one.reason for one in finding.errors] != ["IMAGE_UNDECODABLE"]:
                    self._ledger.mistake(f"{what}, of a file that is no picture")
            elif held.name and (verdict, named[:1]) != ("COPY", [held.name]):
                self._ledger.mistake(f"{what}, and it is registered as {held.name}")
            elif not held.name and verdict == "COPY":
                self._ledger.mistake(f"{what}, and nothing like it is registered")
            if any(self._gone.before(one, start) for one in named):
                self._ledger.mistake(f"{what}: matches what was withdrawn before")

    def _again(self, kind: str, method: Callable[..., Any], request: object) -> Any:
        """Call until there is an answer: a sweep outlives its server."""
        while True:
            try:
                return self._caller.call(kind, method, request)
            except Unanswered as error:
                if not error.end.startswith("UNAVAILABLE"):
                    raise
                self._wait_for_server(0.2)
