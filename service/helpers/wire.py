"""What a server and its helpers say to each other, pickled, over a pair of sockets of their own.

The server sends a `Setup` once and then a `Task` at a time. Until the helper says `Done` or
`Failed` it may `Ask`, which is answered with `Done` or `Failed`, and `Tell`, which is not answered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.encoders import EncoderInfo
from models.preparation import Preparation
from service.matching.calibration import Calibration
from service.matching.score import ScoreModels


@dataclass(frozen=True, slots=True)
class Setup:
    """What a helper needs to know before its first task.

    Attributes:
        encoders: by kind of vector, who encodes, and how pictures are prepared for it; None where
            the server does that.
        policy: of checks that name none.
        models: the scores.
        calibration: laid over them.
        key_points: whether every check looks up key points.
    """

    encoders: Mapping[str, tuple[EncoderInfo, Preparation | None]]
    policy: str
    models: ScoreModels
    calibration: Calibration | None
    key_points: bool


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work: the name of a method of `service.helpers.process.Helper`."""

    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to the server: the name of a method of `service.helpers.pool.Desk`."""

    name: str
    arguments: tuple[Any, ...]
    named: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tell:
    """The same without an answer: the helper goes on at once."""

    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a task or a question."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The error that a task or a question ended in, by its parts.

    An error pickles itself as its type and its words, which most of ours are not made from.
    """

    kind: type[Exception]
    words: tuple[Any, ...]
    state: Mapping[str, Any]

    @staticmethod
    def by(error: Exception) -> "Failed":
        """Take an error apart."""
        return Failed(type(error), error.args, dict(vars(error)))

    @property
    def error(self) -> Exception:
        """The same error, put together again; what led to it stayed where it was."""
        made = self.kind.__new__(self.kind, *self.words)
        vars(made).update(self.state)
        return made


type FromHelper = Ask | Tell | Done | Failed
