"""The blocks of a GIF file: comments, and the XMP and C2PA application extensions."""

from models.labels.budget import US_PER_BLOCK, BlockUnreadable
from models.labels.survey import Layer, Survey, decode_text
from models.labels.xmp import read_xmp

MAX_BLOCKS = 4096
XMP_APPLICATION = b"XMP DataXMP"
C2PA_APPLICATION = b"C2PA_GIF"
XMP_TRAILER_BYTES = 257
_US_PER_SUB_BLOCK = 0.25


def walk(data: bytes, survey: Survey) -> None:
    """Read the metadata extensions of a GIF file, up to its trailer."""
    if len(data) < 13:
        survey.problem("GIF", "ends inside of its header")
        return
    at = 13 + _colours(data[10])
    for _ in range(MAX_BLOCKS):
        survey.budget.charge(US_PER_BLOCK)
        kind = data[at] if at < len(data) else 0x3B
        if kind == 0x3B:
            return
        if kind == 0x2C:
            flags = data[at + 9] if at + 9 < len(data) else 0
            at = _skip(data, at + 11 + _colours(flags), survey)
        elif kind == 0x21 and at + 1 < len(data):
            at = _extension(data, at, survey)
        else:
            survey.problem("GIF", f"block {kind:02X} is not known")
            return
    survey.problem("GIF", f"more than {MAX_BLOCKS} blocks")


def _colours(flags: int) -> int:
    """Bytes of the colour table that `flags` announces."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _skip(data: bytes, at: int, survey: Survey) -> int:
    """The position after a chain of sub-blocks that starts at `at`."""
    start, end, count = at, len(data), 0
    while at < end and data[at]:
        at += 1 + data[at]
        count += 1
        if count % 1024 == 0:
            survey.budget.charge(1024 * _US_PER_SUB_BLOCK)
    if at >= end:
        survey.problem("GIF", f"ends inside of the block at {start}")
    return at + 1


def _extension(data: bytes, at: int, survey: Survey) -> int:
    label, body = data[at + 1], at + 2
    end = _skip(data, body, survey)
    application = (
        data[body + 1 : body + 12] if label == 0xFF and data[body : body + 1] == b"\x0b" else b""
    )
    try:
        if label == 0xFE:
            survey.add(
                Layer.COMMENT,
                "Comment",
                decode_text(_joined(data, body, end, survey)),
                "GIF/comment",
            )
        elif application == XMP_APPLICATION:
            # Not in sub-blocks: the packet lies bare, and a trailer of 258 falling bytes lets
            # a reader that takes its characters for lengths find the end.
            packet = data[body + 12 : max(body + 12, end - 1 - XMP_TRAILER_BYTES)]
            read_xmp(packet, "GIF/XMP", survey)
        elif application[:8] == C2PA_APPLICATION:
            survey.manifest(_joined(data, body, end, survey), "GIF/C2PA_GIF")
    except BlockUnreadable as refusal:
        if survey.budget.spent:
            raise
        survey.problem("GIF", refusal.note)
    return end


def _joined(data: bytes, at: int, end: int, survey: Survey) -> bytes:
    """The bytes of a chain of sub-blocks, without their lengths."""
    pieces = []
    while at < end and at < len(data) and data[at]:
        survey.budget.charge(_US_PER_SUB_BLOCK)
        pieces.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(pieces)
