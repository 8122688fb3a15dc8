"""What is left of a picture file once its metadata is gone, and how much of it is believed.

The formats have their own modules (`jpeg`, `png`, `tiff`, `containers`); this is the value
that they all return.
"""

from dataclasses import dataclass

MAX_PROFILE_BYTES = 4 * 1024 * 1024
"""A larger colour profile is ignored; real ones are under 2 MiB, also for CMYK."""
MAX_PARTS = 100_000
"""More segments, chunks or blocks than this are an attack: a 16 MiB PNG has about 2,000."""


@dataclass(frozen=True, slots=True)
class Container:
    """A picture file, without its metadata.

    Attributes:
        format: Pillow's name of the format, e.g. "JPEG".
        body: a file that Pillow reads to the same pixels.
        width_px: as stored, before any turn; 0 when only the decoder can tell (AVIF).
        height_px: likewise.
        orientation: the EXIF orientation, 1..8, still to be applied.
        complete: False when the file ends early, so that a failure to decode is a truncation.
        scans: passes over the picture, more than one in a progressive JPEG.
        profile: the ICC profile, where it had to be taken out.
        inverted_cmyk: whether a CMYK JPEG stores ink as light, as Adobe's do.
    """

    format: str
    body: bytes
    width_px: int
    height_px: int
    orientation: int = 1
    complete: bool = True
    scans: int = 1
    profile: bytes = b""
    inverted_cmyk: bool = True
