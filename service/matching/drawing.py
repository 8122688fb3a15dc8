"""One picture that shows why a listing was matched with an original, for anyone to read.

Above, the two side by side with the matched region outlined and matched points joined; in the
middle, the listing laid over the original, the original, and where they differ; below, words.
The same arguments give the same bytes.
"""

import io
import unicodedata
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.layout import FloatArray, Matrix, UInt8Array
from service.matching import dense
from service.matching.alignment import usable
from service.matching.results import (
    Alignment,
    Box,
    Edit,
    EditType,
    Match,
    MatchKind,
    Quad,
    Verdict,
)

WIDTH_PX = 1400
MOST_LINES = 60
"""Matched points that are joined; more would hide the pictures."""
MOST_SENTENCES = 10
_MARGIN, _GAP = 36, 28
_PAIR_PX, _ROW_PX = 560, 430
"""Greatest height of the pictures of the upper and of the middle row."""
_FROM_LEVELS = 24.0
"""Differences in grey levels below this are taken for compression and not shown."""
_SIDE_PX = 512
_INK, _SOFT, _PAPER, _PLATE = (28, 32, 38), (96, 102, 112), (255, 255, 255), (238, 240, 243)
_OUTLINE, _LINE, _RED = (230, 60, 20), (0, 140, 220), (220, 20, 30)
_MARK = (170, 0, 170)
_IN_ONE_PLACE = (
    EditType.OVERLAY_ADDED,
    EditType.OVERLAY_REMOVED,
    EditType.RECOLOURED,
    EditType.SUBJECT_RECOLOURED,
    EditType.SUBJECT_CHANGED,
)
_VERDICTS = {
    Verdict.COPY: ("Copy", (190, 30, 30)),
    Verdict.REVIEW: ("A person should look at this", (190, 110, 0)),
    Verdict.CLEAR: ("Not a copy, as far as can be told", (30, 120, 60)),
    Verdict.AUTHORISED: ("An authorised copy", (30, 90, 160)),
}
_KINDS = {
    MatchKind.EXACT: "the same picture",
    MatchKind.NEAR_DUPLICATE: "a slightly changed copy",
    MatchKind.EDITED: "an edited copy",
    MatchKind.PARTIAL: "one picture holds a part of the other",
    MatchKind.RESTYLED: "the same composition, drawn anew",
}
_SPELT = str.maketrans({"Δ": "delta ", "≥": ">=", "≤": "<=", "→": "to", "×": "x", "—": "-"})
_GLYPHS = frozenset("©«°±´·»‘’“”…‹›™–")
"""What the font that ships with Pillow has beyond ASCII."""
Colour = tuple[int, int, int]


def draw(
    listing: UInt8Array,
    original: UInt8Array,
    match: Match,
    points: tuple[FloatArray, FloatArray] | None,
    title: str = "",
) -> bytes:
    """Draw the evidence for a match.

    Args:
        listing: uint8, shape (h, w, 3).
        original: uint8, shape (h, w, 3).
        match: what was found.
        points: fractional coordinates, shape (n, 2) each, of matched key points in the
            listing and in the original; None when there are none.
        title: heading; empty names the original.

    Returns:
        A PNG, `WIDTH_PX` wide.
    """
    page = _Page()
    heading = title or (f"Compared with {match.original}" if match.original else "Two pictures")
    page.words(heading, 34, _INK)
    _pair(page, listing, original, match, points)
    if match.alignment is None or not usable(_matrix(match.alignment)):
        page.words("The two pictures could not be laid over each other.", 24, _INK)
    else:
        _overlay(page, listing, original, match.alignment)
    _findings(page, match)
    return page.png()


class _Page:
    """A sheet that is filled from the top and cut to what was used."""

    def __init__(self) -> None:
        self.blocks: list[Image.Image] = []

    def words(self, text: str, size: int, ink: Colour, indent: int = 0) -> None:
        """Write a paragraph, wrapped."""
        font = ImageFont.load_default(size=size)
        lines = _wrap(text, font, WIDTH_PX - 2 * _MARGIN - indent)
        step = round(size * 1.35)
        block = Image.new("RGB", (WIDTH_PX, step * len(lines)), _PAPER)
        pen = ImageDraw.Draw(block)
        for k, line in enumerate(lines):
            pen.text((_MARGIN + indent, k * step), line, ink, font)
        self.blocks.append(block)

    def space(self, height: int) -> None:
        """Leave some paper free."""
        self.blocks.append(Image.new("RGB", (WIDTH_PX, height), _PAPER))

    def row(
        self, pictures: Sequence[UInt8Array], captions: Sequence[str], tallest: int
    ) -> tuple[Image.Image, list[tuple[int, int, int, int]]]:
        """Set pictures side by side, each on a plate with words under it.

        Returns:
            The block, to draw on, and left, top, width and height of each picture in it.
        """
        n = len(pictures)
        plate = (WIDTH_PX - 2 * _MARGIN - (n - 1) * _GAP) // n
        sizes = [_fitted(picture, plate, tallest) for picture in pictures]
        font = ImageFont.load_default(size=20)
        wrapped = [_wrap(caption, font, plate) for caption in captions]
        height = max(h for _, h in sizes)
        block = Image.new(
            "RGB", (WIDTH_PX, height + 12 + 27 * max(len(lines) for lines in wrapped)), _PAPER
        )
        pen = ImageDraw.Draw(block)
        places = []
        for k, (picture, (w, h)) in enumerate(zip(pictures, sizes, strict=True)):
            left = _MARGIN + k * (plate + _GAP)
            pen.rectangle((left, 0, left + plate - 1, height - 1), fill=_PLATE)
            place = (left + (plate - w) // 2, (height - h) // 2, w, h)
            drawn = Image.fromarray(picture).resize((w, h), Image.Resampling.LANCZOS)
            block.paste(drawn, place[:2])
            places.append(place)
            for i, line in enumerate(wrapped[k]):
                pen.text((left, height + 8 + 27 * i), line, _SOFT, font)
        self.blocks.append(block)
        return block, places

    def png(self) -> bytes:
        """Put everything on one sheet."""
        height = 2 * _MARGIN + sum(block.height for block in self.blocks)
        height += 14 * (len(self.blocks) - 1)
        sheet = Image.new("RGB", (WIDTH_PX, height), _PAPER)
        top = _MARGIN
        for block in self.blocks:
            sheet.paste(block, (0, top))
            top += block.height + 14
        buffer = io.BytesIO()
        sheet.save(buffer, format="PNG")
        return buffer.getvalue()


def _pair(
    page: _Page,
    listing: UInt8Array,
    original: UInt8Array,
    match: Match,
    points: tuple[FloatArray, FloatArray] | None,
) -> None:
    """The two side by side, outlined and joined; what was changed in one place, numbered."""
    alignment = match.alignment
    outlined = ", the matched region outlined" if alignment else ""
    numbered = "; numbers mark what was changed in one place" if _marked(match) else ""
    captions = (f"Listing{outlined}{numbered}", f"Original{outlined}")
    block, places = page.row((listing, original), captions, _PAIR_PX)
    pen = ImageDraw.Draw(block)
    if points is not None and len(points[0]):
        some = np.unique(np.linspace(0, len(points[0]) - 1, MOST_LINES).round().astype(int))
        for k in some:
            ends = [_spot(side[k], place) for side, place in zip(points, places, strict=True)]
            pen.line((ends[0], ends[1]), _LINE, 1)
            for x, y in ends:
                pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=_LINE, outline=_PAPER)
        page.words(
            f"Thin lines join {len(some)} of {len(points[0])} details that were found in both.",
            20,
            _SOFT,
        )
    if alignment is not None:
        for quad, place in (
            (alignment.listing_region, places[0]),
            (alignment.original_region, places[1]),
        ):
            _outline(block, quad, place)
    for number, edit in _marked(match).items():
        if edit.region is not None:
            _mark(block, edit.region, number, places[0])


def _marked(match: Match) -> dict[int, Edit]:
    """The edits that have a place of their own, by the number that marks them."""
    placed = [edit for edit in match.edits if edit.region and edit.type in _IN_ONE_PLACE]
    return dict(enumerate(placed, start=1))


def _mark(block: Image.Image, region: Box, number: int, place: tuple[int, int, int, int]) -> None:
    """Outline what was changed in one place and put its number at the corner."""
    left, top, w, h = place
    x, y = left + region.left * w, top + region.top * h
    right, bottom = x + region.width * w, y + region.height * h
    pen = ImageDraw.Draw(block)
    pen.rectangle((x, y, max(x + 2, right - 1), max(y + 2, bottom - 1)), outline=_MARK, width=3)
    tag = (max(left, min(x, left + w - 26)), max(top, min(y, top + h - 26)))
    pen.rectangle((*tag, tag[0] + 25, tag[1] + 25), fill=_MARK)
    font = ImageFont.load_default(size=20)
    pen.text((tag[0] + 13, tag[1] + 13), str(number), _PAPER, font, anchor="mm")


def _outline(block: Image.Image, quad: Quad, place: tuple[int, int, int, int]) -> None:
    """Outline a region; of one that reaches beyond its picture, the part inside."""
    left, top, w, h = place
    box = (left, top, left + w, top + h)
    part = block.crop(box)
    frame = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float32)
    _, seen = cv2.intersectConvexConvex(frame, np.array(quad, dtype=np.float32))
    if seen is None or len(seen) < 3:
        return
    corners = [(float(x) * (w - 5) + 2, float(y) * (h - 5) + 2) for x, y in seen.reshape(-1, 2)]
    ImageDraw.Draw(part).line([*corners, corners[0], corners[1]], _OUTLINE, 4, joint="curve")
    block.paste(part, box[:2])


def _overlay(page: _Page, listing: UInt8Array, original: UInt8Array, alignment: Alignment) -> None:
    """The listing in the frame of the original, the original, and the difference."""
    laid, inside = dense.lay(listing, _matrix(alignment), _SIDE_PX)
    square = np.asarray(
        cv2.resize(original, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA), dtype=np.uint8
    )
    lies = inside > 0
    plain = np.array(_PLATE, dtype=np.uint8)
    over = np.where(lies[..., None], laid, plain)
    a, b = (cv2.GaussianBlur(each, (0, 0), 1.5).astype(np.float32) for each in (laid, square))
    off = np.abs(a - b).max(axis=2)
    share = np.clip((off - _FROM_LEVELS) / 60.0, 0, 1) * lies
    differs = float((off > _FROM_LEVELS)[lies].mean()) if lies.any() else 0.0
    grey = 0.5 * cv2.cvtColor(square, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] + 127
    ground = np.where(lies[..., None], grey, 225.0)
    mixed = ground * (1 - share[..., None]) + np.array(_RED, np.float32) * share[..., None]
    told = f"Red where they differ: {differs:.0%} of the shared area. Plain grey: not in both."
    if not lies.any():
        told = "The listing does not cover the original."
    h, w = original.shape[:2]
    pictures = [_shaped(each.astype(np.uint8), w, h) for each in (over, square, mixed.round())]
    page.row(pictures, ("Listing, laid over the original", "The original", told), _ROW_PX)


def _matrix(alignment: Alignment) -> Matrix:
    return np.array(alignment.homography, dtype=np.float64).reshape(3, 3)


def _findings(page: _Page, match: Match) -> None:
    """Verdict, edits and evidence in words."""
    page.space(4)
    words, ink = _VERDICTS[match.verdict]
    page.words(words, 34, ink)
    # A kind is how a copy was made: of a picture that is none it would mislead.
    kind = "" if match.verdict is Verdict.CLEAR else f"Kind: {_KINDS[match.kind]}. "
    page.words(
        f"{kind}Score {match.score:.2f}: how probable it is, from 0 to 1, that the listing was "
        "made from the original.",
        22,
        _INK,
    )
    if match.note:
        page.words(match.note, 22, _INK)
    if match.edits:
        page.words("What was changed", 26, _INK)
        numbers = {id(edit): f"[{number}] " for number, edit in _marked(match).items()}
        for edit in match.edits:
            warning = " (may mislead a buyer)" if edit.misleads_buyer else ""
            page.words(f"- {numbers.get(id(edit), '')}{edit.description}{warning}", 22, _INK, 16)
    if match.evidence:
        page.words("What was measured", 26, _INK)
        for each in match.evidence[:MOST_SENTENCES]:
            side = "speaks for a copy" if each.supports else "does not by itself speak for a copy"
            told = f"{side} (measured {each.value:.4g}, support from {each.threshold:.4g})"
            if not each.supports and each.threshold <= 0:
                told = f"context (measured {each.value:.4g})"
            ink = _INK if each.supports else _SOFT
            page.words(f"- {each.note or each.signal}: {told}", 20, ink, 16)


def _spot(point: FloatArray, place: tuple[int, int, int, int]) -> tuple[float, float]:
    left, top, w, h = place
    return left + float(point[0]) * w, top + float(point[1]) * h


def _fitted(picture: UInt8Array, widest: int, tallest: int) -> tuple[int, int]:
    h, w = picture.shape[:2]
    scale = min(widest / w, tallest / h)
    return max(1, round(w * scale)), max(1, round(h * scale))


def _shaped(square: UInt8Array, w: int, h: int) -> UInt8Array:
    """Give a square drawing the shape of the original."""
    size = (max(1, round(_SIDE_PX * min(1, w / h))), max(1, round(_SIDE_PX * min(1, h / w))))
    return np.asarray(cv2.resize(square, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Break a text into lines that fit; a word that is too long is broken too."""
    lines = [""]
    for word in _printable(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        lines.append("")
        for letter in word:
            if font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return [line for line in lines if line] or [""]


def _printable(text: str) -> str:
    """Spell what the font lacks; letters that it cannot spell become question marks."""
    plain = unicodedata.normalize("NFKD", text.translate(_SPELT))
    return "".join(
        c if " " <= c <= "~" or c in _GLYPHS else " " if c.isspace() else "?"
        for c in plain
        if not unicodedata.combining(c)
    )
