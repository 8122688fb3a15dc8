"""TIFF structures: the IFDs of an EXIF block, and of a TIFF file, as fields.

Only the tags that can carry a mark are read. Offsets, counts and sizes are believed only as
far as they stay inside the block; nothing is allocated by what a file claims.
"""

import struct
from collections.abc import Callable

from models.labels.budget import US_PER_BLOCK, BlockUnreadable
from models.labels.survey import Layer, Survey, decode_text

Handler = Callable[[bytes | memoryview, str, Survey], None]

TEXT_TAGS = {
    0x010D: "DocumentName",
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x013B: "Artist",
    0x013C: "HostComputer",
    0x8298: "Copyright",
    0x9286: "UserComment",
    0x927C: "MakerNote",
    0x9C9B: "XPTitle",
    0x9C9C: "XPComment",
    0x9C9D: "XPAuthor",
    0x9C9E: "XPKeywords",
    0x9C9F: "XPSubject",
    0xA436: "ImageTitle",
    0xA438: "ImageEditor",
    0xA43B: "ImageEditingSoftware",
    0xA43C: "MetadataEditingSoftware",
}
EXIF_IFD = 0x8769
XMP_TAG, IIM_TAG, IRB_TAG, C2PA_TAG = 0x02BC, 0x83BB, 0x8649, 0xCD41
BLOCK_TAGS = {XMP_TAG, IIM_TAG, IRB_TAG, C2PA_TAG}

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_TYPE_BYTES |= {13: 4, 16: 8, 17: 8, 18: 8, 129: 1}
MAX_ENTRIES = 1024
MAX_IFDS = 8
MAX_MAKER_NOTE_BYTES = 32


def read_exif(block: bytes | memoryview, place: str, survey: Survey) -> None:
    """Read an EXIF block: its first IFD and the Exif IFD; thumbnails are left out."""
    view = memoryview(block)
    if bytes(view[:6]) in (b"Exif\0\0", b"Exif\0\xff"):
        view = view[6:]
    _Ifds(view, place, survey, {}).read(chain=False)


def read_tiff(
    block: bytes | memoryview, place: str, survey: Survey, handlers: dict[int, Handler]
) -> None:
    """Read a TIFF file: every page's IFD up to `MAX_IFDS`, and the blocks within.

    Args:
        block: the whole file.
        place: name of the container.
        survey: takes what is found.
        handlers: what to call with the value of `XMP_TAG`, `IIM_TAG`, `IRB_TAG`.
    """
    _Ifds(memoryview(block), place, survey, handlers).read(chain=True)


class _Ifds:
    """One walk over the IFDs of one block."""

    def __init__(
        self, view: memoryview, place: str, survey: Survey, handlers: dict[int, Handler]
    ) -> None:
        self.view = view
        self.place = place
        self.survey = survey
        self.handlers = handlers
        self.seen: set[int] = set()

    def read(self, *, chain: bool) -> None:
        header = bytes(self.view[:16])
        if len(header) < 8 or header[:2] not in (b"II", b"MM"):
            self.survey.problem(self.place, "not a TIFF structure")
            return
        self.order = "<" if header[:2] == b"II" else ">"
        (magic,) = struct.unpack_from(self.order + "H", header, 2)
        self.big = magic == 43
        if magic not in (42, 43) or (self.big and len(header) < 16):
            self.survey.problem(self.place, f"not a TIFF structure (magic number {magic})")
            return
        offset: int = struct.unpack_from(
            self.order + ("Q" if self.big else "I"), header, 8 if self.big else 4
        )[0]
        index = 0
        while offset and len(self.seen) < MAX_IFDS:
            offset = self._ifd(offset, f"IFD{index}")
            index += 1
            if not chain:
                break

    def _ifd(self, offset: int, name: str) -> int:
        """Read one IFD and what it points to; returns the offset of the next, or 0."""
        place = f"{self.place}/{name}"
        if offset in self.seen:
            self.survey.problem(place, "IFDs in a circle")
            return 0
        self.seen.add(offset)
        count_format, entry_bytes = ("Q", 20) if self.big else ("H", 12)
        count_bytes = struct.calcsize("<" + count_format)
        # Compared first: struct raises OverflowError for an offset of 64 bits.
        if offset + count_bytes > len(self.view):
            self.survey.problem(place, "IFD outside of the block")
            return 0
        (count,) = struct.unpack_from(self.order + count_format, self.view, offset)
        start = offset + count_bytes
        room = (len(self.view) - start) // entry_bytes
        if count > min(room, MAX_ENTRIES):
            self.survey.problem(place, f"IFD claims {count} entries")
        read = min(count, room, MAX_ENTRIES)
        for i in range(read):
            self.survey.budget.charge(US_PER_BLOCK)
            self._entry(start + i * entry_bytes, place)
        if read < count:
            return 0
        try:
            following = struct.unpack_from(
                self.order + ("Q" if self.big else "I"), self.view, start + count * entry_bytes
            )
        except struct.error:
            return 0
        return int(following[0])

    def _entry(self, at: int, place: str) -> None:
        tag, kind = struct.unpack_from(self.order + "HH", self.view, at)
        if tag not in TEXT_TAGS and tag not in BLOCK_TAGS and tag != EXIF_IFD:
            return
        number, inline = ("Q", 8) if self.big else ("I", 4)
        (count,) = struct.unpack_from(self.order + number, self.view, at + 4)
        value_at = at + 4 + inline
        size = count * _TYPE_BYTES.get(kind, 1)
        if tag == EXIF_IFD:
            if size > inline or size < 4:
                return
            pointer = "Q" if size == 8 else "I"
            (offset,) = struct.unpack_from(self.order + pointer, self.view, value_at)
            if len(self.seen) < MAX_IFDS:
                self._ifd(offset, "ExifIFD")
            return
        name = TEXT_TAGS.get(tag, f"0x{tag:04X}")
        if size > inline:
            (value_at,) = struct.unpack_from(self.order + number, self.view, value_at)
        if value_at + size > len(self.view):
            self.survey.problem(f"{place}/{name}", f"value of {size} bytes outside of the block")
            size = max(0, len(self.view) - value_at)
        value = self.view[value_at : value_at + size]
        if tag == C2PA_TAG:
            self.survey.manifest(value, f"{self.place}/0xCD41")
        elif tag in BLOCK_TAGS:
            self._block(tag, value)
        else:
            self._text(name, value, place)

    def _block(self, tag: int, value: memoryview) -> None:
        handler = self.handlers.get(tag)
        if handler is None:
            return
        name = {XMP_TAG: "XMP", IIM_TAG: "IIM", IRB_TAG: "Photoshop"}[tag]
        place = f"{self.place}/{name}"
        try:
            handler(value, place, self.survey)
        except BlockUnreadable as refusal:
            if self.survey.budget.spent:
                raise
            self.survey.problem(place, refusal.note)

    def _text(self, name: str, value: memoryview, place: str) -> None:
        raw = bytes(value[: (1 << 20) + 8])
        if name == "MakerNote":
            raw = raw[:MAX_MAKER_NOTE_BYTES]
            if not raw.rstrip(b"\0").isascii() or not raw.rstrip(b"\0").decode().isprintable():
                return
            text = raw.decode()
        elif name.startswith("XP"):
            text = raw.decode("utf-16-le", errors="replace")
        elif name == "UserComment":
            text = decode_comment(raw)
        else:
            text = decode_text(raw)
        self.survey.add(Layer.EXIF, name, text, f"{place}/{name}")


def decode_comment(raw: bytes) -> str:
    """The text of an EXIF UserComment: 8 bytes of character code, then the text.

    The byte order of `UNICODE` is not what the TIFF header says but what the writer liked
    (piexif, and so the WebUI, writes big-endian always), so it is taken from the zeros.
    """
    code, body = raw[:8], raw[8:]
    if code == b"UNICODE\0":
        if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return body.decode("utf-16", errors="replace")
        sample = body[:512]
        big = sample[0::2].count(0) > sample[1::2].count(0)
        if sample.count(0) == 0 and b"{" in sample:  # labelled UNICODE, written as UTF-8
            return decode_text(body)
        return body.decode("utf-16-be" if big else "utf-16-le", errors="replace")
    if code in (b"ASCII\0\0\0", b"\0" * 8):
        return decode_text(body)
    if code == b"JIS\0\0\0\0\0":
        return body.decode("iso2022_jp", errors="replace")
    return decode_text(raw)  # no character code at all: seen from several writers
