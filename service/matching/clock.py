"""What a check may take, and what its steps took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from models.batcher import DeadlineExpired


@dataclass(slots=True)
class Clock:
    """Milliseconds of each step, by name, and the deadline of the call."""

    deadline: float | None = None
    steps_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step; raises DeadlineExpired before it when it is too late."""
        self.check()
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = (time.perf_counter() - began) * 1000
            self.steps_ms[name] = self.steps_ms.get(name, 0.0) + spent

    def check(self) -> None:
        """Raise DeadlineExpired when the deadline has passed."""
        if self.deadline is not None and (late := time.monotonic() - self.deadline) > 0:
            raise DeadlineExpired(late)
