"""The server: it listens at once, loads, answers, and leaves in good order.

Life of a server: the port is bound and health says NOT_SERVING while the indexes and
encoders load (calls get INDEX_NOT_READY); then SERVING. At the end health says NOT_SERVING first,
new calls get SHUTTING_DOWN, accepted ones are answered, streams answer what they have read,
a snapshot is written.

The event loop only waits. Blocking work runs in named threads: `copycatch-pictures` (decode,
encode, search, verify), `copycatch-store` (short reads and writes), `copycatch-commit`
(commits of originals), `copycatch-sweep-0` and on (sweeps), `copycatch-load`.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

from grpc_health.v1 import health, health_pb2

from index.catalogue import Clock
from models.batcher import BatchReport
from service.access.keys import KeyStore
from service.access.limits import Allowances, Limits
from service.access.refusals import CallerRefused
from service.access.roles import Role
from service.addresses import try_to_listen
from service.assembly import assemble
from service.config import Config
from service.preflight import Problem, unwritable
from service.probes import Probes
from service.readings import readings
from service.registry import GroupCommit
from service.rpc import services
from service.rpc.callers import Patience
from service.rpc.calls import Server
from service.rpc.doors import Doors
from service.rpc.front import Front
from service.rpc.gate import Gate
from service.sweeps.lane import Lane
from service.telemetry import Metrics
from service.tls import Tls, TlsFiles
from service.workers import Workers

log = logging.getLogger(__name__)

_STORE_THREADS = 4
_DESERTED_S = 0.25
_DESERT_S = 3.0
"""A server that stops refuses calls until none has come for so long, and no longer than that."""


class ListenFailed(RuntimeError):
    """The address can not be listened on."""

    reason: ClassVar[str] = "LISTEN_FAILED"

    def __init__(self, address: str, why: str) -> None:
        super().__init__(
            f"can not listen on {address}: another program does, or the address is none of this "
            "machine; choose another with `listen` (COPYCATCH_LISTEN)"
        )
        self.address, self.why = address, why


class DataDirUnusable(RuntimeError):
    """The folder of the setting `data_dir` can not be made or written."""

    reason: ClassVar[str] = "DATA_DIR_UNUSABLE"

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class RunningServer:
    """A server that listens. Made by `start`; call `stop` once.

    Attributes:
        address: where it listens, with the port that it got.
        metrics_address: the same of `/metrics`, empty when it is off.
        metrics: what it counts.
        gate: what it lets in.
        pictures: its threads for work on pictures.
        keys: the API keys that it knows.
    """

    def __init__(self, config: Config, clock: Clock = time.time_ns) -> None:
        self._config, self._clock = config, clock
        if (problem := unwritable(config)) is not None:
            raise DataDirUnusable(problem)
        self.keys = KeyStore.open(config.data_dir, clock)
        self.metrics = Metrics()
        self.gate = Gate(config.max_calls)
        self._health = health.aio.HealthServicer()
        self.pictures = Workers(
            "pictures",
            config.threads,
            config.queue_size,
            self.metrics.waited,
            config.picture_timeout_s,
        )
        self._store = ThreadPoolExecutor(_STORE_THREADS, thread_name_prefix="copycatch-store")
        self._commits = GroupCommit(
            lambda news: self.gate.engine.catalogue.register_many(news), config.commit_batch
        )
        self._loading: asyncio.Task[None] | None = None
        self._doors = Doors(None if config.insecure else self.keys)
        self._allowances = Allowances(
            Limits(
                config.key_requests_per_s,
                config.key_mib_per_s * (1 << 20),
                config.key_streams,
                config.key_pictures,
            )
        )
        self._tls: Tls | None = None
        try:
            if config.tls_certificate is not None and config.tls_key is not None:
                files = TlsFiles(config.tls_certificate, config.tls_key, config.tls_client_ca)
                self._tls = Tls(files)
            patience = Patience(config.caller_timeout_s, config.stream_idle_s)
            self._server = services.create(
                self._parts(config),
                self._commits,
                self._health,
                Front(self.gate, self.metrics, self._doors, self._allowances, patience),
            )
            port = self._bind(config.listen)
        except BaseException:
            self.keys.close()
            raise
        host, _, _ = config.listen.rpartition(":")
        self.address = config.listen if config.listen.startswith("unix:") else f"{host}:{port}"
        self._probes: Probes | None = None
        self.metrics_address = ""
        self._failure = ""

    async def ready(self) -> None:
        """Wait until the server answers calls.

        Raises:
            whatever kept it from loading, such as weights that are missing.
        """
        assert self._loading is not None, "not started"
        await asyncio.shield(self._loading)

    async def stop(self, grace_s: float | None = None) -> None:
        """Answer what was accepted, then close everything.

        Args:
            grace_s: seconds that calls get to finish; the configured time when None. Those
                that take longer are cancelled.
        """
        grace_s = self._config.shutdown_grace_s if grace_s is None else grace_s
        until = time.monotonic() + grace_s
        await self._health.enter_graceful_shutdown()
        self.metrics.set_ready(False)
        self.gate.closing.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.gate.emptied(), grace_s)
        # gRPC ends a call that reaches it while it stops with CANCELLED, which says that the
        # caller wanted it. So it goes on until those who call have heard that it goes away.
        await self.gate.deserted(_DESERTED_S, min(_DESERT_S, until - time.monotonic()))
        await self._server.stop(max(until - time.monotonic(), 0.0))
        if self._loading is not None:
            await asyncio.wait({self._loading})
        await self._commits.close()
        await asyncio.to_thread(self.pictures.close)
        await asyncio.to_thread(self._store.shutdown)
        if self.gate.loaded is not None:
            await asyncio.to_thread(self.gate.loaded.close)
        if self._probes is not None:
            await asyncio.to_thread(self._probes.stop)
        await asyncio.to_thread(self.keys.close)
        log.info("stopped")

    async def _start(self) -> None:
        if self._config.metrics_listen:
            self._probes = Probes(
                self._config.metrics_listen,
                self.metrics.registry,
                self._why_not_ready,
                self._may_watch,
                self._tls,
            )
            self.metrics_address = self._probes.address
        await self._health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        for name in services.NAMES:
            await self._health.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._server.start()
        if self._probes is not None:
            self._probes.start()
        self._loading = asyncio.create_task(self._load(), name="load")

    def say_who_may_call(self) -> None:
        """Warn of a server that lets in everybody or nobody; not whoever starts one for itself."""
        if self._config.insecure:
            log.warning(
                "INSECURE: nobody is asked for an API key; everybody who reaches %s may do "
                "everything",
                self.address,
            )
        elif not self.keys.active_count():
            log.warning(
                "there is no API key in force, so every call is refused; make one with "
                "`copycatch keys create NAME --role admin --data-dir %s`",
                self._config.data_dir,
            )

    def _bind(self, listen: str) -> int:
        """Take an address; return its port. Raises ListenFailed."""
        try:
            # gRPC writes a line of its own to stderr about an address that is taken.
            if not listen.startswith("unix:"):
                try_to_listen(listen)
            if self._tls is None:
                return self._server.add_insecure_port(listen)
            return self._server.add_secure_port(listen, self._tls.server_credentials())
        except (OSError, RuntimeError) as error:
            raise ListenFailed(listen, str(error)) from error

    def _parts(self, config: Config) -> Server:
        """What the servicers need of this server."""
        return Server(
            self.gate,
            self.metrics,
            self.pictures,
            self._store,
            config.stream_window,
            config.audit == "required",
            self._allowances,
        )

    def _observe(self, encoder: str, report: BatchReport) -> None:
        self.metrics.encoded(encoder, report.rows, report.queue_wait_s, report.forward_s)

    def _why_not_ready(self) -> str:
        """Return why calls are not answered, empty when they are. For any thread."""
        if self.pictures.hanging >= self.pictures.threads:
            return f"{self.pictures.hanging} threads hang in pictures"
        if self.gate.ready:
            return ""
        return self._failure or ("shutting down" if self.gate.closing.is_set() else "loading")

    def _may_watch(self, shown: Sequence[str]) -> bool:
        """Return whether these `authorization` headers may read the metrics. For any thread."""
        try:
            caller = self._doors.identify_header(shown)
        except CallerRefused:
            return False
        return caller.role in (Role.ADMIN, Role.METRICS)

    async def _load(self) -> None:
        began = time.monotonic()
        loader = ThreadPoolExecutor(1, thread_name_prefix="copycatch-load")
        try:
            engine = await asyncio.get_running_loop().run_in_executor(
                loader,
                assemble,
                self._config,
                self._observe,
                self._clock,
                self.metrics.remembered,
            )
        except Exception as error:
            self._failure = f"can not load: {error}"
            raise
        finally:
            loader.shutdown(wait=False)
        self.gate.open(engine)
        if self.gate.closing.is_set():
            return
        self.metrics.watch(
            lambda: readings(
                engine.catalogue.stats(),
                self.pictures,
                self._commits,
                engine.remembering,
                engine.helpers,
            )
        )
        engine.sweeps.start(Lane(self.pictures.idle).turn)
        self.metrics.set_ready(True)
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)
        for name in services.NAMES:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        log.info("ready after %.1f s on %s", time.monotonic() - began, self.address)


async def start(config: Config, *, wait: bool = True, clock: Clock = time.time_ns) -> RunningServer:
    """Start a server on the running event loop.

    Args:
        wait: return only when it is ready; otherwise as soon as it listens.
        clock: nanoseconds since 1970, for the times that are stored and compared.

    Raises:
        ListenFailed: the address is taken or not ours.
        DataDirUnusable: this user may not write there, or it is no folder.
        whatever `RunningServer.ready` raises; the server is then stopped again.
    """
    server = RunningServer(config, clock)
    await server._start()
    if wait:
        try:
            await server.ready()
        except BaseException:
            await server.stop(0)
            raise
    return server
