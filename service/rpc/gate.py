"""The gate in front of every call: is the server ready, is it going away, is it full?

It is asked before a message is read from the wire, so that a refused call costs no memory.
"""

import asyncio
import contextlib
import time
from typing import ClassVar

from models.batcher import QueueFull
from service.engine import Engine

ALWAYS = frozenset({"MatchService/GetServerInfo"})
"""Answered while the server still loads and when it is full: it says how the server is."""

# Calls take from milliseconds to seconds; half a second lets the first of them finish.
_RETRY_S = 0.5


class IndexNotReady(RuntimeError):
    """The indexes or encoders are still being loaded."""

    reason: ClassVar[str] = "INDEX_NOT_READY"

    def __init__(self) -> None:
        super().__init__("the server is still loading its indexes and encoders")


class ShuttingDown(RuntimeError):
    """The server is going away and takes no new work."""

    reason: ClassVar[str] = "SHUTTING_DOWN"

    def __init__(self) -> None:
        super().__init__("the server is shutting down")


class Gate:
    """Lets calls in and counts them. Made and used on the event loop's thread.

    Args:
        max_calls: most calls inside at once.
    """

    def __init__(self, max_calls: int) -> None:
        self._max_calls = max_calls
        self._engine: Engine | None = None
        self._inside = 0
        self._refused = 0.0
        self.loop = asyncio.get_running_loop()
        self._empty = asyncio.Event()
        self._empty.set()
        self.closing = asyncio.Event()
        """Set when the server begins to shut down; streams then take no more items."""

    @property
    def inside(self) -> int:
        """Calls inside now."""
        return self._inside

    @property
    def engine(self) -> Engine:
        """What answers the calls. Raises `IndexNotReady` while it is loading."""
        if self._engine is None:
            raise IndexNotReady
        return self._engine

    @property
    def loaded(self) -> Engine | None:
        """What answers the calls, None while it is loading."""
        return self._engine

    @property
    def ready(self) -> bool:
        """Whether calls are let in."""
        return self._engine is not None and not self.closing.is_set()

    def open(self, engine: Engine) -> None:
        """Let calls in."""
        self._engine = engine

    def enter(self, method: str) -> "Pass":
        """Let one call in.

        Args:
            method: `Service/Method`.

        Raises:
            ShuttingDown, IndexNotReady, QueueFull.
        """
        if method not in ALWAYS:
            if self.closing.is_set():
                self._refused = time.monotonic()
                raise ShuttingDown
            if self._engine is None:
                raise IndexNotReady
            if self._inside >= self._max_calls:
                raise QueueFull(_RETRY_S, self._inside)
        self._inside += 1
        self._empty.clear()
        return Pass(self)

    async def emptied(self) -> None:
        """Wait until no call is inside."""
        await self._empty.wait()

    async def deserted(self, quiet_s: float, most_s: float) -> None:
        """Wait until no call has come for a while, once the gate is closed.

        Args:
            quiet_s: that while, from now on at least.
            most_s: wait no longer than this; not at all when it is not above 0.
        """
        begun = time.monotonic()
        while (now := time.monotonic()) < begun + most_s:
            left_s = max(begun, self._refused) + quiet_s - now
            if left_s <= 0:
                return
            await asyncio.sleep(min(left_s, begun + most_s - now))

    def _leave(self) -> None:
        self._inside -= 1
        if self._inside == 0:
            self._empty.set()


class Pass:
    """The right of one call to be inside. Given back once, at the latest when forgotten.

    A call can end between the gate and its handler (its message is too large, its caller
    hangs up); then nobody calls `give_back`, but the handler that holds the pass is dropped.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate: Gate | None = gate

    def give_back(self) -> None:
        """Leave."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate._leave()

    def __del__(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:  # the garbage collector may run on any thread
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody counts any more
                gate.loop.call_soon_threadsafe(gate._leave)
