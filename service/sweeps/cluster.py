"""The engine of many machines: the partition function on Ray Data. The one file with ray.

Each process of a pool holds encoders and a copy of the catalogue, made when the first chunks of
a sweep are sent out: a sweep on Ray looks for the originals and rights of that moment. Plans,
findings and the audit log stay with the server, so the same guarantees hold. Ray sends no
usage reports and writes nothing into the home folder; its files lie in a folder of their own,
which goes with it.
"""

import logging
import os
import pickle
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from service.sweeps.board import Board, Job
from service.sweeps.errors import ExtraMissing
from service.sweeps.listing import decode_listings, encode_listings
from service.sweeps.local import LocalEngine, Turn
from service.sweeps.partition import Inspected, Inspector
from service.sweeps.recall import FORM as REMEMBERED
from service.sweeps.records import SweepSpec

log = logging.getLogger(__name__)

WINDOW = 4096
"""Chunks that are sent out together: what the server holds in memory, and how often processes
are started anew."""
_AT_ONCE = 4
_TRIES = 3

Build = Callable[[Path], Inspector]


class RayEngine:
    """Does what is on the board, one window of one sweep at a time.

    Args:
        inspector: of this process, for remembered listings: their memory is here.
        copy_to: writes a copy of the catalogue into a new folder.
        build: makes an inspector of such a folder, in a process of its own; can be pickled.
        share: folder that all nodes see; copies are put there.
        address: of the cluster; empty starts a Ray on this machine.
        workers: processes.

    Raises:
        ExtraMissing: Ray is not installed.
    """

    def __init__(
        self,
        inspector: Inspector,
        copy_to: Callable[[Path], None],
        build: Build,
        share: Path,
        address: str,
        workers: int,
    ) -> None:
        self._here = LocalEngine(inspector, 0)
        self._ray = _ray()
        self._copy_to, self._build = copy_to, build
        self._share, self._address, self._workers = share.absolute(), address, workers
        self._files: str | None = None
        self._copies: dict[int, Path] = {}
        self._thread = threading.Thread(target=self._work, name="copycatch-ray", daemon=True)
        for left in self._share.glob("copy-*"):  # of a crash
            shutil.rmtree(left, ignore_errors=True)

    def start(self, board: Board, turn: Turn) -> None:
        """Begin. Turns are waited for only by what is done here; the rest is done elsewhere."""
        self._board = board
        self._here.start(board, turn)
        self._thread.start()

    def stop(self) -> None:
        """End after the chunk that is being handed in; the board must be closed."""
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        try:
            while jobs := self._board.take(WINDOW):
                sweep = jobs[0].sweep
                try:
                    if sweep.spec.form == REMEMBERED:
                        self._here.do(jobs)
                    else:
                        self._run(jobs)
                except Exception as error:
                    self._board.fail(sweep, error)
                self._forget_ended()
        finally:
            for folder in self._copies.values():
                shutil.rmtree(folder, ignore_errors=True)
            if self._files is not None:
                self._ray.shutdown()
                shutil.rmtree(self._files, ignore_errors=True)

    def _run(self, jobs: Sequence[Job]) -> None:
        sweep = jobs[0].sweep
        self._connect()
        if sweep.number not in self._copies:
            folder = self._share / f"copy-{uuid.uuid4().hex}"
            self._copy_to(folder)
            self._copies[sweep.number] = folder
        left = {job.chunk: job for job in jobs}
        try:
            for chunk, made, seconds in self._results(jobs, self._copies[sweep.number]):
                if not self._board.wanted(sweep):
                    return
                self._board.hand_in(left.pop(chunk), made, seconds)
        finally:
            self._board.give_back(list(left.values()))

    def _results(self, jobs: Sequence[Job], folder: Path) -> Iterator[tuple[int, Inspected, float]]:
        """Yield each chunk with what was made of it, in the order of completion."""
        data = self._ray.data
        rows = [{"chunk": job.chunk, "listings": encode_listings(job.listings)} for job in jobs]
        blocks = max(1, min(len(rows), max(len(rows) // 16, 2 * self._workers)))
        results = data.from_items(rows, override_num_blocks=blocks).map_batches(
            Worker,
            fn_constructor_args=(self._build, folder, jobs[0].sweep.spec),
            batch_size=_AT_ONCE,
            num_cpus=1,
            compute=data.ActorPoolStrategy(size=min(self._workers, blocks)),
        )
        for row in results.iter_rows():
            yield int(row["chunk"]), pickle.loads(row["made"]), float(row["seconds"])

    def _connect(self) -> None:
        """Join the cluster, or start a Ray here; a busy machine may need another try."""
        if self._files is not None:
            return
        for left in reversed(range(_TRIES)):
            # Short: the path of a socket in it may have about a hundred characters.
            files = tempfile.mkdtemp(prefix="ray-", dir="/tmp" if os.path.isdir("/tmp") else None)
            try:
                self._ray.init(**self._settings(files))
            except Exception:
                self._ray.shutdown()
                shutil.rmtree(files, ignore_errors=True)
                if not left:
                    raise
                log.warning("Ray did not start, trying again", exc_info=True)
            else:
                self._files = files
                break
        self._ray.data.DataContext.get_current().enable_progress_bars = False
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.ERROR)

    def _settings(self, files: str) -> dict[str, Any]:
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self._address:
            return settings | {"address": self._address}
        return settings | {
            "num_cpus": self._workers,
            "include_dashboard": False,
            "_temp_dir": files,
            "object_store_memory": 200 << 20,
        }

    def _forget_ended(self) -> None:
        """Remove the copies of sweeps that are not on the board any more."""
        for number in list(self._copies):
            if not self._board.runs(number):
                shutil.rmtree(self._copies.pop(number), ignore_errors=True)


class Worker:
    """One process of the pool: builds once, then looks at chunk after chunk."""

    def __init__(self, build: Build, folder: Path, spec: SweepSpec) -> None:
        self._inspector, self._spec = build(folder), spec

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Look at the chunks of a batch."""
        spec = self._spec
        options = spec.target.options(spec.policy, spec.thorough)
        made, seconds = [], []
        for listings in batch["listings"]:
            began = time.monotonic()
            found = self._inspector.inspect(
                decode_listings(bytes(listings)), spec.target, options, spec.sweep
            )
            made.append(pickle.dumps(found))
            seconds.append(time.monotonic() - began)
        return {
            "chunk": np.asarray(batch["chunk"]),
            "made": np.array(made, dtype=object),
            "seconds": np.array(seconds),
        }


def _ray() -> Any:
    """Import Ray, told before to report nothing and to write no token into the home folder."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Of 30 seconds, which a busy machine may take to start a process or two.
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "120")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ExtraMissing("sweep_engine = 'ray'", "ray") from error
    return ray
