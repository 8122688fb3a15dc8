"""How much one key may take: token buckets of calls and bytes, open streams, pictures.

Counted for each key by itself, so that one caller that runs wild is slowed and the others do
not notice. Everything happens on the event loop's thread, so there are no locks.

A bucket may go into debt: a message is taken whole, once it is known how large it is, and what
comes next waits until the debt is paid. So a call is refused before its message is read, and
one message larger than a second's worth can be sent nevertheless.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from service.access.roles import Caller

Monotonic = Callable[[], float]

_LEAST_RETRY_S = 0.05
_STREAM_RETRY_S = 1.0


class KeyLimitReached(RuntimeError):
    """The API key has taken what it may; the others are not concerned.

    Attributes:
        limit: which one: `requests_per_s`, `bytes_per_s`, `streams` or `pictures`.
        retry_after_s: when there is likely to be room.
    """

    reason: ClassVar[str] = "KEY_LIMIT_REACHED"

    def __init__(self, limit: str, retry_after_s: float) -> None:
        super().__init__(
            f"the limit of this API key is reached ({limit}); retry in {retry_after_s:.2f} s"
        )
        self.limit, self.retry_after_s = limit, retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.limit, self.retry_after_s)


class TokenBucket:
    """So many tokens a second, of which one second's worth is kept.

    Args:
        per_s: tokens a second; 0 is no limit.
        clock: seconds.
    """

    def __init__(self, per_s: float, clock: Monotonic = time.monotonic) -> None:
        self._per_s, self._clock = per_s, clock
        self._most = max(per_s, 1.0)
        self._tokens, self._since = self._most, clock()

    def wait_s(self, tokens: float = 0.0) -> float:
        """Return the seconds until so many are there; for 0, until there is no debt."""
        if not self._per_s:
            return 0.0
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._since) * self._per_s, self._most)
        self._since = now
        return max(0.0, (tokens - self._tokens) / self._per_s)

    def take(self, tokens: float) -> None:
        """Take tokens, into debt where there are not so many."""
        if self._per_s:
            self.wait_s()  # what has come in meanwhile is counted before it is spent
            self._tokens -= tokens


@dataclass(slots=True, eq=False)
class Share:
    """The pictures of one key that are in work or waiting.

    Attributes:
        at_most: of them.
        taken: now.
    """

    at_most: int
    taken: int = 0

    def has_room(self, count: int) -> bool:
        """Return whether so many more may come in; a listing is never too large by itself."""
        return self.taken == 0 or self.taken + count <= self.at_most


@dataclass(frozen=True, slots=True)
class Limits:
    """What a key may take that has no limits of its own; 0 is no limit.

    Attributes:
        requests_per_s: calls and items of streams.
        bytes_per_s: of received messages.
        streams: open at once.
        pictures: in work or waiting at once.
    """

    requests_per_s: float = 0.0
    bytes_per_s: float = 0.0
    streams: int = 0
    pictures: int = 0


class Allowance:
    """What one key has taken, and may take."""

    def __init__(self, limits: Limits, clock: Monotonic = time.monotonic) -> None:
        self._requests = TokenBucket(limits.requests_per_s, clock)
        self._bytes = TokenBucket(limits.bytes_per_s, clock)
        self._streams, self._most_streams = 0, limits.streams or math.inf
        self.pictures = Share(limits.pictures or 2**63)

    @contextmanager
    def call(self, *, stream: bool) -> Iterator[None]:
        """Let a call in for the time of the block.

        Raises:
            KeyLimitReached: it has to come later.
        """
        for limit, wait_s in (
            ("requests_per_s", self._requests.wait_s(1.0)),
            ("bytes_per_s", self._bytes.wait_s()),
        ):
            if wait_s > 0:
                raise KeyLimitReached(limit, round(max(wait_s, _LEAST_RETRY_S), 3))
        if stream and self._streams >= self._most_streams:
            raise KeyLimitReached("streams", _STREAM_RETRY_S)
        if not stream:
            self._requests.take(1.0)
        self._streams += stream
        try:
            yield
        finally:
            self._streams -= stream

    async def turn(self) -> None:
        """Wait until the next item of a stream may be read; its sender waits as well."""
        while (wait_s := max(self._requests.wait_s(1.0), self._bytes.wait_s())) > 0:
            await asyncio.sleep(wait_s)

    def received(self, byte_count: int, *, item: bool) -> None:
        """Count a message that was read; as a request too when it is an item of a stream."""
        self._bytes.take(byte_count)
        if item:
            self._requests.take(1.0)


class Allowances:
    """The allowance of each key that has called since the start.

    Args:
        limits: of the keys that have none of their own.
        clock: seconds.
    """

    def __init__(self, limits: Limits, clock: Monotonic = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._of: dict[str, Allowance] = {}

    def of(self, caller: Caller) -> Allowance:
        """Return the allowance of a caller's key."""
        found = self._of.get(caller.key_id)
        if found is None:
            own, usual = caller.limits, self._limits
            limits = Limits(
                _or(own.requests_per_s, usual.requests_per_s),
                _or(own.bytes_per_s, usual.bytes_per_s),
                _or(own.streams, usual.streams),
                _or(own.pictures, usual.pictures),
            )
            found = self._of[caller.key_id] = Allowance(limits, self._clock)
        return found


def _or[T](own: T | None, usual: T) -> T:
    return usual if own is None else own
