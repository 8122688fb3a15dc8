"""What happened in a soak: every call with its time and end, faults, samples, wrong answers.

Any thread may write. Times are seconds of `time.monotonic`.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_SETTLE_S = 3.0
"""After a server is ready again channels need a moment until they have noticed."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the server.

    Attributes:
        kind: what it was for, such as `check exact`.
        end: `OK`, or the gRPC code and reason.
    """

    kind: str
    start: float
    stop: float
    end: str


@dataclass(slots=True)
class Fault:
    """Something that was done to the server.

    Attributes:
        kind: `kill`, `terminate` or `stop`.
        excuses: whether calls may meanwhile be answered UNAVAILABLE.
        stop: when all was well again; None while it lasts.
    """

    kind: str
    excuses: bool
    start: float
    stop: float | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """The server process at one moment.

    Attributes:
        uptime_s: since this process began.
        rss_mb: resident, with pages of mapped files.
        anonymous_mb: resident, of its own.
    """

    time: float
    process: int
    uptime_s: float
    rss_mb: float
    anonymous_mb: float
    descriptors: int
    threads: int


@dataclass(slots=True)
class Ledger:
    """All of it, in the order in which it came."""

    start: float = field(default_factory=time.monotonic)
    phases: list[tuple[str, float]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, phase: str) -> None:
        """Begin a phase, which lasts until the next."""
        self.phases.append((phase, time.monotonic()))

    def phase_of(self, when: float) -> str:
        """The phase at a time; empty before the first."""
        return next((name for name, start in reversed(self.phases) if start <= when), "")

    def add(self, call: Call) -> None:
        """Note a call that has ended."""
        with self._lock:
            self.calls.append(call)

    def note(self, what: str) -> None:
        """Count something that is neither a call nor wrong."""
        with self._lock:
            self.notes[what] = self.notes.get(what, 0) + 1

    def mistake(self, what: str) -> None:
        """Note a wrong answer."""
        with self._lock:
            after_s = time.monotonic() - self.start
            self.wrong.append(f"after {after_s:.1f} s: {what}")

    @contextmanager
    def fault(self, kind: str, *, excuses: bool) -> Iterator[None]:
        """Note a fault for the time of the block."""
        made = Fault(kind, excuses, time.monotonic())
        self.faults.append(made)
        try:
            yield
        finally:
            made.stop = time.monotonic()

    def excused(self, start: float, stop: float, kind: str = "") -> bool:
        """Whether a call in this time may have met a server that was not there.

        Args:
            kind: of the fault that it met; any that excuses by default.
        """
        return any(
            one.excuses
            and kind in ("", one.kind)
            and one.start <= stop
            and (one.stop is None or start <= one.stop + _SETTLE_S)
            for one in list(self.faults)
        )
