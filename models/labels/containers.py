"""Which container a file is, by its first bytes, and who walks it."""

from collections.abc import Callable
from dataclasses import dataclass

from models.labels import bmff, gif, jpeg, png, tiff, webp
from models.labels.survey import Survey


@dataclass(frozen=True, slots=True)
class Container:
    """One kind of image file.

    Attributes:
        name: as Pillow names it.
        mime: its media type.
        walk: reads a file's metadata into a survey.
    """

    name: str
    mime: str
    walk: Callable[[bytes, Survey], None]


JPEG = Container("JPEG", "image/jpeg", jpeg.walk)
PNG = Container("PNG", "image/png", png.walk)
WEBP = Container("WEBP", "image/webp", webp.walk)
GIF = Container("GIF", "image/gif", gif.walk)
TIFF = Container("TIFF", "image/tiff", tiff.walk)
AVIF = Container("AVIF", "image/avif", bmff.walk)
HEIF = Container("HEIF", "image/heif", bmff.walk)

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2")


def container_of(data: bytes) -> Container | None:
    """The container, or None when it is none that can carry a mark we read."""
    head = data[:64]
    if head.startswith(b"\xff\xd8"):
        return JPEG
    if head.startswith(png.SIGNATURE):
        return PNG
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return WEBP
    if head.startswith((b"GIF87a", b"GIF89a")):
        return GIF
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return TIFF
    if head[4:8] == b"ftyp":
        brands = head[8 : max(16, min(int.from_bytes(head[:4]), 64))]
        if b"avif" in brands or b"avis" in brands:
            return AVIF
        if any(brand in brands for brand in _HEIF_BRANDS):
            return HEIF
    return None
