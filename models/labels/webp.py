"""The RIFF chunks of a WebP file."""

from models.labels.budget import US_PER_BLOCK, BlockUnreadable
from models.labels.exif import read_exif
from models.labels.survey import Survey
from models.labels.xmp import read_xmp

MAX_CHUNKS = 16_384


def walk(data: bytes, survey: Survey) -> None:
    """Read the `EXIF`, `XMP ` and `C2PA` chunks of a WebP file.

    The RIFF size is not believed: chunks are read to the end of the file, as decoders do.
    """
    view = memoryview(data)
    at = 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return
        survey.budget.charge(US_PER_BLOCK)
        kind, size = bytes(view[at : at + 4]), int.from_bytes(view[at + 4 : at + 8], "little")
        if kind in (b"EXIF", b"XMP ", b"C2PA"):
            place = f"WebP/{kind.decode().strip()}"
            body = view[at + 8 : at + 8 + size]
            if len(body) < size:
                survey.problem(place, f"claims {size} bytes")
            try:
                if kind == b"EXIF":
                    read_exif(body, f"{place}/Exif", survey)
                elif kind == b"XMP ":
                    read_xmp(body, f"{place}/XMP", survey)
                else:
                    survey.manifest(body, place)
            except BlockUnreadable as refusal:
                if survey.budget.spent:
                    raise
                survey.problem(place, refusal.note)
        at += 8 + size + size % 2
    survey.problem("WebP", f"more than {MAX_CHUNKS} chunks")
