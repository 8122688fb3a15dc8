"""Read the first directory of a TIFF file, or of the EXIF block that is one.

A directory has up to 65,535 tags, each of which may claim the whole file as its value, and
readers copy them all: a terabyte from sixteen megabytes. So the tags are filtered here, before
a reader sees them, and the orientation is looked up without reading any other tag.

Pure functions: any thread may call them.
"""

import struct
from dataclasses import dataclass

from models.container import MAX_PROFILE_BYTES, Container
from models.refusals import ImageTruncated, ImageUndecodable

WIDTH, HEIGHT, COMPRESSION, ORIENTATION, COLOUR_MAP, PROFILE = 256, 257, 259, 274, 320, 34675
TILE_WIDTH, TILE_HEIGHT = 322, 323

_NEEDED = frozenset(
    {
        WIDTH,
        HEIGHT,
        258,  # bits per sample
        COMPRESSION,
        262,  # photometric interpretation
        266,  # fill order
        ORIENTATION,
        273,  # strip offsets
        277,  # samples per pixel
        278,  # rows per strip
        279,  # strip byte counts
        284,  # planar configuration
        317,  # predictor
        COLOUR_MAP,
        TILE_WIDTH,
        TILE_HEIGHT,
        324,  # tile offsets
        325,  # tile byte counts
        332,  # ink set
        338,  # extra samples
        339,  # sample format
        347,  # JPEG tables
        529,  # YCbCr coefficients
        530,  # YCbCr subsampling
        531,  # YCbCr positioning
        532,  # reference black and white
        PROFILE,
    }
)
_FAX = (2, 3, 4)
"""Refused: no product is faxed, and the decoder writes a line to the log for each bad row."""
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_TYPE_BYTES |= {13: 4, 16: 8, 17: 8, 18: 8}
_MAX_VALUES = 131_072
"""Values of one tag: one strip for each row, in four planes, is 120,000."""
_MAX_COLOURS = 3 * 65_536
_MAX_TILE_SIDE_PX = 1 << 17


@dataclass(frozen=True, slots=True)
class _Layout:
    """How numbers are written in a file: byte order, and 8-byte offsets in a BigTIFF."""

    order: str
    big: bool

    @property
    def count_format(self) -> str:
        return self.order + ("Q" if self.big else "H")

    @property
    def offset_format(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def entry_bytes(self) -> int:
        return 20 if self.big else 12


def _layout(data: bytes) -> _Layout | None:
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return None
    (version,) = struct.unpack_from(order + "H", data, 2)
    return _Layout(order, version == 43) if version in (42, 43) else None


def _directory(data: bytes, layout: _Layout) -> tuple[int, int]:
    """Return where the entries of the first directory begin, and how many there are."""
    (at,) = struct.unpack_from(layout.offset_format, data, 8 if layout.big else 4)
    (count,) = struct.unpack_from(layout.count_format, data, at)
    return at + struct.calcsize(layout.count_format), count


def _small_value(data: bytes, at: int, layout: _Layout) -> int:
    """Read the first value of an entry, a SHORT or a LONG; 0 when it is neither."""
    (kind,) = struct.unpack_from(layout.order + "H", data, at + 2)
    value_at = at + (12 if layout.big else 8)
    code = {1: "B", 3: "H", 4: "I"}.get(kind)
    return struct.unpack_from(layout.order + code, data, value_at)[0] if code else 0


def read_orientation(block: bytes) -> int:
    """Return the orientation 1..8 that an EXIF block states, 1 when it states none.

    Broken metadata is no reason to refuse a picture: then, too, the answer is 1.
    """
    layout = _layout(block.removeprefix(b"Exif\0\0"))
    block = block.removeprefix(b"Exif\0\0")
    if layout is None:
        return 1
    try:
        at, count = _directory(block, layout)
        for entry in range(at, at + count * layout.entry_bytes, layout.entry_bytes):
            (tag,) = struct.unpack_from(layout.order + "H", block, entry)
            if tag == ORIENTATION:
                value = _small_value(block, entry, layout)
                return value if 1 <= value <= 8 else 1
    except (struct.error, OverflowError):
        return 1
    return 1


def read_tiff(data: bytes) -> Container:
    """Rewrite the first directory so that it has only the needed tags, and is the last.

    The orientation is taken out too: it is applied by whoever decodes.

    Raises:
        ImageUndecodable: the directory is missing, or a needed tag makes no sense.
        ImageTruncated: the file ends before its directory does.
    """
    layout = _layout(data)
    if layout is None:
        raise ImageUndecodable("the TIFF file has no valid header")
    try:
        at, count = _directory(data, layout)
        size = layout.entry_bytes
        if count > 65_535 or at + count * size > len(data):
            raise ImageTruncated("TIFF", len(data))
        kept: list[bytes] = []
        values: dict[int, int] = {}
        complete = True
        for entry in range(at, at + count * size, size):
            (tag,) = struct.unpack_from(layout.order + "H", data, entry)
            if tag not in _NEEDED or tag in values:
                continue
            values[tag] = _small_value(data, entry, layout)
            if tag != ORIENTATION and (place := _place(data, entry, layout)) is not None:
                complete &= place <= len(data)
                kept.append(data[entry : entry + size])
    except (struct.error, OverflowError) as error:
        raise ImageTruncated("TIFF", len(data)) from error
    if values.get(COMPRESSION) in _FAX:
        raise ImageUndecodable("it is a fax-compressed TIFF file")
    if max(values.get(TILE_WIDTH, 0), values.get(TILE_HEIGHT, 0)) > _MAX_TILE_SIDE_PX:
        raise ImageUndecodable("the TIFF file has tiles of an absurd size")
    body = bytearray(data)
    start = at - struct.calcsize(layout.count_format)
    last = b"\0" * struct.calcsize(layout.offset_format)
    directory = struct.pack(layout.count_format, len(kept)) + b"".join(kept) + last
    body[start : start + len(directory)] = directory
    orientation = values.get(ORIENTATION, 1)
    return Container(
        "TIFF",
        bytes(body),
        values.get(WIDTH, 0),
        values.get(HEIGHT, 0),
        orientation=orientation if 1 <= orientation <= 8 else 1,
        complete=complete,
    )


def _place(data: bytes, entry: int, layout: _Layout) -> int | None:
    """Return where the values of an entry end, in bytes; None when it is to be dropped.

    Raises:
        ImageUndecodable: it has more values than any picture needs.
    """
    tag, kind = struct.unpack_from(layout.order + "HH", data, entry)
    (count,) = struct.unpack_from(layout.offset_format, data, entry + 4)
    byte_count = count * _TYPE_BYTES.get(kind, 1)
    if tag == PROFILE:
        if byte_count > MAX_PROFILE_BYTES:
            return None
    elif count > (_MAX_COLOURS if tag == COLOUR_MAP else _MAX_VALUES):
        raise ImageUndecodable(f"tag {tag} of the TIFF file has {count} values")
    if byte_count <= struct.calcsize(layout.offset_format):
        return 0
    (offset,) = struct.unpack_from(layout.offset_format, data, entry + (12 if layout.big else 8))
    return int(offset + byte_count)
