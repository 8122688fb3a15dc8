"""The program of a helper: `python -m service.helpers.process FD`, started by `pool` alone.

It ends when its server does, and only then: signals that are sent to all processes of a terminal
or a service are the server's to answer.
"""

import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partialmethod
from itertools import count
from multiprocessing.connection import Connection
from pickle import PicklingError
from typing import Any

from models.encoders import EncoderInfo, FloatArray, Row, UInt8Array
from models.fingerprint import Fingerprinter
from models.pixel_budget import DECODING
from models.preparation import Preparation
from models.sketch import Kept, Sketch
from service.helpers.wire import Ask, Done, Failed, Setup, Task, Tell
from service.matching.pipeline import Matcher
from service.matching.results import CheckOptions, Comparison, ImageVerdict

_SMALL = 4_000_000
"""Pixels of a picture that needs no room of its own: a helper has one such at a time."""


class Server:
    """The server, as a helper sees it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ask(self, name: str, *arguments: Any, **named: Any) -> Any:
        """Have the server do something; raises what that raises."""
        self._connection.send(Ask(name, arguments, named))
        answer: Done | Failed = self._connection.recv()
        if isinstance(answer, Failed):
            raise answer.error
        return answer.value

    def tell(self, name: str, *arguments: Any) -> None:
        """Likewise, and go on at once."""
        self._connection.send(Tell(name, arguments))

    @contextmanager
    def room(self, pixels: int) -> Iterator[None]:
        """Hold room in memory for the pixels of a picture, beside those of other helpers."""
        if pixels <= _SMALL:
            yield
            return
        self.ask("hold", pixels)
        try:
            yield
        finally:
            self.tell("let_go")


@dataclass(frozen=True, slots=True)
class Originals:
    """The server's catalogue, as far as a matcher needs it."""

    server: Server

    def _ask(self, name: str, *arguments: Any, **named: Any) -> Any:
        return self.server.ask(name, *arguments, **named)

    search_many = partialmethod(_ask, "search_many")
    most_voted = partialmethod(_ask, "most_voted")
    by_key = partialmethod(_ask, "by_key")
    features_many = partialmethod(_ask, "features_many")
    previews_many = partialmethod(_ask, "previews_many")
    find_digest = partialmethod(_ask, "find_digest")
    get_brand = partialmethod(_ask, "get_brand")
    stats = partialmethod(_ask, "stats")


@dataclass(frozen=True, slots=True)
class _Preparing:
    """An encoder that is in the server: what is left of it here."""

    info: EncoderInfo
    preparation: Preparation | None

    def prepare(self, rgb: UInt8Array) -> Row:
        return rgb if self.preparation is None else self.preparation(rgb)


class _Vector(Future[FloatArray]):
    """A vector that the server was asked for, fetched when it is wanted."""

    def __init__(self, server: Server, number: int) -> None:
        super().__init__()
        self._server, self._number = server, number

    def result(self, timeout: float | None = None) -> FloatArray:
        vector: FloatArray = self._server.ask("vector", self._number)
        return vector


class _Encoding:
    """The passes of one of the server's encoders."""

    def __init__(
        self, server: Server, space: str, encoder: _Preparing, numbers: Iterator[int]
    ) -> None:
        self.encoder = encoder
        self._server, self._space, self._numbers = server, space, numbers

    def submit(self, prepared: Row, *, deadline: float | None = None) -> Future[FloatArray]:
        number = next(self._numbers)
        self._server.tell("encode", number, self._space, prepared, deadline)
        return _Vector(self._server, number)


class Helper:
    """Does the tasks of a server, one after the other."""

    def __init__(self, server: Server, setup: Setup) -> None:
        numbers = count()
        encoders = {
            space: _Encoding(server, space, _Preparing(*how), numbers)
            for space, how in setup.encoders.items()
        }
        self._matcher = Matcher(
            Originals(server),
            Fingerprinter(encoders["sscd"], encoders.get("clip")),
            setup.policy,
            setup.models,
            setup.calibration,
            key_points=setup.key_points,
        )
        DECODING.ask(server.room)

    def check(
        self, data: bytes, options: CheckOptions, deadline: float | None, keep: bool
    ) -> tuple[ImageVerdict, Sketch | None]:
        """See `Matcher.check`; with `keep` also the sketch of the picture."""
        kept: list[Kept] = []
        found = self._matcher.check(data, options, deadline, kept.append if keep else None)
        return found, kept[0]() if kept else None

    def check_again(self, sketch: Sketch, options: CheckOptions) -> ImageVerdict:
        """See `Matcher.check_again`."""
        return self._matcher.check_again(sketch, options)

    def compare(self, a: bytes, b: bytes, evidence_png: bool) -> Comparison:
        """See `Matcher.compare`."""
        return self._matcher.compare(a, b, evidence_png=evidence_png)


def main(arguments: Sequence[str]) -> int:
    """Work until the server closes the connection."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    with Connection(int(arguments[0])) as connection:
        try:
            helper = Helper(Server(connection), connection.recv())
            connection.send(Done(None))
            while True:
                outcome = _outcome(helper, connection.recv())
                try:
                    connection.send(outcome)
                except (PicklingError, TypeError, AttributeError) as error:
                    connection.send(Failed.by(RuntimeError(f"{outcome} can not be told: {error}")))
        except (EOFError, ConnectionError):
            return 0


def _outcome(helper: Helper, task: Task) -> Done | Failed:
    try:
        return Done(getattr(helper, task.name)(*task.arguments))
    except (EOFError, ConnectionError):
        raise  # the server is gone
    except Exception as error:
        return Failed.by(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
