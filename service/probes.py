"""The HTTP endpoint for machines that watch a server: `/metrics`, `/livez`, `/readyz`.

It runs in threads of its own, so that it answers while the event loop is busy: a server that
is busy is alive.
"""

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from service.tls import Tls

log = logging.getLogger(__name__)

_CALLER_S = 30.0
"""Seconds that a caller may take to send or take something."""


class ProbesUnbound(RuntimeError):
    """The address of the HTTP endpoint can not be listened on."""

    reason: ClassVar[str] = "PROBES_UNBOUND"

    def __init__(self, address: str, why: str) -> None:
        super().__init__(
            f"can not listen on {address}: {why}; choose another with `metrics_listen` "
            '(COPYCATCH_METRICS_LISTEN), or set it to nothing ("") to go without'
        )
        self.address, self.why = address, why


class Probes:
    """A small HTTP server; `start` it and `stop` it once.

    Args:
        address: `host:port`; port 0 takes a free one.
        registry: the metrics to show.
        readiness: returns an empty string when ready, otherwise why not.
        may_watch: says of the `authorization` headers of a request whether they may read the
            metrics. Liveness and readiness are for everybody: kubelets show no key.
        tls: what it is served with; plain HTTP when None.
    """

    def __init__(
        self,
        address: str,
        registry: CollectorRegistry,
        readiness: Callable[[], str],
        may_watch: Callable[[Sequence[str]], bool] = lambda shown: True,
        tls: Tls | None = None,
    ) -> None:
        host, _, port = address.rpartition(":")
        try:
            self._server = _Server(
                (host.strip("[]"), int(port)), registry, readiness, may_watch, tls
            )
        except OSError as error:
            raise ProbesUnbound(address, str(error)) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="copycatch-probes", daemon=True
        )
        self.address = f"{host}:{self._server.server_address[1]}"
        """Where it listens, with the port that it got."""

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and give the port back."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self,
        address: tuple[str, int],
        registry: CollectorRegistry,
        readiness: Callable[[], str],
        may_watch: Callable[[Sequence[str]], bool],
        tls: Tls | None,
    ) -> None:
        self.registry, self.readiness, self.may_watch = registry, readiness, may_watch
        self._tls = tls
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Take a connection; its handshake is done in its own thread, at the first read."""
        connection, address = super().get_request()
        connection.settimeout(_CALLER_S)
        if self._tls is not None:
            connection = self._tls.context().wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Note a caller that went away or spoke something else."""
        log.debug("a request for the metrics ended early", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Answer one of the three paths."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            if not self.server.may_watch(self.headers.get_all("authorization") or ()):
                self._answer(401, b"send `Authorization: Bearer KEY`, of the role metrics\n")
                return
            self._answer(200, generate_latest(self.server.registry), CONTENT_TYPE_LATEST)
        elif path == "/livez":
            self._answer(200, b"alive\n")
        elif path == "/readyz":
            why_not = self.server.readiness()
            self._answer(503 if why_not else 200, f"{why_not or 'ready'}\n".encode())
        else:
            self._answer(404, b"there is /metrics, /livez and /readyz\n")

    def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep probes out of the log."""
