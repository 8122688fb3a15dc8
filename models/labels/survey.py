"""What the walkers of a file's containers find: named fields, and what could not be read.

A survey is filled by one walker, for one picture, in one thread.
"""

from dataclasses import dataclass
from enum import StrEnum

from models.labels.budget import (
    US_PER_FIELD,
    US_PER_PROBLEM,
    US_PER_TEXT_BYTE,
    Budget,
)

MAX_FIELDS = 2048
MAX_FIELD_CHARS = 1 << 20
MAX_PROBLEMS = 16


class Layer(StrEnum):
    """The kind of metadata that a field stood in."""

    EXIF = "Exif"
    XMP = "XMP"
    TEXT = "text"
    IIM = "IIM"
    COMMENT = "comment"
    SEGMENT = "segment"


@dataclass(frozen=True, slots=True)
class Field:
    """One named piece of metadata text.

    Attributes:
        layer: the kind of metadata.
        name: EXIF tag name, XMP name with its canonical prefix (`TC260:AIGC`), PNG keyword,
            IIM data set (`2:110`), or the segment's name.
        text: the value, at most `MAX_FIELD_CHARS` characters.
        place: where, from container to property.
    """

    layer: Layer
    name: str
    text: str
    place: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A block that could not be read, and why."""

    place: str
    note: str


class Survey:
    """Fields, problems and the C2PA manifest store of one file.

    Attributes:
        fields: in file order.
        problems: at most `MAX_PROBLEMS`; `hidden_problems` counts those past it.
        manifest_pieces: the C2PA manifest store, as it lies in the file.
        manifest_place: where the manifest store lies.
        budget: the work left.
    """

    __slots__ = (
        "budget",
        "fields",
        "hidden_problems",
        "manifest_pieces",
        "manifest_place",
        "problems",
    )

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.fields: list[Field] = []
        self.problems: list[Problem] = []
        self.hidden_problems = 0
        self.manifest_pieces: list[bytes | memoryview] = []
        self.manifest_place = ""

    def add(self, layer: Layer, name: str, text: str, place: str) -> None:
        """Take one field; an empty one is dropped.

        Raises:
            BlockUnreadable: there are too many fields, or the budget is spent.
        """
        clip = len(text) > MAX_FIELD_CHARS
        text = text[:MAX_FIELD_CHARS].strip("\0 \t\r\n")
        if not text:
            return
        if len(self.fields) >= MAX_FIELDS:
            self.budget.stop(f"more than {MAX_FIELDS} metadata fields")
        if clip:
            self.problem(place, f"longer than {MAX_FIELD_CHARS} characters; the rest is not read")
        self.budget.charge(US_PER_FIELD + US_PER_TEXT_BYTE * len(text))
        self.fields.append(Field(layer, name, text, place))

    def problem(self, place: str, note: str) -> None:
        """Note a block that could not be read."""
        self.budget.left_us -= US_PER_PROBLEM  # the next charge sees it
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(place, note))
        else:
            self.hidden_problems += 1

    def manifest(self, piece: bytes | memoryview, place: str) -> None:
        """Note (a further piece of) a C2PA manifest store."""
        self.manifest_pieces.append(piece)
        self.manifest_place = self.manifest_place or place

    @property
    def manifest_bytes(self) -> int:
        """Size of the C2PA manifest store, 0 when there is none."""
        return sum(len(piece) for piece in self.manifest_pieces)


def decode_text(raw: bytes) -> str:
    """Bytes of unknown 8-bit encoding as text: UTF-8 when it is that, else Latin-1."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
