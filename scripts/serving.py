"""A server for a measurement, in this process or its own, and the calls that all of them make."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from copycatch.v1 import (
    brands_service_pb2,
    brands_service_pb2_grpc,
    originals_service_pb2,
    originals_service_pb2_grpc,
)
from service.access.keys import KeyStore
from service.access.roles import Role
from service.cli.credentials import Credentials
from service.cli.credentials import connect as show_key
from service.config import Config, load
from service.server import start

OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
]

_KEYS: dict[str, str] = {}
"""The API key of each server that runs, by its address."""


@contextmanager
def served(
    path: Path | None = None, data_dir: Path | None = None, **values: Any
) -> Iterator[tuple[str, Config]]:
    """Run a server on a free port; yield its address and settings.

    Args:
        path, values: settings, as of `service.config.load`; the addresses are chosen here.
        data_dir: where it keeps its data; None is an empty folder that goes with the server.

    Raises:
        what `service.server.start` raises.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="server", daemon=True)
    thread.start()
    try:
        with tempfile.TemporaryDirectory(prefix="copycatch-") as folder:
            fixed: dict[str, Any] = {"listen": "127.0.0.1:0", "metrics_listen": ""}
            config = load(path, **values, **fixed, data_dir=data_dir or Path(folder))
            running = asyncio.run_coroutine_threadsafe(start(config), loop).result()
            try:
                _, _KEYS[running.address] = running.keys.create("this run", Role.ADMIN)
                yield running.address, config
            finally:
                _KEYS.pop(running.address, None)
                asyncio.run_coroutine_threadsafe(running.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


_PROGRAM = """
import json, sys
from service.config import load
from service.program import run
run(load(**json.loads(sys.argv[1])))
"""


@dataclass(frozen=True, slots=True)
class Apart:
    """A server in a process of its own.

    Attributes:
        address: where it listens.
        config: its settings.
        pid: of its process.
    """

    address: str
    config: Config
    pid: int

    def memory_mb(self) -> dict[str, float]:
        """Resident memory of the server and of all processes below it, as a sum.

        `own_mb` is without the pages of files, which are the store's and libraries', and which
        the system takes back when it needs them.
        """
        summed = {"resident_mb": 0.0, "own_mb": 0.0}
        for pid in _tree(self.pid):
            try:
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended
            fields = {line.split(":")[0]: line.split()[1] for line in lines if "kB" in line}
            summed["resident_mb"] += int(fields.get("VmRSS", 0)) / 1024
            summed["own_mb"] += int(fields.get("RssAnon", 0)) / 1024
        return summed

    def cpu_s(self) -> float:
        """Seconds that cores have worked for the server and all processes below it."""
        ticks = 0
        for pid in _tree(self.pid):
            words = _stat(pid)
            ticks += int(words[11]) + int(words[12]) if words else 0
        return ticks / os.sysconf("SC_CLK_TCK")

    @contextmanager
    def peak(self, every_s: float = 0.1) -> Iterator[dict[str, float]]:
        """Look at the memory for the time of the block; what is yielded has the most of it."""
        most, ending = self.memory_mb(), threading.Event()

        def look() -> None:
            while not ending.wait(every_s):
                for name, value in self.memory_mb().items():
                    most[name] = max(most[name], value)

        thread = threading.Thread(target=look, name="memory", daemon=True)
        thread.start()
        try:
            yield most
        finally:
            ending.set()
            thread.join()


@contextmanager
def served_apart(data_dir: Path, **values: Any) -> Iterator[Apart]:
    """Run a server in a process of its own, on a free port.

    Args:
        data_dir: where it keeps its data.
        values: settings, as JSON takes them.

    Raises:
        RuntimeError: it did not start; its log is in the message.
    """
    fixed: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "metrics_listen": "",
        "data_dir": str(data_dir),
    }
    config = load(**values, **fixed)
    with KeyStore.open(data_dir) as keys:
        _, secret = keys.create("this run", Role.ADMIN)
    command = [sys.executable, "-c", _PROGRAM, json.dumps({**values, **fixed})]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said: list[str] = []
        address = ""
        for line in process.stderr:
            said.append(line)
            message = str(json.loads(line)["message"]) if line.startswith("{") else ""
            if message.startswith("ready"):
                address = message.rpartition(" ")[2]
                break
        if not address:
            raise RuntimeError(f"the server did not start: {''.join(said)}")
        drain = threading.Thread(target=_drain, args=(process.stderr,), daemon=True)
        drain.start()
        _KEYS[address] = secret
        try:
            yield Apart(address, config, process.pid)
        finally:
            del _KEYS[address]
            process.terminate()
            process.wait()
            drain.join()


def _drain(log: Any) -> None:
    """Read a log to its end, and show what went wrong."""
    for line in log:
        if '"level": "info"' not in line:
            print(line, end="", file=sys.stderr)


def _tree(pid: int) -> list[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (words := _stat(int(name))):
            children.setdefault(int(words[1]), []).append(int(name))
    found, i = [pid], 0
    while i < len(found):
        found += children.get(found[i], [])
        i += 1
    return found


def _stat(pid: int) -> list[str]:
    """What stands behind the name of a process in its `stat`; nothing when it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def connect(address: str) -> grpc.Channel:
    """Return a connection of its own; callers that shared one would share its one socket."""
    options = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
    return show_key(address, Credentials(_KEYS[address]), options)


def register(
    channel: grpc.Channel,
    brand: str,
    images: Mapping[str, Callable[[], bytes]],
    progress: Callable[[], None] = lambda: None,
) -> tuple[dict[str, str], dict[str, str]]:
    """Create a brand and import originals.

    Args:
        images: reads each original's bytes, by the name that it has in the data.
        progress: called after each.

    Returns:
        The name in the data of each resource name; and why others failed, by name in the data.
    """
    brands_service_pb2_grpc.BrandsServiceStub(channel).CreateBrand(
        brands_service_pb2.CreateBrandRequest(
            brand_id=brand, brand=brands_service_pb2.Brand(display_name=brand)
        )
    )

    def requests() -> Iterator[originals_service_pb2.ImportOriginalsRequest]:
        for number, (name, read) in enumerate(images.items()):
            yield originals_service_pb2.ImportOriginalsRequest(
                item_id=name,
                request=originals_service_pb2.CreateOriginalRequest(
                    parent=f"brands/{brand}",
                    original_id=f"o-{number:06d}",
                    original=originals_service_pb2.Original(image=read()),
                ),
            )

    names: dict[str, str] = {}
    failures: dict[str, str] = {}
    stub = originals_service_pb2_grpc.OriginalsServiceStub(channel)
    for answer in stub.ImportOriginals(requests()):
        if answer.WhichOneof("result") == "original":
            names[answer.original.name] = answer.item_id
        else:
            failures[answer.item_id] = answer.error.message
        progress()
    return names, failures
