"""A connection to a Copycatch server, for commands.

Calls raise `CommandError` and nothing of grpc's, so that a command reads like what it does.
"""

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Protocol, Self

import grpc
from grpc_health.v1 import health_pb2_grpc

from copycatch.v1 import (
    audit_service_pb2_grpc,
    brands_service_pb2_grpc,
    disputes_service_pb2_grpc,
    listings_service_pb2_grpc,
    match_service_pb2,
    match_service_pb2_grpc,
    originals_service_pb2_grpc,
    sweep_service_pb2_grpc,
)
from service.cli.credentials import Credentials, connect, from_environment
from service.cli.failure import CommandError, from_rpc_error

DEFAULT_SERVER = "127.0.0.1:50051"
"""Where `copycatch serve` listens unless its configuration says otherwise."""

DEFAULT_TIMEOUT_S = 60.0
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class Unary[Q, R](Protocol):
    """A method with one request and one response."""

    def __call__(self, request: Q, *, timeout: float | None = None) -> R: ...


class Stream[Q, R](Protocol):
    """A method with a stream of requests and a stream of responses."""

    def __call__(self, request_iterator: Iterator[Q]) -> Iterable[R]: ...


class Client:
    """Stubs of all services over one channel. Closed by `with`."""

    def __init__(
        self,
        target: str,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        credentials: Credentials | None = None,
    ) -> None:
        """Prepare a channel; the first call connects.

        Args:
            target: `host:port` or `unix:path`.
            timeout_s: deadline of each unary call, in seconds.
            credentials: what it shows; those of the environment when None.
        """
        if target.startswith(("http://", "https://")):
            plain = target.partition("://")[2].rstrip("/")
            raise CommandError(f"'{target}' is a URL", f"write host:port alone, as in {plain}")
        host, _, port = target.rpartition(":")
        if not target.startswith("unix:") and (not host or not port.isdigit()):
            raise CommandError(f"'{target}' is not an address", "write host:port or unix:path")
        self.target = target
        self.timeout_s = timeout_s
        options: list[tuple[str, Any]] = [
            # An evidence picture may exceed the default of 4 MiB.
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
        ]
        if host in LOOPBACK:
            options.append(("grpc.enable_http_proxy", 0))
        self.credentials = credentials or from_environment()
        self._channel = connect(target, self.credentials, options)
        self.brands = brands_service_pb2_grpc.BrandsServiceStub(self._channel)
        self.originals = originals_service_pb2_grpc.OriginalsServiceStub(self._channel)
        self.audit = audit_service_pb2_grpc.AuditServiceStub(self._channel)
        self.listings = listings_service_pb2_grpc.ListingsServiceStub(self._channel)
        self.disputes = disputes_service_pb2_grpc.DisputesServiceStub(self._channel)
        self.match = match_service_pb2_grpc.MatchServiceStub(self._channel)
        self.sweeps = sweep_service_pb2_grpc.SweepServiceStub(self._channel)
        self.health: Any = health_pb2_grpc.HealthStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel; calls that still run are cancelled."""
        self._channel.close()

    def call[Q, R](self, method: Unary[Q, R], request: Q) -> R:
        """Call a unary method.

        Raises:
            CommandError: the call failed; says how, with the remedy.
        """
        try:
            return method(request, timeout=self.timeout_s)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target) from error

    def stream[Q, R](self, method: Stream[Q, R], requests: Iterable[Q]) -> Iterator[R]:
        """Call a streaming method and yield its answers as they come.

        The requests are drawn by a thread of grpc's. When drawing fails the stream is closed
        in order, what was sent is answered, and the failure is raised here at the end.

        Raises:
            CommandError: the call failed.
        """
        failures: list[Exception] = []

        def guarded() -> Iterator[Q]:
            try:
                yield from requests
            except Exception as error:  # raised again below; grpc would only log it
                failures.append(error)

        call = method(guarded())
        try:
            yield from call
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target) from error
        finally:
            cancel: Callable[[], bool] | None = getattr(call, "cancel", None)
            if cancel is not None:
                cancel()
        if failures:
            raise failures[0]

    def info(self) -> match_service_pb2.ServerInfo:
        """Ask the server what it runs."""
        return self.call(self.match.GetServerInfo, match_service_pb2.GetServerInfoRequest())
