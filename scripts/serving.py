"""A server in this process for a measurement, and the calls that every measurement makes."""

import asyncio
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from copycatch.v1 import (
    brands_service_pb2,
    brands_service_pb2_grpc,
    originals_service_pb2,
    originals_service_pb2_grpc,
)
from service.access.roles import Role
from service.cli.credentials import Credentials
from service.cli.credentials import connect as show_key
from service.config import Config, load
from service.server import start

OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
]

_KEYS: dict[str, str] = {}
"""The API key of each server that runs, by its address."""


@contextmanager
def served(
    path: Path | None = None, data_dir: Path | None = None, **values: Any
) -> Iterator[tuple[str, Config]]:
    """Run a server on a free port; yield its address and settings.

    Args:
        path, values: settings, as of `service.config.load`; the addresses are chosen here.
        data_dir: where it keeps its data; None is an empty folder that goes with the server.

    Raises:
        what `service.server.start` raises.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="server", daemon=True)
    thread.start()
    try:
        with tempfile.TemporaryDirectory(prefix="copycatch-") as folder:
            fixed = {"listen": "127.0.0.1:0", "metrics_listen": ""}
            config = load(path, **values, **fixed, data_dir=data_dir or Path(folder))
            running = asyncio.run_coroutine_threadsafe(start(config), loop).result()
            try:
                _, _KEYS[running.address] = running.keys.create("this run", Role.ADMIN)
                yield running.address, config
            finally:
                _KEYS.pop(running.address, None)
                asyncio.run_coroutine_threadsafe(running.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def connect(address: str) -> grpc.Channel:
    """Return a connection of its own; callers that shared one would share its one socket."""
    options = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
    return show_key(address, Credentials(_KEYS[address]), options)


def register(
    channel: grpc.Channel,
    brand: str,
    images: Mapping[str, Callable[[], bytes]],
    progress: Callable[[], None] = lambda: None,
) -> tuple[dict[str, str], dict[str, str]]:
    """Create a brand and import originals.

    Args:
        images: reads each original's bytes, by the name that it has in the data.
        progress: called after each.

    Returns:
        The name in the data of each resource name; and why others failed, by name in the data.
    """
    brands_service_pb2_grpc.BrandsServiceStub(channel).CreateBrand(
        brands_service_pb2.CreateBrandRequest(
            brand_id=brand, brand=brands_service_pb2.Brand(display_name=brand)
        )
    )

    def requests() -> Iterator[originals_service_pb2.ImportOriginalsRequest]:
        for number, (name, read) in enumerate(images.items()):
            yield originals_service_pb2.ImportOriginalsRequest(
                item_id=name,
                request=originals_service_pb2.CreateOriginalRequest(
                    parent=f"brands/{brand}",
                    original_id=f"o-{number:06d}",
                    original=originals_service_pb2.Original(image=read()),
                ),
            )

    names: dict[str, str] = {}
    failures: dict[str, str] = {}
    stub = originals_service_pb2_grpc.OriginalsServiceStub(channel)
    for answer in stub.ImportOriginals(requests()):
        if answer.WhichOneof("result") == "original":
            names[answer.original.name] = answer.item_id
        else:
            failures[answer.item_id] = answer.error.message
        progress()
    return names, failures
