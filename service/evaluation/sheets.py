"""Contact sheets: the listings that were judged worst, each beside the original in question.

Drawn with Pillow alone, so that the base install has them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.images import decode
from models.refusals import (
    ImageEmpty,
    ImageTooLarge,
    ImageTooSmall,
    ImageTruncated,
    ImageUndecodable,
)
from service.evaluation.answers import Asked
from service.evaluation.metrics import ALARMS, NEGATIVE_ROLES, Metrics

HARDEST = 24
SIDE_PX = 200
"""Each picture fits into a square of this side."""
_COLUMNS, _MARGIN, _CAPTION = 3, 12, 40
_CHARACTERS = 30
"""Of a caption's line that fit under one picture."""

Read = Callable[[str], bytes]
_REFUSED = (ImageEmpty, ImageTooLarge, ImageTooSmall, ImageTruncated, ImageUndecodable)


@dataclass(frozen=True, slots=True)
class Pair:
    """What is shown side by side.

    Attributes:
        listing, original: how `read` knows the pictures; no original leaves its place empty.
        captions: of the listing and of the original, a line or two each.
    """

    listing: str
    original: str
    captions: tuple[str, str]


def false_alarms(metrics: Metrics) -> list[Pair]:
    """The listings that copy nothing and got COPY or REVIEW, beside what they were taken for.

    Highest scores first.
    """
    alarms = []
    for asked in metrics.of(*NEGATIVE_ROLES):
        wrong = [answer for answer in asked.answers if answer.verdict in ALARMS]
        if wrong:
            alarms.append((asked, max(wrong, key=lambda answer: answer.score)))
    alarms.sort(key=lambda pair: -pair[1].score)
    return [
        Pair(
            asked.path,
            wrong.original,
            (asked.role, f"{wrong.score:.3f} {wrong.verdict} {wrong.kind}".rstrip()),
        )
        for asked, wrong in alarms[:HARDEST]
    ]


def misses(metrics: Metrics, rate: str = "0.01") -> list[Pair]:
    """The copies and strong restyles below the score of a rate of false alarms, worst first.

    Without a listing that copies nothing there is no such score: those that were not answered.
    """
    least = metrics.thresholds[rate]
    missed = [
        a
        for a in metrics.copies + metrics.strong
        if (a.own < least if least == least else np.isneginf(a.own))
    ]
    missed.sort(key=lambda a: a.own)
    return [Pair(a.path, a.original, (_what(a), _how_far(a))) for a in missed[:HARDEST]]


def draw(path: Path, pairs: Sequence[Pair], read: Read, title: str) -> None:
    """Write a sheet as PNG or JPEG; of no pairs, one that says so.

    A picture that can not be read is shown as an empty field with the reason.
    """
    rows = max(1, -(-len(pairs) // _COLUMNS))
    cell = 2 * SIDE_PX + 2 * _MARGIN
    size = (_COLUMNS * (cell + _MARGIN), 40 + rows * (SIDE_PX + _CAPTION + _MARGIN))
    sheet = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    said = title if pairs else f"{title}: none"
    pen.text((_MARGIN, 10), said, "black", ImageFont.load_default(size=18))
    for number, pair in enumerate(pairs):
        left = _MARGIN + number % _COLUMNS * (cell + _MARGIN)
        top = 40 + number // _COLUMNS * (SIDE_PX + _CAPTION + _MARGIN)
        for offset, name, caption in zip(
            (0, SIDE_PX + _MARGIN), (pair.listing, pair.original), pair.captions, strict=True
        ):
            at = (left + offset, top)
            pen.rectangle((*at, at[0] + SIDE_PX, top + SIDE_PX), outline="lightgrey")
            if name:
                small, why = _thumbnail(name, read)
                if small is not None:
                    room = (SIDE_PX - small.width) // 2, (SIDE_PX - small.height) // 2
                    sheet.paste(small, (at[0] + room[0], top + room[1]))
                caption = f"{caption} {why}".strip()
            lines = [caption[i : i + _CHARACTERS] for i in range(0, len(caption), _CHARACTERS)]
            pen.multiline_text((at[0], top + SIDE_PX + 3), "\n".join(lines[:2]), "black", font)
    sheet.save(path)


def _thumbnail(name: str, read: Read) -> tuple[Image.Image | None, str]:
    """The picture within the square; None and why when it can not be read."""
    try:
        small = Image.fromarray(decode(read(name)).rgb)
    except _REFUSED as error:
        return None, error.reason
    small.thumbnail((SIDE_PX, SIDE_PX))
    return small, ""


def _what(asked: Asked) -> str:
    return "+".join(asked.edits) or asked.role


def _how_far(asked: Asked) -> str:
    if np.isneginf(asked.own):
        return "not answered"
    return f"{asked.own:.3f}, rank {1 + sum(score > asked.own for score, _ in asked.pairs)}"
