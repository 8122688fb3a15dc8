"""The slow lane: work of sweeps waits while calls have pictures in work.

Somebody waits for a call and nobody for a sweep. Before each picture a sweep asks for its
turn, and gets it at once while no call has a picture in work. While calls keep coming, one
picture passes every `TRICKLE_S` seconds, so that a sweep on a server that is never idle
still ends.
"""

import threading
import time
from collections.abc import Callable

from service.sweeps.partition import Interrupted

TRICKLE_S = 2.0
_LOOK_S = 0.2


class Lane:
    """Gives turns to the threads of all sweeps of a server. Any thread may call it.

    Args:
        idle: set while no call has a picture in work.
    """

    def __init__(self, idle: threading.Event) -> None:
        self._idle = idle
        self._lock = threading.Lock()
        self._trickled = time.monotonic()

    def turn(self, stopped: Callable[[], bool]) -> None:
        """Wait for a turn.

        Args:
            stopped: whether the work is not wanted any more; asked while waiting.

        Raises:
            Interrupted: it is not.
        """
        while True:
            if stopped():
                raise Interrupted
            if self._idle.wait(_LOOK_S) or self._trickle():
                return

    def _trickle(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if now - self._trickled < TRICKLE_S:
                return False
            self._trickled = now
            return True
