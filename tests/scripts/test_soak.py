"""The soak, short and for real; and that it notices what it is there to notice."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from copycatch.v1 import match_service_pb2 as pb
from scripts.soaking import pictures
from scripts.soaking.caller import Caller, Unanswered
from scripts.soaking.held import Gone, Held
from scripts.soaking.keeper import BRANDS, Post
from scripts.soaking.ledger import Ledger
from scripts.soaking.worker import Worker
from tests.service.serving import Served, serving, settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_short_soak_with_every_fault_finds_no_wrong_answer(tmp_path: Path) -> None:
    arguments = ["--minutes", "0.4", "--calm", "0.1", "--callers", "2", "--pictures", "5"]
    arguments += ["--encoder", "toy", "--stop", "1", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "scripts.soak", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert told["wrong_answers"] == 0
    assert {kind: told["faults"][kind] for kind in ("kill", "terminate", "stop")} == {
        "kill": 1,
        "terminate": 1,
        "stop": 1,
    }
    assert told["calls_by_end"]["OK"] > 7  # what it asks before and after
    assert told["notes"]["audit log verified"] == 1
    assert "0 wrong answers" in (tmp_path / "report.txt").read_text(encoding="utf-8")


def worker_of(server: Served, ledger: Ledger) -> tuple[Worker, Caller, Gone]:
    """A caller with three pictures, at a server with the brands."""
    for brand in BRANDS:
        server.create_brand(brand)
    up = threading.Event()
    up.set()
    caller, gone = Caller(server.running.address, server.secret, ledger), Gone()
    found = pictures.made_up(24, seed=3)[20:]
    held = [Held(picture, number) for number, picture in enumerate(found[:3])]
    return Worker(Post(caller, ledger, gone, up, found[3:]), held, seed=1), caller, gone


def test_it_notices_a_server_that_loses_keeps_or_mixes_up_originals(tmp_path: Path) -> None:
    """The server is right; what the soak believes is made wrong."""
    ledger = Ledger()
    with serving(settings(tmp_path, conflict_check="off")) as server:
        worker, caller, gone = worker_of(server, ledger)
        held = worker.held[0]
        worker._create(held)
        worker._check("check exact", held.picture.bytes_of(), held)
        assert ledger.wrong == []

        lost = Held(worker.held[1].picture, 1, name="brands/ash/originals/p1-1")
        worker._check("check exact", lost.picture.bytes_of(), lost)
        assert "and it is registered as brands/ash/originals/p1-1" in ledger.wrong.pop()

        kept = Held(held.picture, 0)
        gone.add(held.name)
        time.sleep(0.01)
        worker._check("check withdrawn", kept.picture.bytes_of(), kept)
        assert "nothing like it is registered" in ledger.wrong.pop()
        assert "which was withdrawn before" in ledger.wrong.pop()

        other = next(brand for brand in BRANDS if brand not in held.name)
        server.create_original("thief", held.picture.bytes_of(), other)
        worker._check("check exact", held.picture.bytes_of(), held)
        assert any("two owners" in one for one in ledger.wrong)
        caller.close()


def test_an_end_without_a_fault_is_wrong_and_within_one_is_not(tmp_path: Path) -> None:
    ledger = Ledger()
    with serving(settings(tmp_path)) as server:
        caller = Caller(server.running.address, server.secret, ledger)
        info = caller.match.GetServerInfo
        assert caller.call("info", info, pb.GetServerInfoRequest()).ready
    for excused in (False, True):
        with ledger.fault("kill", excuses=excused), pytest.raises(Unanswered):
            caller.call("info", info, pb.GetServerInfoRequest())
        assert len(ledger.wrong) == 1  # of the first
        ledger.faults.clear()
    assert "ended in UNAVAILABLE" in ledger.wrong[0]
    caller.close()
