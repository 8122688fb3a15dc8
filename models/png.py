"""Strip a PNG file down to its header, palette, transparency and pixels.

Text goes, since a chunk of a few kilobytes can inflate to gigabytes, and so does animation:
what is left is the picture that a viewer shows first. The colour profile is inflated here,
up to a limit.

Pure functions: any thread may call them.
"""

import struct
import zlib

from models.container import MAX_PARTS, MAX_PROFILE_BYTES, Container
from models.refusals import ImageUndecodable
from models.tiff import read_orientation

_NEEDED = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT"})
_END = b"\0\0\0\0IEND\xae\x42\x60\x82"


def read_png(data: bytes) -> Container:
    """Keep header, palette, transparency and pixels; drop text, time, animation, the rest."""
    kept = [data[:8]]
    orientation, profile, ended = 1, b"", False
    width, height = struct.unpack_from(">II", data, 16)
    if data[12:16] != b"IHDR":
        raise ImageUndecodable("the PNG file does not begin with its header")
    at = 8
    for _ in range(MAX_PARTS):
        if at + 8 > len(data):
            break
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 12 + length
        if kind == b"IEND":
            ended = True
            break
        if kind in _NEEDED:
            kept.append(data[at:end])
        elif kind == b"eXIf" and end <= len(data):
            orientation = read_orientation(data[at + 8 : end - 4])
        elif kind == b"iCCP" and end <= len(data):
            profile = _inflate_profile(data[at + 8 : end - 4])
        at = end
    else:
        raise ImageUndecodable(f"the PNG file has more than {MAX_PARTS} chunks")
    if at <= len(data):  # else the last chunk is cut, and an end behind it would be read as pixels
        kept.append(_END)
    return Container(
        "PNG",
        b"".join(kept),
        width,
        height,
        orientation=orientation,
        complete=ended,
        profile=profile,
    )


def _inflate_profile(chunk: bytes) -> bytes:
    """Return the profile of an iCCP chunk, or nothing when it is broken or too large."""
    name_end = chunk.find(b"\0")
    if name_end < 0 or chunk[name_end + 1 : name_end + 2] != b"\0":
        return b""
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(chunk[name_end + 2 :], MAX_PROFILE_BYTES)
    except zlib.error:
        return b""
    return profile if inflater.eof else b""
