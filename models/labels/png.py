"""The chunks of a PNG file: text, EXIF, XMP and C2PA; inflated only within bounds."""

import zlib

from models.labels.budget import US_PER_BLOCK, US_PER_INFLATED_BYTE, BlockUnreadable
from models.labels.exif import read_exif
from models.labels.iim import read_iim, read_resources
from models.labels.survey import Layer, Survey, decode_text
from models.labels.xmp import read_xmp

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = "XML:com.adobe.xmp"
MAX_CHUNKS = 16_384
MAX_INFLATED_BYTES = 1 << 20
MAX_TEXT_BYTES = 4 << 20
_TEXT = {b"tEXt", b"zTXt", b"iTXt"}


def walk(data: bytes, survey: Survey) -> None:
    """Read the metadata chunks of a PNG file, before and after the pixels."""
    view = memoryview(data)
    at = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if at + 12 > len(data):
            if at != len(data):
                survey.problem("PNG", "ends inside of a chunk")
            return
        survey.budget.charge(US_PER_BLOCK)
        size, kind = int.from_bytes(view[at : at + 4]), bytes(view[at + 4 : at + 8])
        body = view[at + 8 : at + 8 + size]
        if kind in _TEXT or kind in (b"eXIf", b"caBX", b"IEND"):
            if len(body) < size:
                survey.problem(f"PNG/{kind.decode()}", f"claims {size} bytes")
            if kind == b"IEND":
                return
            _guarded(kind, body, survey)
        at += 12 + size
    survey.problem("PNG", f"more than {MAX_CHUNKS} chunks")


def _guarded(kind: bytes, body: memoryview, survey: Survey) -> None:
    place = f"PNG/{kind.decode()}"
    try:
        if kind == b"caBX":
            survey.manifest(body, place)
        elif kind == b"eXIf":
            read_exif(body, f"{place}/Exif", survey)
        else:
            _text(kind, body, place, survey)
    except BlockUnreadable as refusal:
        if survey.budget.spent:
            raise
        survey.problem(place, refusal.note)


def _text(kind: bytes, body: memoryview, place: str, survey: Survey) -> None:
    key, separator, rest = bytes(body[:81]).partition(b"\0")
    if not separator or not key:
        raise BlockUnreadable("text chunk without a keyword")
    keyword = key.decode("latin-1")
    value = body[len(key) + 1 :]
    if kind == b"zTXt":
        raw = _inflate(value[1:], survey)
    elif kind == b"iTXt":
        compressed = bytes(value[:1]) == b"\1"
        after = bytes(value[2:512]).split(b"\0", 2)  # language tag, translated keyword
        if len(after) < 3:
            raise BlockUnreadable("iTXt chunk without its three separators")
        value = value[2 + len(after[0]) + 1 + len(after[1]) + 1 :]
        raw = _inflate(value, survey) if compressed else bytes(value[:MAX_TEXT_BYTES])
    else:
        raw = bytes(value[:MAX_TEXT_BYTES])
    if keyword == XMP_KEYWORD:
        read_xmp(raw, f"{place}/XMP", survey)
    elif keyword.startswith("Raw profile type "):
        _raw_profile(keyword[17:].strip().lower(), raw, place, survey)
    else:
        survey.add(Layer.TEXT, keyword, decode_text(raw), f"{place}/{keyword}")


def _inflate(packed: memoryview, survey: Survey) -> bytes:
    """At most `MAX_INFLATED_BYTES` of a zlib stream; what was read of a broken one.

    Raises:
        BlockUnreadable: nothing of it can be inflated, or the budget is spent.
    """
    engine = zlib.decompressobj()
    try:
        raw = engine.decompress(packed, MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise BlockUnreadable(f"compressed text is broken: {error}") from None
    survey.budget.charge(US_PER_INFLATED_BYTE * len(raw))
    if not engine.eof:
        cause = "longer than is read" if engine.unconsumed_tail else "cut short"
        survey.problem("PNG", f"compressed text is {cause}; read up to {len(raw)} bytes")
    return raw


def _raw_profile(kind: str, raw: bytes, place: str, survey: Survey) -> None:
    """A profile as ImageMagick and exiftool write it: name, length, then hexadecimal."""
    lines = raw.strip().split(b"\n", 2)
    if len(lines) < 3:
        raise BlockUnreadable("raw profile without its name and length")
    try:
        profile = bytes.fromhex(decode_text(lines[2]))
    except ValueError:
        raise BlockUnreadable("raw profile is not hexadecimal") from None
    where = f"{place}/{kind}"
    if kind in ("exif", "app1") and profile[:4] == b"Exif":
        read_exif(profile, where, survey)
    elif kind == "xmp" or b"<x:xmpmeta" in profile[:512]:
        read_xmp(profile, where, survey)
    elif kind in ("iptc", "8bim"):
        (read_resources if profile[:4] == b"8BIM" else read_iim)(profile, where, survey)
