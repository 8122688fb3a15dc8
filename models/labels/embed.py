"""Put an XMP packet into a JPEG, PNG or WebP file; everything else stays as it is, byte by byte."""

import zlib
from collections.abc import Iterator
from typing import ClassVar

from models.labels.jpeg import EOI, EXIF, SOS, XMP
from models.labels.png import SIGNATURE, XMP_KEYWORD
from models.labels.xmp_merge import MAX_PACKET_BYTES, XmpUnmergeable, without_padding

JPEG_PACKET_BYTES = 65_502
_XMP_CHUNK = XMP_KEYWORD.encode() + b"\0"
_VP8X_XMP, _VP8X_ALPHA = 0x04, 0x10


class LabelUnwritable(ValueError):
    """The file is damaged, so that nothing can be put into it; `note` says where."""

    reason: ClassVar[str] = "LABEL_UNWRITABLE"

    def __init__(self, note: str) -> None:
        super().__init__(f"the picture's file is damaged: {note}")
        self.note = note


class LabelTooLarge(ValueError):
    """The XMP packet with the label is larger than the container allows."""

    reason: ClassVar[str] = "LABEL_TOO_LARGE"

    def __init__(self, packet_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"the XMP with the label has {packet_bytes} bytes, of {limit_bytes}")
        self.packet_bytes = packet_bytes
        self.limit_bytes = limit_bytes


Span = tuple[int, int]


def jpeg_packet(data: bytes) -> tuple[bytes | None, Span]:
    """The XMP packet of a JPEG file, and the span of its segment, or where one would go."""
    insert = 2
    leading = True
    for marker, start, end in _segments(data):
        payload = data[start + 4 : end]
        if marker == 0xE1 and payload.startswith(XMP):
            return payload[len(XMP) :], (start, end)
        leading = leading and (marker == 0xE0 or (marker == 0xE1 and payload.startswith(EXIF)))
        if leading:
            insert = end
    return None, (insert, insert)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment before the first scan."""
    at = 2
    while True:
        start = at
        if data[at : at + 1] != b"\xff":
            raise LabelUnwritable(f"no JPEG marker at {at}")
        while data[at : at + 1] == b"\xff":
            start, at = at, at + 1
        if at >= len(data):
            raise LabelUnwritable("it ends before the first scan")
        marker = data[at]
        if marker in (SOS, EOI):
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 1
            continue
        size = int.from_bytes(data[at + 1 : at + 3])
        end = at + 1 + size
        if size < 2 or end > len(data):
            raise LabelUnwritable(f"a JPEG segment of {size} bytes at {start}")
        yield marker, start, end
        at = end


def into_jpeg(data: bytes, packet: bytes, span: Span) -> bytes:
    """The file with the packet in the place of `span`."""
    if len(packet) > JPEG_PACKET_BYTES:
        packet = without_padding(packet)
    if len(packet) > JPEG_PACKET_BYTES:
        raise LabelTooLarge(len(packet), JPEG_PACKET_BYTES)
    body = XMP + packet
    segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2) + body
    return data[: span[0]] + segment + data[span[1] :]


def png_packet(data: bytes) -> tuple[bytes | None, Span]:
    """The XMP packet of a PNG file, and the span of its chunk, or where one would go."""
    at, insert = len(SIGNATURE), -1
    while at + 12 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        end = at + 12 + size
        if end > len(data):
            raise LabelUnwritable(f"a PNG chunk of {size} bytes at {at}")
        if kind == b"iTXt" and data[at + 8 : at + 8 + len(_XMP_CHUNK)] == _XMP_CHUNK:
            return _itxt(data[at + 8 + len(_XMP_CHUNK) : end - 4]), (at, end)
        if insert < 0 and kind in (b"IDAT", b"IEND"):
            insert = at
        if kind == b"IEND":
            break
        at = end
    if insert < 0:
        raise LabelUnwritable("it has no pixels")
    return None, (insert, insert)


def _itxt(rest: bytes) -> bytes:
    """The text of an iTXt chunk, from its compression flag on."""
    parts = rest[2:].split(b"\0", 2)
    if len(parts) < 3:
        raise LabelUnwritable("an iTXt chunk without its separators")
    if rest[0] == 0:
        return parts[2]
    engine = zlib.decompressobj()
    try:
        packet = engine.decompress(parts[2], MAX_PACKET_BYTES)
    except zlib.error as error:
        raise XmpUnmergeable(f"it is compressed and broken ({error})") from None
    if not engine.eof:
        raise XmpUnmergeable(f"it is cut short or longer than {MAX_PACKET_BYTES} bytes")
    return packet


def into_png(data: bytes, packet: bytes, span: Span) -> bytes:
    """The file with the packet in the place of `span`, uncompressed as XMP asks."""
    body = _XMP_CHUNK + b"\0\0\0\0" + packet
    chunk = len(body).to_bytes(4) + b"iTXt" + body + zlib.crc32(b"iTXt" + body).to_bytes(4)
    return data[: span[0]] + chunk + data[span[1] :]


def webp_packet(data: bytes) -> tuple[bytes | None, Span]:
    """The XMP packet of a WebP file, and the span of its chunk, or where one would go."""
    riff_end = _riff_end(data)
    at = 12
    while at + 8 <= riff_end:
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size + size % 2
        if at + 8 + size > riff_end:
            raise LabelUnwritable(f"a WebP chunk of {size} bytes at {at}")
        if kind == b"XMP ":
            return data[at + 8 : at + 8 + size], (at, min(end, riff_end))
        at = end
    return None, (riff_end, riff_end)


def _riff_end(data: bytes) -> int:
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise LabelUnwritable("the RIFF size is larger than the file")
    return end


def into_webp(data: bytes, packet: bytes, span: Span) -> bytes:
    """The file with the packet in the place of `span`, in the extended format.

    A simple file (`VP8 ` or `VP8L` alone) gets the `VP8X` header that metadata need; the image
    chunk itself stays.
    """
    riff_end = _riff_end(data)
    chunk = b"XMP " + len(packet).to_bytes(4, "little") + packet + b"\0" * (len(packet) % 2)
    head, middle, tail = data[12 : span[0]], data[span[1] : riff_end], data[riff_end:]
    if len(head) % 2:
        head += b"\0"  # a last chunk of odd size without its padding
    if head[:4] == b"VP8X":
        head = head[:8] + bytes([head[8] | _VP8X_XMP]) + head[9:]
    else:
        head = _extended_header(head) + head
    body = b"WEBP" + head + chunk + middle
    return b"RIFF" + len(body).to_bytes(4, "little") + body + tail


def _extended_header(chunks: bytes) -> bytes:
    kind, bits = chunks[:4], chunks[8:24]
    flags = _VP8X_XMP
    if kind == b"VP8 " and bits[3:6] == b"\x9d\x01\x2a":
        width = int.from_bytes(bits[6:8], "little") & 0x3FFF
        height = int.from_bytes(bits[8:10], "little") & 0x3FFF
    elif kind == b"VP8L" and bits[:1] == b"\x2f":
        packed = int.from_bytes(bits[1:5], "little")
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
        flags |= _VP8X_ALPHA if packed >> 28 & 1 else 0
    else:
        raise LabelUnwritable(f"it starts with the WebP chunk {kind!r}")
    if not width or not height:
        raise LabelUnwritable("it has no width or height")
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X" + (10).to_bytes(4, "little") + bytes([flags, 0, 0, 0]) + size
