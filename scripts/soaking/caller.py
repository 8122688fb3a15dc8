"""Calls of a soak: each is noted, and one that ends as it must not is a wrong answer."""

import contextlib
import time
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import grpc
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from copycatch.v1 import (
    audit_service_pb2_grpc,
    brands_service_pb2_grpc,
    match_service_pb2_grpc,
    originals_service_pb2_grpc,
    sweep_service_pb2_grpc,
)
from scripts.soaking.ledger import Call, Ledger
from service.cli.credentials import Credentials, connect
from service.cli.failure import reason_of

TIMEOUT_S = 300.0
"""Nothing of a soak takes so long on a machine that does anything at all."""
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    # The least time that an attempt to connect gets, in spite of its name: above a halt.
    ("grpc.min_reconnect_backoff_ms", 20_000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
]


class Unanswered(Exception):
    """A call has no answer, and it is noted why; what it was to change is in doubt.

    Attributes:
        end: as in `Call`.
    """

    def __init__(self, end: str) -> None:
        super().__init__(end)
        self.end = end


class Caller:
    """Stubs over a connection of its own. For one thread."""

    def __init__(self, address: str, secret: str, ledger: Ledger) -> None:
        self._channel = connect(address, Credentials(secret), _OPTIONS)
        self._stranger = connect(address, Credentials(), _OPTIONS)
        self._ledger = ledger
        self.brands = brands_service_pb2_grpc.BrandsServiceStub(self._channel)
        self.originals = originals_service_pb2_grpc.OriginalsServiceStub(self._channel)
        self.match = match_service_pb2_grpc.MatchServiceStub(self._channel)
        self.sweeps = sweep_service_pb2_grpc.SweepServiceStub(self._channel)
        self.audit = audit_service_pb2_grpc.AuditServiceStub(self._channel)
        self._health: Any = health_pb2_grpc.HealthStub(self._channel)
        self.match_without_key = match_service_pb2_grpc.MatchServiceStub(self._stranger)

    def close(self) -> None:
        """Hang up."""
        self._channel.close()
        self._stranger.close()

    def reconnect(self) -> None:
        """Wait until the connection stands again; what it is told of health does not matter."""
        asked = health_pb2.HealthCheckRequest()
        with contextlib.suppress(grpc.RpcError):
            self._health.Check(asked, timeout=TIMEOUT_S, wait_for_ready=True)

    def call(
        self,
        kind: str,
        method: Any,
        request: Any,
        *,
        timeout_s: float = TIMEOUT_S,
        ends: Collection[str] = ("OK",),
    ) -> Any:
        """Make a unary call.

        Args:
            kind: as in `Call`.
            ends: how it may end: `OK`, or reasons, or names of codes where there is no reason.

        Returns:
            The answer; None where it ended in an allowed error.

        Raises:
            Unanswered: it ended otherwise.
        """
        start = time.monotonic()
        try:
            answer = method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            end = self._ended(kind, start, error)
            if end.rpartition(" ")[2] in ends:
                return None
            raise self._judged(kind, start, end, error) from error
        self._ledger.add(Call(kind, start, time.monotonic(), "OK"))
        if "OK" not in ends:
            self._ledger.mistake(f"{kind}: was answered, and should end in {', '.join(ends)}")
        return answer

    def stream(
        self, kind: str, method: Any, requests: Iterable[Any], *, leave_after: int = -1
    ) -> Iterator[Any]:
        """Make a streaming call and yield its answers as they come.

        Args:
            leave_after: hang up after so many answers; -1 stays to the end.

        Raises:
            Unanswered: it did not end in order.
        """
        start, count = time.monotonic(), 0
        call = method(iter(requests), timeout=TIMEOUT_S)
        try:
            while leave_after < 0 or count < leave_after:
                try:
                    answer = next(call)
                except StopIteration:
                    break
                count += 1
                yield answer
        except grpc.RpcError as error:
            end = self._ended(kind, start, error)
            raise self._judged(kind, start, end, error) from error
        if 0 <= leave_after == count:
            call.cancel()
            self._ledger.add(Call(kind, start, time.monotonic(), "HUNG_UP"))
        else:
            self._ledger.add(Call(kind, start, time.monotonic(), "OK"))

    def _ended(self, kind: str, start: float, error: grpc.RpcError) -> str:
        assert isinstance(error, grpc.Call)
        status = rpc_status.from_call(error)
        code = error.code().name
        end = f"{code} {reason_of(status)}" if status is not None else code
        self._ledger.add(Call(kind, start, time.monotonic(), end))
        return end

    def _judged(self, kind: str, start: float, end: str, error: grpc.RpcError) -> Unanswered:
        """Note a wrong answer, unless it is one that a server may give that goes away."""
        now = time.monotonic()
        away = end.partition(" ")[0] == "UNAVAILABLE" and self._ledger.excused(start, now)
        if end == "CANCELLED" and self._ledger.excused(start, now, "terminate"):
            # It came in the moment in which gRPC itself stops, and was not begun.
            self._ledger.note("call ended with CANCELLED by a server that stopped")
            away = True
        if not away:
            assert isinstance(error, grpc.Call)
            self._ledger.mistake(f"{kind}: ended in {end} ({error.details()})")
        return Unanswered(end)


def reason_in(status: status_pb2.Status) -> str:
    """The reason of an item that was refused."""
    return reason_of(status)
