"""What is remembered of a listing that was seen, and its bytes.

Every stored value ends with a CRC-32, so that damage is an error and no wrong answer.
"""

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.codes import Codes, code_width
from index.records import RecordCorrupt
from index.spaces import Keys, Space

MOST_PICTURES = 256
MOST_VIEWS = 256
_CRC = struct.Struct("<I")


@dataclass(frozen=True, slots=True, eq=False)
class SeenPicture:
    """One picture of a listing, to be remembered.

    Attributes:
        sha256, pixel_sha256: of the file and of its pixels.
        rows: per space and view one row, as `Space.checked` takes it; a view may lack a space.
        print: what verification needs of it, opaque here.
    """

    sha256: bytes
    pixel_sha256: bytes
    rows: Mapping[str, Mapping[int, NDArray[Any]]] = field(repr=False)
    print: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class SeenListing:
    """A listing to be remembered, with those of its pictures that could be read."""

    listing_id: str
    seller: str
    pictures: tuple[SeenPicture, ...]
    territory: str = ""

    def __post_init__(self) -> None:
        views = [view for each in self.pictures for rows in each.rows.values() for view in rows]
        if len(self.pictures) > MOST_PICTURES or not all(0 <= v < MOST_VIEWS for v in views):
            raise ValueError("a row's number has one byte for the picture and one for the view")


@dataclass(frozen=True, slots=True)
class Entry:
    """A listing that is remembered.

    Attributes:
        number: from 1 in the order of remembering, never reused.
        time_ns: when it was first seen with these pictures.
        digests: SHA-256 of each picture's file and of its pixels.
        views: how many views of each picture have rows.
        territory: where it was offered; empty when that is not known.
        byte_count: about what it takes on the disk.
    """

    number: int
    listing_id: str
    seller: str
    time_ns: int
    digests: tuple[tuple[bytes, bytes], ...]
    views: tuple[int, ...]
    territory: str = ""
    byte_count: int = 0


class RowId(NamedTuple):
    """Which view of which picture of which listing."""

    number: int
    picture: int
    view: int

    @property
    def key(self) -> int:
        """The same as one number; rows are in the order of these."""
        return self.number << 16 | self.picture << 8 | self.view

    @staticmethod
    def of(key: int) -> "RowId":
        """The parts of a row's number."""
        return RowId(key >> 16, key >> 8 & 0xFF, key & 0xFF)


def rows_of(entry: Entry) -> list[int]:
    """Numbers of all rows that an entry may have, ascending."""
    return [
        RowId(entry.number, place, view).key
        for place, views in enumerate(entry.views)
        for view in range(views)
    ]


def encode_entry(entry: Entry) -> bytes:
    """The bytes of an entry: JSON that a person can read, and the checksum."""
    plain = [
        entry.number,
        entry.listing_id,
        entry.seller,
        entry.time_ns,
        [[a.hex(), b.hex()] for a, b in entry.digests],
        list(entry.views),
        entry.territory,
        entry.byte_count,
    ]
    return framed(json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode())


def decode_entry(data: bytes) -> Entry:
    """The entry of these bytes. Raises RecordCorrupt."""
    place, listing_id, seller, time_ns, digests, views, *rest = json.loads(unframed(data))
    pairs = tuple((bytes.fromhex(a), bytes.fromhex(b)) for a, b in digests)
    return Entry(place, listing_id, seller, time_ns, pairs, tuple(views), *rest)


def encode_block(keys: Keys, codes: Codes) -> bytes:
    """The bytes of rows that lie together: their numbers, then their codes."""
    return framed(keys.astype("<i8").tobytes() + codes.tobytes())


def decode_block(space: Space, data: bytes) -> tuple[Keys, Codes]:
    """The rows of a block. Raises RecordCorrupt."""
    body, width = unframed(data), code_width(space)
    count, rest = divmod(len(body), 8 + width)
    if rest:
        raise RecordCorrupt(f"a block of {len(body)} bytes has no whole number of rows")
    keys = np.frombuffer(body, "<i8", count).astype(np.int64)
    return keys, np.frombuffer(body, np.uint8, count * width, 8 * count).reshape(count, width)


def framed(body: bytes) -> bytes:
    """The body and its checksum."""
    return body + _CRC.pack(zlib.crc32(body))


def unframed(data: bytes) -> bytes:
    """The body of `framed`. Raises RecordCorrupt."""
    if len(data) < _CRC.size:
        raise RecordCorrupt(f"{len(data)} bytes are too few")
    body = data[: -_CRC.size]
    if zlib.crc32(body) != _CRC.unpack_from(data, len(body))[0]:
        raise RecordCorrupt("its checksum does not fit")
    return body
