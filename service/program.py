"""The program `serve`: a server from the start of its process to the signal that ends it."""

import asyncio
import logging
import signal
import sys

from service.config import Config
from service.server import start
from service.telemetry import configure_logging

log = logging.getLogger(__name__)


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT; blocks.

    Raises:
        what `start` raises.
    """
    configure_logging(config.log_form(terminal=sys.stderr.isatty()), config.log_level)
    asyncio.run(_serve(config))


async def _serve(config: Config) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)

    def end() -> None:
        """Begin to end; a second signal does what it does by itself: end at once."""
        ended.set()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, end)
    server = await start(config, wait=False)
    server.say_who_may_call()
    log.info("listening on %s", server.address)
    if server.metrics_address:
        log.info("metrics and probes on %s", server.metrics_address)
    loading = asyncio.ensure_future(server.ready())
    ending = asyncio.ensure_future(ended.wait())
    try:
        await asyncio.wait({loading, ending}, return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            if (error := loading.exception()) is not None:
                log.error("can not load: %s", error)
                raise error
            await ending
    finally:
        loading.cancel()
        ending.cancel()
        log.info("shutting down")
        await server.stop()
