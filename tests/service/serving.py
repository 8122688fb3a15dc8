"""A real server for a test: in this process, on port 0, with real faiss and lmdb."""

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from copycatch.v1 import (
    audit_service_pb2_grpc,
    brands_service_pb2,
    brands_service_pb2_grpc,
    disputes_service_pb2_grpc,
    listings_service_pb2_grpc,
    match_service_pb2_grpc,
    originals_service_pb2,
    originals_service_pb2_grpc,
    sweep_service_pb2_grpc,
)
from index.catalogue import Clock
from service.access.roles import Role
from service.cli.credentials import Credentials, connect
from service.config import Config, load
from service.server import RunningServer, start
from service.workers import Places
from tests.kit.images import draw, encode


def settings(folder: Path, **values: Any) -> Config:
    """Settings of a server that loads in a moment."""
    return load(
        **{
            "data_dir": folder / "data",
            "listen": "127.0.0.1:0",
            "metrics_listen": "127.0.0.1:0",
            "encoder": "toy",
            "clip": "off",
            "store_gib": 1.0,
            **values,
        }
    )


class Served:
    """A running server and stubs of its services.

    Attributes:
        running: the server; its loop runs in a thread of its own.
    """

    def __init__(self, running: RunningServer, loop: asyncio.AbstractEventLoop) -> None:
        self.running, self.loop = running, loop
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
        ]
        self._options = options
        self.key, self.secret = running.keys.create("the test", Role.ADMIN)
        self.channel = self.connect(self.secret)
        self.brands = brands_service_pb2_grpc.BrandsServiceStub(self.channel)
        self.originals = originals_service_pb2_grpc.OriginalsServiceStub(self.channel)
        self.listings = listings_service_pb2_grpc.ListingsServiceStub(self.channel)
        self.disputes = disputes_service_pb2_grpc.DisputesServiceStub(self.channel)
        self.match = match_service_pb2_grpc.MatchServiceStub(self.channel)
        self.audit = audit_service_pb2_grpc.AuditServiceStub(self.channel)
        self.sweeps = sweep_service_pb2_grpc.SweepServiceStub(self.channel)
        self.work: list[asyncio.Future[Any]] = []

    def connect(self, secret: str) -> grpc.Channel:
        """Return a connection that shows this key; the caller closes it."""
        return connect(self.running.address, Credentials(secret), self._options)

    @contextmanager
    def acting(self, role: Role, *brands: str, **values: Any) -> Iterator["Acting"]:
        """Stubs that show a new key of this role."""
        key, secret = self.running.keys.create(role.value, role, brands=brands, **values)
        with self.connect(secret) as channel:
            yield Acting(channel, key.id)

    def on_loop[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def create_brand(self, brand: str = "acme") -> str:
        """Create a brand and return its name."""
        request = brands_service_pb2.CreateBrandRequest(
            brand_id=brand, brand=brands_service_pb2.Brand(display_name=brand.title())
        )
        return self.brands.CreateBrand(request).name

    def create_original(
        self, original: str, image: bytes, brand: str = "acme"
    ) -> originals_service_pb2.Original:
        """Create an original."""
        return self.originals.CreateOriginal(new_original(original, image, brand))


class Acting:
    """Stubs of the services that show one key."""

    def __init__(self, channel: grpc.Channel, key_id: str) -> None:
        self.channel, self.key_id = channel, key_id
        self.brands = brands_service_pb2_grpc.BrandsServiceStub(channel)
        self.originals = originals_service_pb2_grpc.OriginalsServiceStub(channel)
        self.disputes = disputes_service_pb2_grpc.DisputesServiceStub(channel)
        self.match = match_service_pb2_grpc.MatchServiceStub(channel)
        self.sweeps = sweep_service_pb2_grpc.SweepServiceStub(channel)


def new_original(
    original: str, image: bytes, brand: str = "acme", **fields: Any
) -> originals_service_pb2.CreateOriginalRequest:
    """Return the request that creates an original."""
    return originals_service_pb2.CreateOriginalRequest(
        parent=f"brands/{brand}",
        original_id=original,
        original=originals_service_pb2.Original(image=image),
        **fields,
    )


@contextmanager
def a_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="test-loop")
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def serving(config: Config, *, wait: bool = True, clock: Clock = time.time_ns) -> Iterator[Served]:
    """A server for the time of the block."""
    with a_loop() as loop:
        starting = start(config, wait=wait, clock=clock)
        running = asyncio.run_coroutine_threadsafe(starting, loop).result(60)
        served = Served(running, loop)
        try:
            yield served
        finally:
            served.channel.close()
            served.on_loop(running.stop(0))


@contextmanager
def occupied(served: Served, places: int) -> Iterator[threading.Event]:
    """Fill so many places of a server with work that ends at the end of the block, or before.

    Yields an event that ends the work when it is set.
    """
    release = threading.Event()

    async def occupy() -> Places:
        held = served.running.pictures.admit(places)
        for _ in range(places):
            served.work.append(asyncio.ensure_future(held.run(lambda: release.wait(60))))
        await asyncio.sleep(0)
        return held

    served.on_loop(occupy())
    try:
        yield release
    finally:
        release.set()


def picture(seed: int, size: tuple[int, int] = (200, 160)) -> bytes:
    """An encoded picture that is drawn from a seed."""
    return encode(draw(seed, size), "PNG")


class Failure:
    """What a caller is told by an error."""

    code: grpc.StatusCode
    message: str
    reason: str
    request_id: str
    info: error_details_pb2.ErrorInfo
    violations: list[str]
    retry_s: float | None

    def __init__(self, error: grpc.RpcError) -> None:
        assert isinstance(error, grpc.Call)
        status = rpc_status.from_call(error)
        assert status is not None, error
        trailers: dict[str, Any] = dict(error.trailing_metadata() or ())
        self._read(status, trailers["x-request-id"])
        assert self.code is error.code()

    @classmethod
    def of_item(cls, status: status_pb2.Status) -> "Failure":
        """What is told of one item of a stream that goes on."""
        made = cls.__new__(cls)
        made._read(status, "")
        return made

    def _read(self, status: status_pb2.Status, request_id: str) -> None:
        self.code = {code.value[0]: code for code in grpc.StatusCode}[status.code]
        self.message, self.request_id = status.message, request_id
        self.info = error_details_pb2.ErrorInfo()
        self.violations = []
        self.retry_s = None
        for detail in status.details:
            bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
            if detail.Unpack(bad):
                self.violations = [one.field for one in bad.field_violations]
            elif detail.Unpack(retry):
                self.retry_s = retry.retry_delay.ToNanoseconds() / 1e9
            else:
                assert detail.Unpack(self.info), detail
        self.reason = self.info.reason


def failure(call: Any, *arguments: Any, **keywords: Any) -> Failure:
    """Make a call that must fail."""
    try:
        answer = call(*arguments, **keywords)
    except grpc.RpcError as error:
        return Failure(error)
    raise AssertionError(f"answered {answer!r}")
