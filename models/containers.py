"""Read the headers of picture files, and strip them down to what decoding needs.

A picture file is hostile until shown otherwise. Before Pillow sees it, this module finds out
what it is, how large its picture is and which way is up, and makes a copy without metadata:
a text chunk that inflates to gigabytes, an EXIF block or a TIFF directory whose tags claim
sixteen megabytes each, a thousand progressive scans, a second picture behind the first. What
is left is bounded by the size of the picture, and that is checked by `models.images`.

Only structure is read here, no pixel is decoded. Pure functions: any thread may call them.
"""

import struct
from collections.abc import Callable

from models.container import MAX_PARTS, Container
from models.jpeg import read_jpeg
from models.png import read_png
from models.refusals import ImageTruncated, ImageUndecodable
from models.tiff import read_tiff

MAX_RLE_BYTES = 2 * 1024 * 1024
"""Run-length encoded BMP is decoded byte by byte in Python, about a second for this much."""


def read_container(data: bytes) -> Container:
    """Find out what a file is and strip it.

    Raises:
        ImageUndecodable: not a picture, of no readable format, or broken in its structure.
        ImageTruncated: the file ends within its headers.
    """
    reader = _reader(data)
    if reader is None:
        raise ImageUndecodable(f"these bytes are {describe(data)}")
    format, read = reader
    try:
        return read(data)
    except (struct.error, IndexError) as error:
        raise ImageTruncated(format, len(data)) from error


def _reader(data: bytes) -> tuple[str, Callable[[bytes], Container]] | None:
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG", read_jpeg
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG", read_png
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP", _read_webp
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF", _read_gif
    if data.startswith(b"BM") and len(data) > 18 and data[15:18] == b"\0\0\0":
        return "BMP", _read_bmp
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF", read_tiff
    if data[4:8] == b"ftyp" and _is_avif(data):
        return "AVIF", _read_avif
    return None


# --- WebP, GIF, BMP, AVIF ------------------------------------------------------------


def _read_webp(data: bytes) -> Container:
    """Read the size of the canvas, which the decoder allocates as soon as it opens the file."""
    kind = data[12:16]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise ImageUndecodable("the WebP file begins with no picture")
    if len(data) < 30:
        raise ImageTruncated("WEBP", len(data))
    (riff_bytes,) = struct.unpack_from("<I", data, 4)
    return Container("WEBP", data, width, height, complete=riff_bytes + 8 <= len(data))


def _read_gif(data: bytes) -> Container:
    """Keep the screen, the palette and the first frame; drop comments and what follows."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    kept = [data[:at]]
    blocks = 0
    while blocks < MAX_PARTS:
        introducer = data[at : at + 1]
        if introducer == b",":
            left, top, frame_w, frame_h = struct.unpack_from("<HHHH", data, at + 1)
            kept.append(data[at:])
            width, height = max(width, left + frame_w), max(height, top + frame_h)
            return Container("GIF", b"".join(kept), width, height)
        if introducer == b";":
            raise ImageUndecodable("the GIF file has no picture")
        if introducer != b"!":
            if not introducer:
                raise ImageTruncated("GIF", len(data))
            raise ImageUndecodable("the GIF file is broken before its first picture")
        start, at = at, at + 2
        while length := data[at]:
            at += 1 + length
            blocks += 1
            if blocks >= MAX_PARTS:
                break
        at += 1
        if data[start + 1] == 0xF9:  # graphic control: transparency
            kept.append(data[start:at])
        blocks += 1
    raise ImageUndecodable(f"the GIF file has more than {MAX_PARTS} blocks before its picture")


def _read_bmp(data: bytes) -> Container:
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    if header_bytes == 12:
        width, height = struct.unpack_from("<HH", data, 18)
        return Container("BMP", data, width, height)
    width, height, _, _, compression = struct.unpack_from("<iiHHI", data, 18)
    if compression in (1, 2) and len(data) > MAX_RLE_BYTES:
        raise ImageUndecodable(f"it is a run-length encoded BMP of more than {MAX_RLE_BYTES} bytes")
    return Container("BMP", data, abs(width), abs(height))


def _is_avif(data: bytes) -> bool:
    (length,) = struct.unpack_from(">I", data)
    brands = data[8:12] + data[16 : min(length, 512)]
    return any(brands[i : i + 4] in (b"avif", b"avis") for i in range(0, len(brands), 4))


def _read_avif(data: bytes) -> Container:
    """Hide the EXIF block, which AVIF readers ignore for the orientation; read only boxes."""
    at, complete = 0, True
    body = data
    for _ in range(MAX_PARTS):
        if at >= len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, at)
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
        elif length == 0:
            length = len(data) - at
        if length < 8:
            raise ImageUndecodable("the AVIF file has a box of no length")
        if at + length > len(data):
            complete = False
        if kind == b"meta":
            box = data[at : at + length]
            body = data[:at] + box.replace(b"Exif", b"skip") + data[at + length :]
        at += length
    return Container("AVIF", body, 0, 0, complete=complete)


# --- what is no picture --------------------------------------------------------------

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive (or an Office document)"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"8BPS", "a Photoshop document"),
    (b"%!PS", "a PostScript document"),
    (b"\xff\x0a", "a JPEG XL picture, which is not supported"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture, which is not supported"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture, which is not supported"),
    (b"\0\0\x01\0", "an icon, which is not supported"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
)
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


def describe(data: bytes) -> str:
    """Say in words what bytes that are no readable picture seem to be."""
    for magic, words in _MAGIC:
        if data.startswith(magic):
            return words
    if data[4:8] == b"ftyp":
        if data[8:12] in _HEIF_BRANDS:
            return (
                "a HEIC picture, which is not supported (`heif-convert` or, on a Mac, "
                "`sips -s format jpeg` makes a JPEG of it)"
            )
        return "a video"
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in head:
        return "an SVG drawing, which has no pixels of its own"
    if head.startswith((b"<!doctype html", b"<html")) or b"<html" in head:
        return "an HTML page"
    if head.startswith((b"<?xml", b"{", b"[")):
        return "XML or JSON text"
    return "not a picture of a known format"
