"""How much memory the pictures that are being decoded may take together.

A picture of a megabyte can be a hundred megapixels. Its pixels are there in full for the moment
of decoding only, but several such moments at once fill a machine; so a thread that is about
to decode waits until its picture fits beside those of the others.

One for a process, since memory is the process's. Any thread may wait; the first come is the
first served, so that a large picture is not passed by small ones for ever.
"""

import ctypes
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

BYTES_PER_PIXEL = 8
"""Of a picture in full and its copy turned upright or laid on white; four bytes each."""


class PixelBudget:
    """Bytes that decoding may take at once.

    Args:
        max_bytes: all together; a picture that needs more by itself is decoded alone.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._taken = 0
        self._line: deque[object] = deque()
        self._changed = threading.Condition()
        self._elsewhere: Callable[[int], AbstractContextManager[None]] | None = None

    @property
    def taken(self) -> int:
        """Bytes that are taken now."""
        return self._taken

    @property
    def waiting(self) -> int:
        """Threads that wait for room."""
        return len(self._line)

    def resize(self, max_bytes: int) -> None:
        """Change the limit; what is in work stays."""
        with self._changed:
            self._max_bytes = max_bytes
            self._changed.notify_all()

    def ask(self, elsewhere: Callable[[int], AbstractContextManager[None]]) -> None:
        """From now on ask another budget, which this process shares with others, for all room."""
        self._elsewhere = elsewhere

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Wait for room for so many pixels and keep it for the time of the block."""
        if self._elsewhere is not None:
            with self._elsewhere(pixels):
                yield
            return
        wanted, place = pixels * BYTES_PER_PIXEL, object()
        with self._changed:
            self._line.append(place)
            try:
                self._changed.wait_for(
                    lambda: (
                        self._line[0] is place
                        and (self._taken == 0 or self._taken + wanted <= self._max_bytes)
                    )
                )
                self._taken += wanted
            finally:
                self._line.remove(place)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._taken -= wanted
                self._changed.notify_all()


def _give_large_blocks_back() -> None:
    """Have the C library return what a picture took to the system when it is freed.

    glibc learns from the first large block that is freed to keep such blocks, in an arena for
    each thread: six threads that decode in turn then hold the memory of six pictures for
    good. Naming the threshold ends the learning. Other C libraries are left as they are.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 20)


_M_MMAP_THRESHOLD = -3  # of malloc.h
_give_large_blocks_back()

DECODING = PixelBudget(2 << 30)
"""The budget of this process; a server sets it to its own (`decode_mib`)."""
