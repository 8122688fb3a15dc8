"""The server of a soak: a process of its own, its faults, and what it takes of the machine."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from scripts.soaking.ledger import Ledger, Sample
from service.access.keys import KeyStore
from service.access.roles import Role
from service.cli.credentials import Credentials, connect

ROOT = Path(__file__).resolve().parents[2]
_READY_S = 180.0
_ENDED_S = 90.0
_ASKING_ON_S = 1.0
"""Callers call on for so long while a server ends."""


class Server:
    """`copycatch serve`, started as often as it takes. Use it in a `with` block.

    Args:
        folder: of data, settings and log.
        encoder: the setting.
        ledger: told of what is wrong with it.
    """

    def __init__(self, folder: Path, encoder: str, ledger: Ledger) -> None:
        self.folder, self._ledger = folder, ledger
        self.sweeps = folder / "listings"
        self.sweeps.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._settings = {
            "DATA_DIR": str(folder / "data"),
            "LISTEN": self.address,
            "METRICS_LISTEN": "",
            "ENCODER": encoder,
            "CLIP": "off",
            "SWEEP_ROOTS": str(self.sweeps),
            "MEMORY_LISTINGS": "1000",
            "SNAPSHOT_CHANGES": "200",
        }
        self.up = threading.Event()
        """Whether calls are worth a try."""
        self.starts: list[float] = []
        """Seconds that each start took until calls were answered."""
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0
        self._log = (folder / "server.log").open("ab")
        with KeyStore.open(folder / "data") as keys:
            _, self.secret = keys.create("soak", Role.ADMIN)

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def start(self) -> None:
        """Start it, and wait until it answers calls."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("COPYCATCH_")}
        paths = [str(ROOT), str(ROOT / "protos"), kept.pop("PYTHONPATH", "")]
        environment = kept | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        environment |= {f"COPYCATCH_{name}": value for name, value in self._settings.items()}
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "service.cli.main", "serve"],
            cwd=self.folder,
            env=environment,
            stdout=self._log,
            stderr=self._log,
        )
        self._wait()
        self.starts.append(time.monotonic() - self._began)
        self.up.set()

    def _wait(self) -> None:
        asked = health_pb2.HealthCheckRequest()
        while time.monotonic() - self._began < _READY_S:
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended with {self.process.returncode}: see server.log")
            with connect(self.address, Credentials()) as channel:
                try:
                    stub: Any = health_pb2_grpc.HealthStub(channel)
                    answer = stub.Check(asked, timeout=2)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                except grpc.RpcError:  # it does not listen yet, and is asked again
                    pass
            time.sleep(0.1)
        raise SystemExit(f"the server was not ready within {_READY_S:g} s: see server.log")

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The process of the last start."""
        assert self._process is not None, "not started"
        return self._process

    def kill(self) -> None:
        """End it without a word, and start it again."""
        with self._ledger.fault("kill", excuses=True):
            self.up.clear()
            self.process.kill()
            self.process.wait()
            self.start()

    def terminate(self) -> None:
        """Ask it to end while calls are in work; it has to end by itself, with 0."""
        with self._ledger.fault("terminate", excuses=True):
            self.process.send_signal(signal.SIGTERM)
            try:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(_ASKING_ON_S)
                self.up.clear()
                code = self.process.wait(_ENDED_S)
                if code:
                    self._ledger.mistake(f"after SIGTERM the server ended with {code}, not 0")
            except subprocess.TimeoutExpired:
                self._ledger.mistake(f"{_ENDED_S:g} s after SIGTERM the server still ran")
                self.process.kill()
                self.process.wait()
            self.start()

    def stop(self, seconds: float) -> None:
        """Halt it for a while; calls wait and are answered then."""
        with self._ledger.fault("stop", excuses=False):
            self.process.send_signal(signal.SIGSTOP)
            time.sleep(seconds)
            self.process.send_signal(signal.SIGCONT)

    def sample(self) -> Sample | None:
        """What the process takes now; None while there is none."""
        pid, began = self.process.pid, self._began
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
            count = len(os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            return None
        values = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        if "VmRSS" not in values:  # it has ended
            return None
        now = time.monotonic()
        return Sample(
            time=now,
            process=pid,
            uptime_s=now - began,
            rss_mb=int(values["VmRSS"].split()[0]) / 1024,
            anonymous_mb=int(values["RssAnon"].split()[0]) / 1024,
            descriptors=count,
            threads=int(values["Threads"]),
        )


def sampling(server: Server, ledger: Ledger, ended: threading.Event) -> None:
    """Take a sample each second until it is over."""
    while not ended.wait(1.0):
        taken = server.sample()
        if taken is not None:
            ledger.samples.append(taken)


def faults(
    server: Server, ledger: Ledger, seed: int, seconds: float, count: int, stop_s: float
) -> None:
    """Do something to the server again and again; blocks.

    The last fifth of the time has no restarts, so that its process grows old.

    Args:
        count: of faults; each kind comes about as often.
        stop_s: how long it is halted.
    """
    rng, begun = random.Random(seed), time.monotonic()
    kinds: list[str] = []
    while len(kinds) < count:
        kinds += rng.sample(["kill", "terminate", "stop"], 3)
    moments = sorted(rng.uniform(0.02, 0.95) * seconds for _ in range(count))
    for moment, kind in zip(moments, kinds, strict=False):
        time.sleep(max(begun + moment - time.monotonic(), 0.0))
        if kind == "stop" or moment > seconds * 0.8:
            server.stop(stop_s)
        elif kind == "kill":
            server.kill()
        else:
            server.terminate()
    time.sleep(max(begun + seconds - time.monotonic(), 0.0))
