"""AVIF and HEIF files: ISO-BMFF boxes, and the metadata items that they point to.

EXIF and XMP are items of the `meta` box (`iinf` names them, `iloc` locates them); C2PA and,
from some writers, XMP lie in top-level `uuid` boxes.
"""

from collections.abc import Iterator

from models.labels.budget import US_PER_BLOCK, US_PER_TEXT_BYTE, BlockUnreadable
from models.labels.exif import read_exif
from models.labels.survey import Survey
from models.labels.xmp import MAX_PACKET_BYTES, read_xmp

C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
MAX_BOXES = 1024
MAX_ITEMS = 4096
MAX_EXTENTS = 64


def walk(data: bytes, survey: Survey) -> None:
    """Read the metadata of an AVIF or HEIF file."""
    view = memoryview(data)
    for kind, body in _boxes(view, "BMFF", survey):
        try:
            if kind == b"uuid" and bytes(body[:16]) == C2PA_UUID:
                survey.manifest(body, "BMFF/uuid")
            elif kind == b"uuid" and bytes(body[:16]) == XMP_UUID:
                read_xmp(body[16:], "BMFF/uuid/XMP", survey)
            elif kind == b"meta":
                _meta(view, body[4:], survey)
        except BlockUnreadable as refusal:
            if survey.budget.spent:
                raise
            survey.problem(f"BMFF/{kind.decode('latin-1')}", refusal.note)


def _boxes(view: memoryview, place: str, survey: Survey) -> Iterator[tuple[bytes, memoryview]]:
    """The boxes of one level: kind and body."""
    at = 0
    for _ in range(MAX_BOXES):
        if at + 8 > len(view):
            return
        survey.budget.charge(US_PER_BLOCK)
        size, kind, header = int.from_bytes(view[at : at + 4]), bytes(view[at + 4 : at + 8]), 8
        if size == 1:
            size, header = int.from_bytes(view[at + 8 : at + 16]), 16
        elif size == 0:
            size = len(view) - at
        if size < header:
            survey.problem(place, f"box of {size} bytes")
            return
        if at + size > len(view):
            survey.problem(place, f"box claims {size} bytes")
        yield kind, view[at + header : at + size]
        at += size
    survey.problem(place, f"more than {MAX_BOXES} boxes")


def _meta(file: memoryview, body: memoryview, survey: Survey) -> None:
    parts = dict(_boxes(body, "BMFF/meta", survey))
    wanted = _items(parts.get(b"iinf", memoryview(b"")), survey)
    if not wanted:
        return
    idat = parts.get(b"idat", memoryview(b""))
    for item, pieces in _locations(parts.get(b"iloc", memoryview(b"")), survey):
        kind = wanted.get(item)
        if kind is None:
            continue
        raw = bytearray()
        for method, offset, size in pieces:
            source = (file, idat)[method]
            if offset + size > len(source):
                survey.problem(f"BMFF/{kind}", f"item of {size} bytes outside of the file")
            room = MAX_PACKET_BYTES - len(raw)
            raw += source[offset : offset + min(size or len(source), room)]
        survey.budget.charge(US_PER_TEXT_BYTE * len(raw))
        if kind == "XMP":
            read_xmp(bytes(raw), "BMFF/mime/XMP", survey)
        else:  # the first four bytes say how far the TIFF header is
            read_exif(bytes(raw[4 + min(int.from_bytes(raw[:4]), len(raw)) :]), "BMFF/Exif", survey)


def _items(iinf: memoryview, survey: Survey) -> dict[int, str]:
    """Ids of the metadata items: `Exif` or `XMP`."""
    if len(iinf) < 6:
        return {}
    wanted: dict[int, str] = {}
    for kind, body in _boxes(iinf[6 if iinf[0] == 0 else 8 :], "BMFF/iinf", survey):
        if kind != b"infe" or len(body) < 12:
            continue
        id_bytes = 4 if body[0] >= 3 else 2
        at = 4 + id_bytes + 2  # version and flags, id, protection index
        item, item_kind = int.from_bytes(body[4 : 4 + id_bytes]), bytes(body[at : at + 4])
        if item_kind == b"Exif":
            wanted[item] = "Exif"
        elif item_kind == b"mime" and b"application/rdf+xml" in bytes(body[at + 4 :]):
            wanted[item] = "XMP"
        if len(wanted) > 16:
            survey.problem("BMFF/iinf", "more than 16 metadata items")
            break
    return wanted


class _Cursor:
    """Reads big-endian numbers of 0, 2, 4 or 8 bytes off a view."""

    def __init__(self, view: memoryview) -> None:
        self.view = view
        self.at = 0

    def take(self, size: int) -> int:
        if self.at + size > len(self.view):
            raise BlockUnreadable("iloc ends inside of an item")
        value = int.from_bytes(self.view[self.at : self.at + size])
        self.at += size
        return value


def _locations(
    iloc: memoryview, survey: Survey
) -> Iterator[tuple[int, list[tuple[int, int, int]]]]:
    """Each item's id and extents: (0 in the file or 1 in `idat`, offset, size; size 0 = rest)."""
    if len(iloc) < 8:
        return
    cursor = _Cursor(iloc)
    version = cursor.take(4) >> 24
    sizes = cursor.take(2)
    offset_bytes, length_bytes, base_bytes = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_bytes = sizes & 15 if version in (1, 2) else 0
    count = cursor.take(2 if version < 2 else 4)
    for _ in range(min(count, MAX_ITEMS)):
        survey.budget.charge(US_PER_BLOCK * 4)
        item = cursor.take(2 if version < 2 else 4)
        method = cursor.take(2) & 15 if version in (1, 2) else 0
        cursor.take(2)
        base, extents = cursor.take(base_bytes), cursor.take(2)
        pieces = []
        for _ in range(min(extents, MAX_EXTENTS)):
            cursor.take(index_bytes)
            offset, size = base + cursor.take(offset_bytes), cursor.take(length_bytes)
            pieces.append((method, offset, size))
        cursor.take((extents - len(pieces)) * (index_bytes + offset_bytes + length_bytes))
        if method <= 1:
            yield item, pieces
