"""Remembering what was checked, off the path of the answer, and bounded.

A check that has been answered hands over its sketches and goes on; one thread turns them into
bytes and writes those that wait together in one commit. When they come faster than that,
listings are left out and counted, because an answer must not wait for a memory.
"""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from index.memory import Memory
from index.seen import SeenListing, SeenPicture
from models.sketch import Kept, Sketch

log = logging.getLogger(__name__)

_TOGETHER = 64
_TRIM_S = 60.0


@dataclass(frozen=True, slots=True)
class _Checked:
    """A listing that was checked, and its pictures that could be read."""

    listing_id: str
    seller: str
    territory: str
    pictures: Sequence[Kept]


class Remembering:
    """The way into a memory. Any thread may call it.

    Args:
        memory: closed by whoever opened it.
        places: listings that wait at most.
        counted: told how many listings were `remembered`, `known` already, `dropped` because
            too many waited, or `failed`.
    """

    def __init__(
        self,
        memory: Memory,
        places: int,
        counted: Callable[[str, int], None] = lambda outcome, count: None,
    ) -> None:
        self.memory, self._counted = memory, counted
        # A future is a mark: done when everything before it is written. None is the end.
        self._queue: queue.Queue[_Checked | Future[None] | None] = queue.Queue(places)
        self._thread = threading.Thread(target=self._run, name="copycatch-memory", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Listings that are not being written yet."""
        return self._queue.qsize()

    def offer(
        self,
        listing_id: str,
        seller: str,
        pictures: Sequence[Kept],
        *,
        territory: str = "",
        wait: bool = False,
    ) -> bool:
        """Remember a listing soon; whether there was room.

        One without an id is not remembered: nobody could have it forgotten.

        Args:
            pictures: those that could be read.
            wait: wait for room; otherwise a listing that finds none is dropped and counted.
        """
        if not listing_id or not pictures:
            return False
        try:
            self._queue.put(_Checked(listing_id, seller, territory, pictures), block=wait)
        except queue.Full:
            self._counted("dropped", 1)
            return False
        return True

    def forget(self, listing_id: str) -> bool:
        """Forget a listing with everything that was kept of it; whether it was there.

        What was handed over before is written first, so that it goes too.
        """
        self.flush()
        return self.memory.forget(listing_id)

    def flush(self) -> None:
        """Wait until what was handed over so far is written."""
        mark: Future[None] = Future()
        self._queue.put(mark)
        mark.result()

    def close(self) -> None:
        """Write what waits and end the thread; nothing may be handed over any more."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            group = self._next()
            self._write([each for each in group if isinstance(each, _Checked)])
            for each in group:
                if isinstance(each, Future):
                    each.set_result(None)
                if each is None:
                    return

    def _next(self) -> list[_Checked | Future[None] | None]:
        """What waits, up to a limit; nothing when nothing came for a while."""
        group: list[_Checked | Future[None] | None] = []
        with contextlib.suppress(queue.Empty):
            group.append(self._queue.get(timeout=_TRIM_S))
            while len(group) < _TOGETHER and isinstance(group[-1], _Checked):
                group.append(self._queue.get_nowait())
        return group

    def _write(self, group: Sequence[_Checked]) -> None:
        """Write a group; what can not be written is counted, logged and left out."""
        try:
            listings = [
                SeenListing(each.listing_id, each.seller, pictures, each.territory)
                for each in group
                if (pictures := tuple(_seen(made) for kept in each.pictures if (made := kept())))
            ]
            written = self.memory.remember(listings) if listings else 0
            if not group:
                self.memory.trim()
        except Exception:
            self._counted("failed", len(group))
            log.exception("%d listings could not be remembered", len(group))
            return
        self._counted("remembered", written)
        self._counted("known", len(listings) - written)


def _seen(sketch: Sketch) -> SeenPicture:
    record = sketch.record
    return SeenPicture(record.sha256, record.pixel_sha256, sketch.rows(), sketch.to_bytes())
