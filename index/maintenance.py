"""The background thread of a catalogue: seals, merges, and writes snapshots when they are due."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from index.live import LiveIndex

log = logging.getLogger(__name__)


class Maintenance:
    """Runs after a kick, until there is nothing to do.

    A failure is logged, kept in `failure` until a later run succeeds, and stops neither the
    thread nor the searches: the index merely stays as it was.
    """

    def __init__(
        self, indexes: Sequence[LiveIndex], snapshot_when_due: Callable[[], object], start: bool
    ) -> None:
        self._indexes, self._snapshot_when_due = indexes, snapshot_when_due
        self._wake = threading.Event()
        self._running = threading.Lock()
        self._stopping = False
        self.failure = ""
        self._thread: threading.Thread | None = None
        if start:
            self._thread = threading.Thread(target=self._loop, name="index-maintenance")
            self._thread.daemon = True
            self._thread.start()

    def kick(self) -> None:
        """There may be something to do."""
        self._wake.set()

    def idle(self) -> None:
        """Wait until what was kicked so far has been done."""
        while self._thread is not None and self._wake.is_set():
            time.sleep(0.001)
        with self._running:
            pass

    def stop(self) -> None:
        """Finish the running step and end the thread."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def run(self) -> None:
        """Do what is due, on the calling thread."""
        for index in self._indexes:
            if self._stopping:
                return
            index.seal(index.options.seal_rows)
            while not self._stopping and index.compact():
                pass
        if not self._stopping:
            self._snapshot_when_due()

    def _loop(self) -> None:
        while True:
            self._wake.wait()
            if self._stopping:
                return
            with self._running:
                self._wake.clear()
                try:
                    self.run()
                    self.failure = ""
                except Exception as error:
                    self.failure = f"{type(error).__name__}: {error}"
                    log.exception("index maintenance failed; tried again after the next write")
