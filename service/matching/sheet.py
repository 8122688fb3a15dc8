"""A sheet of paper that is filled from the top: words, rows of pictures, tables.

Knows nothing of matches; `service.matching.drawing` says what is on it. The same calls give
the same bytes.
"""

import io
import unicodedata
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from models.layout import UInt8Array

WIDTH_PX = 1400
INK, SOFT, PAPER, PLATE = (28, 32, 38), (96, 102, 112), (255, 255, 255), (238, 240, 243)
_MARGIN, _GAP = 36, 28
_BETWEEN = 14
_RULE = (220, 223, 228)
_SPELT = str.maketrans({"Δ": "delta ", "≥": ">=", "≤": "<=", "→": "to", "×": "x", "—": "-"})
_GLYPHS = frozenset("©«°±´·»‘’“”…‹›™–")
"""What the font that ships with Pillow has beyond ASCII."""
Colour = tuple[int, int, int]
Place = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""


class Sheet:
    """A sheet that is filled from the top and cut to what was used."""

    def __init__(self) -> None:
        self.blocks: list[Image.Image] = []

    def words(self, text: str, size: int, ink: Colour, indent: int = 0) -> None:
        """Write a paragraph, wrapped."""
        font = ImageFont.load_default(size=size)
        lines = _wrap(text, font, WIDTH_PX - 2 * _MARGIN - indent)
        step = round(size * 1.35)
        block = Image.new("RGB", (WIDTH_PX, step * len(lines)), PAPER)
        pen = ImageDraw.Draw(block)
        for k, line in enumerate(lines):
            pen.text((_MARGIN + indent, k * step), line, ink, font)
        self.blocks.append(block)

    def space(self, height: int) -> None:
        """Leave some paper free."""
        self.blocks.append(Image.new("RGB", (WIDTH_PX, height), PAPER))

    def row(
        self, pictures: Sequence[UInt8Array], captions: Sequence[str], tallest: int
    ) -> tuple[Image.Image, list[Place]]:
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
            "RGB", (WIDTH_PX, height + 12 + 27 * max(len(lines) for lines in wrapped)), PAPER
        )
        pen = ImageDraw.Draw(block)
        places = []
        for k, (picture, (w, h)) in enumerate(zip(pictures, sizes, strict=True)):
            left = _MARGIN + k * (plate + _GAP)
            pen.rectangle((left, 0, left + plate - 1, height - 1), fill=PLATE)
            place = (left + (plate - w) // 2, (height - h) // 2, w, h)
            drawn = Image.fromarray(picture).resize((w, h), Image.Resampling.LANCZOS)
            block.paste(drawn, place[:2])
            places.append(place)
            for i, line in enumerate(wrapped[k]):
                pen.text((left, height + 8 + 27 * i), line, SOFT, font)
        self.blocks.append(block)
        return block, places

    def table(self, header: Sequence[str], rows: Sequence[tuple[Sequence[str], Colour]]) -> None:
        """Set rows of words in columns; the first column is wide and wrapped.

        Args:
            header: of each column.
            rows: the words of each column, and their colour.
        """
        font, size = ImageFont.load_default(size=20), 20
        narrow = 150
        first = WIDTH_PX - 2 * _MARGIN - (len(header) - 1) * narrow
        for words, ink in ((header, SOFT), *rows):
            lines = _wrap(words[0], font, first - _GAP)
            step = round(size * 1.35)
            block = Image.new("RGB", (WIDTH_PX, step * len(lines) + 10), PAPER)
            pen = ImageDraw.Draw(block)
            for k, line in enumerate(lines):
                pen.text((_MARGIN, k * step), line, ink, font)
            for k, word in enumerate(words[1:]):
                right = _MARGIN + first + (k + 1) * narrow
                pen.text((right, 0), _printable(word), ink, font, anchor="ra")
            bottom = block.height - 1
            pen.line((_MARGIN, bottom, WIDTH_PX - _MARGIN, bottom), _RULE, 1)
            self.blocks.append(block)

    def png(self) -> bytes:
        """Put everything on one sheet."""
        height = 2 * _MARGIN + sum(block.height for block in self.blocks)
        height += _BETWEEN * (len(self.blocks) - 1)
        sheet = Image.new("RGB", (WIDTH_PX, height), PAPER)
        top = _MARGIN
        for block in self.blocks:
            sheet.paste(block, (0, top))
            top += block.height + _BETWEEN
        buffer = io.BytesIO()
        sheet.save(buffer, format="PNG")
        return buffer.getvalue()


def _fitted(picture: UInt8Array, widest: int, tallest: int) -> tuple[int, int]:
    h, w = picture.shape[:2]
    scale = min(widest / w, tallest / h)
    return max(1, round(w * scale)), max(1, round(h * scale))


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
