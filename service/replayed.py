"""What a replay of a verdict says: then, today, and why they differ."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from service.auditing import JUDGE
from service.matching.results import Provenance, Verdict


class NotReplayable(ValueError):
    """The entry holds no verdict about a listing."""

    reason: ClassVar[str] = "NOT_REPLAYABLE"

    def __init__(self, sequence: int, action: str) -> None:
        super().__init__(
            f"entry {sequence} of the audit log is about {action}; only {JUDGE} can be replayed"
        )
        self.sequence, self.action = sequence, action

    def __reduce__(self) -> tuple[type["NotReplayable"], tuple[int, str]]:
        return type(self), (self.sequence, self.action)


class ImageDiffers(ValueError):
    """A picture that was handed in is none of those that the entry is about."""

    reason: ClassVar[str] = "IMAGE_DIFFERS"

    def __init__(self, digest: str, sequence: int) -> None:
        super().__init__(
            f"the picture with SHA-256 {digest} is none of those with a verdict in entry "
            f"{sequence}; hand in the bytes that were checked"
        )
        self.digest, self.sequence = digest, sequence

    def __reduce__(self) -> tuple[type["ImageDiffers"], tuple[str, int]]:
        return type(self), (self.digest, self.sequence)


class Cause(StrEnum):
    """Why an answer of today is, or may be, another one; as `Replay.Cause` of the protos."""

    ORIGINAL_WITHDRAWN = "ORIGINAL_WITHDRAWN"
    ORIGINAL_ADDED = "ORIGINAL_ADDED"
    POLICY_CHANGED = "POLICY_CHANGED"
    MODEL_CHANGED = "MODEL_CHANGED"
    ENCODER_CHANGED = "ENCODER_CHANGED"
    SCORE_MOVED = "SCORE_MOVED"
    RIGHTS_CHANGED = "RIGHTS_CHANGED"
    FINGERPRINT_DROPPED = "FINGERPRINT_DROPPED"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason, in words too; `original` is a resource name or empty."""

    cause: Cause
    words: str
    original: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """One original, then and now; None where there is nothing to tell."""

    original: str
    logged_verdict: Verdict | None
    verdict: Verdict | None
    logged_score: float | None
    score: float | None


@dataclass(frozen=True, slots=True)
class ReplayedPicture:
    """One picture of the log.

    Attributes:
        logged: verdict in the log, None for one that could not be checked.
        today: verdict of today, None where it can not be told.
        complete: whether the picture itself was checked.
        certain: whether `today` is.
    """

    position: int
    logged: Verdict | None
    today: Verdict | None
    complete: bool
    certain: bool
    reasons: tuple[Reason, ...]
    originals: tuple[Compared, ...]


@dataclass(frozen=True, slots=True)
class Replayed:
    """A verdict of the log, and what it would be today."""

    sequence: int
    logged: Verdict
    today: Verdict
    certain: bool
    pictures: tuple[ReplayedPicture, ...]
    logged_provenance: Provenance
    provenance: Provenance

    @property
    def differs(self) -> bool:
        """Whether the verdict of the listing is another one today."""
        return self.logged is not self.today
