"""A real server inside this process, for commands that work without one.

It is what `copycatch serve` runs, on a free port of the loopback interface and in a thread of
its own, and the commands talk to it over gRPC. So `--local` and the demo give the answers
that a server gives.
"""

import asyncio
import hashlib
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from copycatch.v1 import brands_service_pb2 as brands_pb2
from copycatch.v1 import originals_service_pb2 as originals_pb2
from service.access.roles import Role
from service.cli import output, pictures
from service.cli.client import Client
from service.cli.credentials import Credentials
from service.cli.failure import CommandError
from service.cli.ingest import Ingest, list_brands, list_originals
from service.cli.sources import from_file
from service.wording import counted

BRAND = "local"
STOP_GRACE_S = 2.0
PROCESSES_FROM = 100
"""Listings from which processes of their own look at them, where no setting says. Starting those
took 7 of the 10 s in which one listing was checked against seven originals, on two busy cores."""
_PLAIN = {"tls_certificate": None, "tls_key": None, "tls_client_ca": None, "insecure": False}
"""Nobody else is meant to reach it, whatever the environment says of a server for others."""
_ELSEWHERE = {
    "STORE_IN_USE": "the cached index is in use by another run",
    "DATA_DIR_UNUSABLE": "the cached index can not be written",
}
"""Why an index of one run alone is made."""


class _Loop:
    """An event loop in a thread; the server lives on it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="copycatch-local", daemon=True
        )
        self._thread.start()

    def wait[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and return what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """End the loop and its thread."""
        self.wait(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def serving(
    data_dir: Path, timeout_s: float, file: Path | None = None, **settings: Any
) -> Iterator[Client]:
    """Run a server for the time of the block and give a client of it.

    Args:
        data_dir: where it keeps its data.
        file: a TOML file of further settings.
        timeout_s: deadline of the client's calls.
        settings: settings by the names of `service.config`, which outrank the environment.

    Raises:
        CommandError: a setting is wrong, or the server does not start.
    """
    from service.config import ConfigInvalid, load
    from service.server import start

    fixed = {"data_dir": data_dir, "listen": "127.0.0.1:0", "metrics_listen": "", **_PLAIN}
    try:
        config = load(file, **{**settings, **fixed})
    except ConfigInvalid as error:
        raise CommandError("; ".join(error.problems), error.remedy) from error
    loop = _Loop()
    try:
        try:
            server = loop.wait(start(config))
        except (ValueError, LookupError, RuntimeError, OSError) as error:
            reason = str(getattr(error, "reason", ""))
            raise CommandError(str(error), reason=reason) from error
        grace_s = STOP_GRACE_S
        try:
            key, text = server.keys.create("this run", Role.ADMIN)
            try:
                with Client(server.address, timeout_s, Credentials(text)) as client:
                    yield client
            except KeyboardInterrupt:
                grace_s = 0.0  # nobody waits for the answers any more
                raise
            finally:
                server.keys.forget(key.id)
        finally:
            loop.wait(server.stop(grace_s))
    finally:
        loop.close()


@contextmanager
def empty(timeout_s: float) -> Iterator[Client]:
    """Run a server without originals, for comparing two pictures."""
    with (
        tempfile.TemporaryDirectory(prefix="copycatch-") as folder,
        serving(Path(folder), timeout_s, **_looking(1)) as client,
    ):
        yield client


@contextmanager
def holding(
    originals: Path,
    timeout_s: float,
    listings: int = PROCESSES_FROM,
    unused: list[Path] | None = None,
) -> Iterator[Client]:
    """Run a server that holds the pictures of a folder.

    What was fingerprinted is kept in the user's cache, so that a second run over the same
    folder only looks for what has changed. A folder that another run works with at the same
    time gets an index of its own.

    Args:
        listings: how many it will be asked about.
        unused: gets the pictures that the server does not hold, since they can not be originals.

    Raises:
        CommandError: the folder has no picture, or the server does not start.
    """
    found = pictures.find([originals])
    cached, looking = _cache_folder(originals), _looking(listings)
    with ExitStack() as stack:
        try:
            client = stack.enter_context(serving(cached, timeout_s, **looking))
        except CommandError as error:
            if error.reason in _ELSEWHERE:
                output.remark(f"{_ELSEWHERE[error.reason]}; making one for this run")
                cached = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="copycatch-")))
            else:
                output.remark(f"the cached index can not be used and is made anew ({error.thing})")
                shutil.rmtree(cached)
            client = stack.enter_context(serving(cached, timeout_s, **looking))
        left_out = _synchronise(client, originals, found)
        if unused is not None:
            unused += left_out
        yield client


def _looking(listings: int) -> dict[str, Any]:
    """Return the setting of where so many listings are looked at, unless one is there already."""
    if listings >= PROCESSES_FROM or "COPYCATCH_MATCHING" in os.environ:
        return {}
    return {"matching": "threads"}


def _synchronise(client: Client, folder: Path, found: Sequence[Path]) -> list[Path]:
    """Make the server hold exactly these pictures; returns those that it can not, each told of."""
    names = [str(path.relative_to(folder)) if folder.is_dir() else path.name for path in found]
    wanted = dict(zip(pictures.make_ids(names), found, strict=True))
    if not any(brand.name == f"brands/{BRAND}" for brand in list_brands(client)):
        request = brands_pb2.CreateBrandRequest(brand=brands_pb2.Brand(), brand_id=BRAND)
        client.call(client.brands.CreateBrand, request)
    new = len(wanted)
    for original in list(list_originals(client, BRAND)):
        path = wanted.get(original.name.rpartition("/")[2])
        if path is None or _digest(path) != original.sha256:
            gone = originals_pb2.DeleteOriginalRequest(name=original.name)
            client.call(client.originals.DeleteOriginal, gone)
        else:
            new -= 1
    items = [from_file(path, str(path), BRAND, made, path.name) for made, path in wanted.items()]
    ingest = Ingest(client, create_brands=False, on_brand=lambda brand: None)
    left_out: list[Path] = []
    if new and not sys.stderr.isatty():  # where no bar is drawn
        output.remark(f"registering {counted(new, 'picture')} of {folder} as originals ...")
    with output.progress() as bar:
        task = bar.add_task(f"indexing {folder}", total=len(items))
        for done in ingest.run(items):
            bar.advance(task)
            if done.outcome == "FAILED":
                output.remark(f"not used: {done.name}: {done.message}")
                left_out.append(Path(done.name))
    return left_out


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file; empty when it can not be read, which registering it says."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _cache_folder(originals: Path) -> Path:
    """Return the folder of the index of a folder, apart for each encoder that is set."""
    settings = "|".join(
        f"{name}={value}"
        for name, value in sorted(os.environ.items())
        if name.startswith(("COPYCATCH_ENCODER", "COPYCATCH_CLIP"))
    )
    key = hashlib.sha256(f"{originals.resolve()}|{settings}".encode()).hexdigest()[:16]
    if sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "copycatch" / "local" / key
