"""Strip a JPEG file down to its tables, its frame and its scans.

EXIF goes, since a reader that parses it may be told to copy 64 KiB for each of 5,000 tags;
so do previews, XMP, and whatever follows the picture (a second picture, a video). The scans
are counted, for a progressive file can ask for thousands of passes over a large picture.

Pure functions: any thread may call them.
"""

import re
import struct

from models.container import MAX_PARTS, MAX_PROFILE_BYTES, Container
from models.refusals import ImageTruncated, ImageUndecodable
from models.tiff import read_orientation

_MARKER = re.compile(rb"\xff[^\x00\xff]")
_SCAN_END = re.compile(rb"\xff[\xda\xd9]")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NEEDED = _FRAMES | {0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xE0}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})


def read_jpeg(data: bytes) -> Container:
    """Keep tables, frame and scans; drop EXIF, XMP, previews and what follows the picture."""
    kept = [b"\xff\xd8"]
    size, orientation, adobe, profile_bytes = None, 1, False, 0
    at = 2
    for _ in range(MAX_PARTS):
        marker = _MARKER.search(data, at)
        if marker is None:
            raise ImageTruncated("JPEG", len(data))
        kind, at = data[marker.end() - 1], marker.end()
        if kind in _STANDALONE:
            continue
        if kind == 0xD9:
            raise ImageUndecodable("the JPEG file ends before any picture begins")
        (length,) = struct.unpack_from(">H", data, at)
        segment = data[at + 2 : at + length]
        if length < 2 or len(segment) < length - 2:
            raise ImageTruncated("JPEG", len(data))
        keep = kind in _NEEDED
        if kind in _FRAMES and size is None:
            height, width = struct.unpack_from(">HH", segment, 1)
            size = (width, height)
        elif kind == 0xE1 and segment.startswith(b"Exif\0\0") and orientation == 1:
            orientation = read_orientation(segment[6:])
        elif kind == 0xE2 and segment.startswith(b"ICC_PROFILE\0"):
            profile_bytes += length
            keep = profile_bytes <= MAX_PROFILE_BYTES
        elif kind == 0xEE and segment.startswith(b"Adobe"):
            adobe = keep = True
        elif kind == 0xDA:
            break
        if keep:
            kept.append(data[at - 2 : at + length])
        at += length
    else:
        raise ImageUndecodable(f"the JPEG file has more than {MAX_PARTS} segments")
    if size is None:
        raise ImageUndecodable("the JPEG file has no frame header")
    scans, end = 0, -1
    for marker in _SCAN_END.finditer(data, at - 2):
        if data[marker.end() - 1] == 0xD9:
            end = marker.end()
            break
        scans += 1
        if scans > MAX_PARTS:
            raise ImageUndecodable(f"the JPEG file has more than {MAX_PARTS} scans")
    kept.append(data[at - 2 : end] if end > 0 else data[at - 2 :])
    return Container(
        "JPEG",
        b"".join(kept),
        *size,
        orientation=orientation,
        complete=end > 0,
        scans=scans,
        inverted_cmyk=adobe,
    )
