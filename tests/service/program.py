"""A server in a process of its own, for tests that send it signals."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from service.access.keys import KeyStore
from service.access.roles import Role
from service.cli.credentials import Credentials, connect

ROOT = Path(__file__).resolve().parents[2]

_PROGRAM = """
import json
import sys
from service.config import load
from service.program import run
run(load(**json.loads(sys.argv[1])))
"""


class Program:
    """A running server process.

    Attributes:
        process: it.
        lines: what it has logged, one object a line.
        secret: an admin's API key.
        address: where it listens, once it is ready.
    """

    def __init__(self, process: "subprocess.Popen[str]", secret: str) -> None:
        self.process, self.secret = process, secret
        self.address = ""
        self.lines: list[dict[str, object]] = []
        self._other, self._ended = "", False
        self._told = threading.Condition()
        # Read all the time: a server whose log nobody reads stands still when the pipe is full.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_until_ready(self) -> str:
        """Wait until it answers calls, and return its address."""
        with self._told:
            self._told.wait_for(lambda: self.address or self._ended)
        assert self.address, f"it ended: {self.lines} {self._other}"
        assert not self._other, f"no line of the log: {self._other}"
        return self.address

    def connect(self) -> grpc.Channel:
        """Wait until it is ready; return a connection that shows the key."""
        return connect(self.wait_until_ready(), Credentials(self.secret))

    def read_to_the_end(self) -> list[str]:
        """Return the messages that it logs until it ends."""
        self._reader.join()
        assert not self._other, f"no line of the log: {self._other}"
        return [str(line["message"]) for line in self.lines]

    def kill(self) -> None:
        """End it at once; what it had logged until then is read."""
        self.process.kill()
        self._reader.join()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for text in self.process.stderr:
            if not text.startswith("{"):
                self._other += text
                continue
            self.lines.append(json.loads(text))
            message = str(self.lines[-1]["message"])
            if message.startswith("ready"):
                with self._told:
                    self.address = message.rpartition(" ")[2]
                    self._told.notify_all()
        with self._told:
            self._ended = True
            self._told.notify_all()


@contextmanager
def running(data_dir: Path, **values: object) -> Iterator[Program]:
    """A server process for the time of the block; killed at its end, or after two minutes.

    Args:
        data_dir: where it keeps its data.
        values: further settings, as JSON takes them.
    """
    settings = {
        "data_dir": str(data_dir),
        "listen": "127.0.0.1:0",
        "metrics_listen": "",
        "encoder": "toy",
        "clip": "off",
        **values,
    }
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("COPYCATCH_")
    }
    inherited = os.environ.get("PYTHONPATH")
    paths = [str(ROOT), str(ROOT / "protos"), *([inherited] if inherited else [])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    with KeyStore.open(data_dir) as keys:  # as `copycatch keys create` does
        _, secret = keys.create("the test", Role.ADMIN)
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, json.dumps(settings)],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        timer = threading.Timer(120, process.kill)
        timer.start()
        program = Program(process, secret)
        try:
            yield program
        finally:
            timer.cancel()
            program.kill()
