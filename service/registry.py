"""Registering originals: decode, refuse what can not be recognised, fingerprint, keep.

The first three are work on one picture and run on any worker thread; keeping is a write to
the disk that many originals share (`GroupCommit`), because a commit costs milliseconds
whatever it holds.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import sha256

from index.acting import acting
from index.catalogue import Catalogue
from index.dispute_rows import RivalAppeared
from index.ledger import OriginalExists, OriginalNotFound
from index.records import NewOriginal, OriginalRecord
from models.fingerprint import Fingerprinter
from models.images import Picture, decode
from models.refusals import ImageFeatureless
from service.conflicts import ConflictChecker

RegisterMany = Callable[[Sequence[NewOriginal]], Sequence[OriginalRecord | Exception]]


@dataclass(frozen=True, slots=True)
class Submission:
    """An original as it is handed in: ids, words and the encoded picture.

    `original` may be empty until `identified`.
    """

    brand: str
    original: str
    image: bytes
    display_name: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    request_id: str = ""


def identified(submission: Submission) -> Submission:
    """Return the submission with an id: its own, or one made of the digest of its bytes.

    Reads the whole picture, which takes milliseconds.
    """
    if submission.original:
        return submission
    return replace(submission, original=f"o-{sha256(submission.image).hexdigest()[:32]}")


class Registry:
    """Registers originals. Every method blocks and may be called from any thread."""

    def __init__(
        self,
        catalogue: Catalogue,
        fingerprinter: Fingerprinter,
        conflicts: ConflictChecker | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._fingerprinter = fingerprinter
        self._conflicts = conflicts

    def present(self, submission: Submission) -> OriginalRecord | None:
        """Return the original in which the brand has these very bytes, if there is one.

        Cheap, and asked first: a picture that is there already need not be fingerprinted.

        Raises:
            BrandNotFound: there is no such brand.
        """
        self._catalogue.get_brand(submission.brand)
        digest = sha256(submission.image).digest()
        record = self._at(submission)
        if record is None or record.sha256 != digest:
            same = self._catalogue.find_picture(submission.brand, digest)
            # An id that is taken by another picture is the caller's mistake, and told as such.
            return same if record is None else None
        return record

    def prepare(
        self, submission: Submission, deadline: float | None = None
    ) -> tuple[NewOriginal, dict[str, float]]:
        """Decode and fingerprint a picture.

        Args:
            deadline: `time.monotonic()` after which the encoder does not begin.

        Returns:
            What is to be kept, and the milliseconds of each step.

        Raises:
            ImageEmpty, ImageUndecodable, ImageTruncated, ImageTooLarge, ImageTooSmall.
            ImageFeatureless: nothing can be recognised on it, so it would match nothing, or
                every other blank picture.
            OriginalExists: the brand has the picture already, or the id is another's.
            DeadlineExpired, QueueFull: of the encoder.
        """
        began = time.perf_counter()
        picture = decode(submission.image)
        if picture.featureless:
            raise ImageFeatureless
        self._check_free(submission, picture)
        decoded = time.perf_counter()
        print_ = self._fingerprinter.original(picture, deadline)
        finished = time.perf_counter()
        new = NewOriginal(
            brand=submission.brand,
            original=submission.original,
            sha256=picture.sha256,
            pixel_sha256=picture.pixel_sha256,
            width_px=picture.width_px,
            height_px=picture.height_px,
            format=picture.format,
            byte_count=len(submission.image),
            vectors=print_.vectors,
            display_name=submission.display_name,
            annotations=submission.annotations,
            attributes=print_.attributes,
            preview=print_.preview,
            features=print_.features,
            request_id=submission.request_id,
            once=True,
        )
        new = self.screened(new, submission, deadline)
        steps_ms = {
            "decode": (decoded - began) * 1000,
            "fingerprint": (finished - decoded) * 1000,
            "conflicts": (time.perf_counter() - finished) * 1000,
        }
        return new, steps_ms

    def screened(
        self, new: NewOriginal, submission: Submission, deadline: float | None = None
    ) -> NewOriginal:
        """Compare what is to be kept with the originals of other brands that are there now.

        Once more whenever keeping it raises `RivalAppeared`.

        Raises:
            what `Matcher.check` raises.
        """
        if self._conflicts is None:
            return new
        return replace(
            new,
            screening=self._conflicts.screen(
                submission.brand, submission.image, new.vectors, deadline
            ),
        )

    def register(self, submission: Submission, deadline: float | None = None) -> OriginalRecord:
        """Prepare and keep one original; searchable on return. For callers without a loop.

        Returns:
            The original, or the one in which the brand has the same picture already.

        Raises:
            Everything that `prepare` raises, and BrandNotFound, OriginalExists (the id is
            another picture's), RequestIdReused, StoreFull.
        """
        try:
            new, _ = self.prepare(submission, deadline)
            while True:
                try:
                    return kept(self._catalogue.register_many([new])[0])
                except RivalAppeared:
                    new = self.screened(new, submission, deadline)
        except OriginalExists as error:
            if not error.same_picture:
                raise
            return self._catalogue.get(submission.brand, error.original)

    def _at(self, submission: Submission) -> OriginalRecord | None:
        """The original that has this id."""
        try:
            return self._catalogue.get(submission.brand, submission.original)
        except OriginalNotFound:
            return None

    def _check_free(self, submission: Submission, picture: Picture) -> None:
        """Raise OriginalExists before the work of a fingerprint, unless it is a retry."""
        if submission.request_id:
            return  # what it made is found when it is kept
        brand, there = submission.brand, self._at(submission)
        if there is not None:
            same = there.pixel_sha256 == picture.pixel_sha256
            raise OriginalExists(brand, there.original, same_picture=same)
        found = self._catalogue.find_picture(brand, picture.sha256, picture.pixel_sha256)
        if found is not None:
            raise OriginalExists(brand, found.original, same_picture=True)


def kept(outcome: OriginalRecord | Exception) -> OriginalRecord:
    """Return the record, or raise the error that stands in its place."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


class GroupCommit:
    """Lets originals that are ready at the same time share one commit.

    The first one is written at once; those that become ready meanwhile go together in the
    next commit. So a single call waits for no timer, and a busy import fills its commits by
    itself. Belongs to one event loop; blocking happens in a thread of its own.

    Args:
        register_many: keeps originals in one commit; each gets its record or its error.
        at_most: originals in one commit.
    """

    def __init__(self, register_many: RegisterMany, at_most: int) -> None:
        self._register_many, self._at_most = register_many, at_most
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="copycatch-commit")
        self._waiting: deque[tuple[NewOriginal, asyncio.Future[OriginalRecord]]] = deque()
        self._writer: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Originals that wait for the next commit."""
        return len(self._waiting)

    async def commit(self, new: NewOriginal) -> OriginalRecord:
        """Keep an original; on disk and searchable on return.

        Cancelling the wait does not undo it: it may be kept all the same.

        Raises:
            BrandNotFound, OriginalExists, RequestIdReused, StoreFull.
        """
        done: asyncio.Future[OriginalRecord] = asyncio.get_running_loop().create_future()
        self._waiting.append((replace(new, by=acting.get()), done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name="group-commit")
        return await done

    async def close(self) -> None:
        """Write what waits and end the thread."""
        if self._writer is not None:
            await self._writer
        self._thread.shutdown()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._at_most))]
            originals = [new for new, _ in group]
            outcomes: Sequence[OriginalRecord | Exception]
            try:
                outcomes = await loop.run_in_executor(self._thread, self._register_many, originals)
            except Exception as error:  # reaches every caller of this commit
                outcomes = [error] * len(group)
            for (_, done), outcome in zip(group, outcomes, strict=True):
                if done.done():
                    continue  # its caller has gone away
                if isinstance(outcome, Exception):
                    done.set_exception(outcome)
                else:
                    done.set_result(outcome)
