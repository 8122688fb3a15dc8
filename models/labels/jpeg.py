"""The segments of a JPEG file, up to its first scan."""

import re

from models.labels.budget import (
    US_PER_BLOCK,
    US_PER_SEGMENT,
    US_PER_TEXT_BYTE,
    BlockUnreadable,
)
from models.labels.exif import read_exif
from models.labels.iim import read_resources
from models.labels.survey import Layer, Survey, decode_text
from models.labels.xmp import read_xmp

EXIF = b"Exif\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0"
XMP_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
RESOURCES = b"Photoshop 3.0\0"
SOS, EOI, COM = 0xDA, 0xD9, 0xFE
MAX_SEGMENTS = 4096
MAX_EXTENDED_XMP_BYTES = 4 << 20
_FILL = re.compile(rb"\xff+")
_STANDALONE = {0x01, 0xD8, *range(0xD0, 0xD8)}
_GUID_BYTES = 32


def walk(data: bytes, survey: Survey) -> None:
    """Read the metadata segments of a JPEG file into the survey."""
    _Segments(data, survey).walk()


class _Segments:
    """One walk; holds the pieces of blocks that span several segments."""

    def __init__(self, data: bytes, survey: Survey) -> None:
        self.data = data
        self.view = memoryview(data)
        self.survey = survey
        self.extensions: dict[bytes, list[tuple[int, memoryview]]] = {}
        self.extension_bytes = 0
        self.resources: list[memoryview] = []
        self.in_manifest = False

    def walk(self) -> None:
        at = 2
        for _ in range(MAX_SEGMENTS):
            self.survey.budget.charge(US_PER_BLOCK)
            marker, at = self._next_marker(at)
            if marker in (0, SOS, EOI):
                break
            if marker in _STANDALONE:
                continue
            size = int.from_bytes(self.view[at : at + 2])
            if size < 2:
                self.survey.problem("JPEG", f"segment {marker:02X} of {size} bytes")
                break
            if at + size > len(self.data):
                self.survey.problem("JPEG", f"segment {marker:02X} claims {size} bytes")
            if 0xE0 <= marker <= 0xEF or marker == COM:
                self.survey.budget.charge(US_PER_SEGMENT)
                name = "COM" if marker == COM else f"APP{marker - 0xE0}"
                self._guarded(marker, name, self.view[at + 2 : at + size])
            at += size
        else:
            self.survey.problem("JPEG", f"more than {MAX_SEGMENTS} segments")
        self._joined()

    def _next_marker(self, at: int) -> tuple[int, int]:
        """The next marker at or after `at`, and where its segment starts; 0 at the end."""
        if at + 1 < len(self.data) and self.data[at] != 0xFF:
            start = self.data.find(b"\xff", at)
            self.survey.problem("JPEG", "bytes between two segments")
            if start < 0:
                return 0, len(self.data)
            at = start
        match = _FILL.match(self.data, at)
        if match is None or match.end() >= len(self.data):
            return 0, len(self.data)
        self.survey.budget.charge((match.end() - at) * US_PER_TEXT_BYTE)
        marker = self.data[match.end()]
        if marker == 0:  # stuffed data, not a marker: a resynchronising decoder goes on too
            return 0x01, match.end() + 1
        return marker, match.end() + 1

    def _guarded(self, marker: int, name: str, payload: memoryview) -> None:
        try:
            self._segment(marker, name, payload)
        except BlockUnreadable as refusal:
            if self.survey.budget.spent:
                raise
            self.survey.problem(f"JPEG/{name}", refusal.note)

    def _segment(self, marker: int, name: str, payload: memoryview) -> None:
        head = bytes(payload[:48])
        place = f"JPEG/{name}"
        if marker == COM:
            self.survey.add(Layer.COMMENT, "Comment", decode_text(bytes(payload)), place)
        elif head.startswith(EXIF):
            read_exif(payload[6:], f"{place}/Exif", self.survey)
        elif head.startswith(XMP):
            read_xmp(payload[len(XMP) :], f"{place}/XMP", self.survey)
        elif head.startswith(XMP_EXTENSION):
            self._extension(payload[len(XMP_EXTENSION) :])
        elif head.startswith(RESOURCES):
            self.resources.append(payload[len(RESOURCES) :])
        elif name == "APP11" and head.startswith(b"JP"):
            self._jumbf(payload)
        elif name == "APP2" and head.startswith(b"ICC_PROFILE"):
            pass
        else:
            self._bare(name, payload, place)

    def _jumbf(self, payload: memoryview) -> None:
        """A piece of a JUMBF box: CI 2, box instance 2, sequence number 4, LBox 4, TBox 4."""
        sequence = int.from_bytes(payload[4:8])
        if sequence == 1:
            self.in_manifest = b"c2pa" in bytes(payload[8:80])
        if self.in_manifest:
            # Each later piece repeats the length and type of the box.
            self.survey.manifest(payload[8 if sequence == 1 else 16 :], "JPEG/APP11")

    def _extension(self, piece: memoryview) -> None:
        guid, offset = bytes(piece[:_GUID_BYTES]), int.from_bytes(piece[36:40])
        body = piece[40:]
        self.extension_bytes += len(body)
        if self.extension_bytes > MAX_EXTENDED_XMP_BYTES:
            raise BlockUnreadable(f"extended XMP of more than {MAX_EXTENDED_XMP_BYTES} bytes")
        self.extensions.setdefault(guid, []).append((offset, body))

    def _bare(self, name: str, payload: memoryview, place: str) -> None:
        raw = bytes(payload)
        self.survey.budget.charge(US_PER_TEXT_BYTE * len(raw))
        if b"<x:xmpmeta" in raw[:512] or b"<?xpacket" in raw[:512]:
            read_xmp(raw, f"{place}/XMP", self.survey)
            return
        at = raw.find(b"AIGC")
        if at >= 0:
            self.survey.add(Layer.SEGMENT, name, decode_text(raw[max(0, at - 8) :]), place)

    def _joined(self) -> None:
        """Read the blocks that spanned several segments."""
        for pieces in self.extensions.values():
            pieces.sort(key=lambda piece: piece[0])
            packet = b"".join(body for _, body in pieces)
            read_xmp(packet, "JPEG/APP1/XMP extension", self.survey)
        if self.resources:
            read_resources(b"".join(self.resources), "JPEG/APP13", self.survey)
