"""What the server does for a helper that has a task."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any

from index.catalogue import Catalogue
from models.batcher import Batcher
from models.encoders import FloatArray, Row
from models.pixel_budget import DECODING
from service.helpers.wire import Ask, Tell

_READ = (
    "search_many",
    "most_voted",
    "by_key",
    "features_many",
    "previews_many",
    "find_digest",
    "get_brand",
    "stats",
)
"""What helpers may ask of the catalogue."""


class Desk:
    """Answers one helper for the time of one task. Not for several threads.

    Args:
        catalogue: that is looked up.
        encoders: by kind of vector, running.
        prepared: kinds of vector whose rows come prepared.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        encoders: Mapping[str, Batcher],
        prepared: frozenset[str],
    ) -> None:
        self._catalogue, self._encoders, self._prepared = catalogue, encoders, prepared
        self._vectors: dict[int, Future[FloatArray]] = {}
        self._rooms: list[AbstractContextManager[None]] = []

    def answer(self, asked: Ask | Tell) -> Any:
        """Do what a helper wants; raises what that raises."""
        if asked.name in _READ and isinstance(asked, Ask):
            return getattr(self._catalogue, asked.name)(*asked.arguments, **asked.named)
        answers: Mapping[str, Callable[..., Any]] = {
            "encode": self._encode,
            "vector": self._vector,
            "hold": self._hold,
            "let_go": self._let_go,
        }
        return answers[asked.name](*asked.arguments)

    def _encode(self, number: int, space: str, row: Row, deadline: float | None) -> None:
        batcher = self._encoders[space]
        try:
            ready = row if space in self._prepared else batcher.encoder.prepare(row)
            self._vectors[number] = batcher.submit(ready, deadline=deadline)
        except Exception as error:  # told to whoever wants the vector
            self._vectors[number] = failed = Future[FloatArray]()
            failed.set_exception(error)

    def _vector(self, number: int) -> FloatArray:
        return self._vectors.pop(number).result()

    def _hold(self, pixels: int) -> None:
        room = DECODING.hold(pixels)
        room.__enter__()
        self._rooms.append(room)

    def _let_go(self) -> None:
        self._rooms.pop().__exit__(None, None, None)

    def close(self) -> None:
        """Give back what the task has taken and not given back."""
        for future in self._vectors.values():
            future.cancel()
        while self._rooms:
            self._let_go()
