"""The picture of a match, for a person who does not know the field: one PNG.

Listing and original side by side with the matched region and points, then the listing laid
over the original, the original, and where they differ; below them what was found, in words.
"""

import io
import textwrap

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.layout import UInt8Array
from service.matching import dense
from service.matching.alignment import usable
from service.matching.results import Match, Quad

FloatArray = NDArray[np.float32]
_WIDTH, _PANEL, _GAP = 1400, 460, 20
_INK, _PAPER, _MARK, _LINK = (20, 20, 24), (255, 255, 255), (214, 40, 40), (20, 120, 220)
_MOST_POINTS, _MOST_EVIDENCE = 60, 6


def draw(
    listing: UInt8Array,
    original: UInt8Array,
    match: Match,
    points: tuple[FloatArray, FloatArray] | None,
    title: str = "",
) -> bytes:
    """Draw the evidence of one match.

    Args:
        listing: uint8, shape (h, w, 3).
        original: uint8, shape (H, W, 3).
        match: what was found.
        points: matched points in the listing and in the original, fractional, shape (n, 2).
        title: a first line; by default verdict, kind and score.

    Returns:
        The bytes of a PNG, `_WIDTH` pixels wide.
    """
    head = title or f"{match.verdict}: {match.kind}, score {match.score:.2f}"
    lines = [line for text in _words(match) for line in textwrap.wrap(text, 125) or [""]]
    sheet = Image.new("RGB", (_WIDTH, 2 * _PANEL + 190 + 26 * len(lines)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, 14), head, _INK, ImageFont.load_default(size=30))
    half = (_WIDTH - 3 * _GAP) // 2
    left = _place(sheet, listing, (_GAP, 60), (half, _PANEL), "the listing")
    right = _place(sheet, original, (2 * _GAP + half, 60), (half, _PANEL), "the original")
    if match.alignment is not None:
        _outline(pen, match.alignment.listing_region, left)
        _outline(pen, match.alignment.original_region, right)
    if points is not None:
        step = max(1, len(points[0]) // _MOST_POINTS)
        for a, b in zip(points[0][::step], points[1][::step], strict=True):
            pen.line([_at(a, left), _at(b, right)], _LINK, 1)
    below = 60 + _PANEL + 50
    matrix = np.array(match.alignment.homography).reshape(3, 3) if match.alignment else None
    if matrix is None or not usable(matrix):
        note = "The two pictures could not be laid over each other."
        pen.text((_GAP, below), note, _INK, ImageFont.load_default(size=22))
    else:
        _aligned(sheet, listing, original, matrix, below)
    for i, line in enumerate(lines):
        at = (_GAP, below + _PANEL + 44 + 26 * i)
        pen.text(at, line, _INK, ImageFont.load_default(size=19))
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()


def _words(match: Match) -> list[str]:
    edits = "; ".join(edit.description for edit in match.edits) or "none measured"
    evidence = [f"- {each.note} ({each.signal})" for each in match.evidence[:_MOST_EVIDENCE]]
    return [match.note, f"Edits: {edits}.", "Evidence:", *evidence]


def _aligned(
    sheet: Image.Image,
    listing: UInt8Array,
    original: UInt8Array,
    matrix: NDArray[np.float64],
    top: int,
) -> None:
    """The listing in the original's frame, the original, and where they differ, in red."""
    side = 384
    drawn, inside = dense.lay(listing, matrix, side)
    flat = np.asarray(Image.fromarray(original).resize((side, side), Image.Resampling.BILINEAR))
    apart = np.abs(drawn.astype(np.float32) - flat.astype(np.float32)).mean(axis=2)
    share = (np.clip(apart / 96, 0, 1) * inside)[..., None]
    pale = flat.mean(axis=2, keepdims=True) * 0.4 + 150
    red = pale * (1 - share) + np.array(_MARK) * share
    shown = np.where(inside[..., None] > 0, drawn, 235).astype(np.uint8)
    views = (
        (shown, "the listing, laid over the original"),
        (flat, "the original"),
        (np.clip(red, 0, 255).astype(np.uint8), "where they differ, in red"),
    )
    width = (_WIDTH - 4 * _GAP) // 3
    h, w = original.shape[:2]
    for k, (picture, words) in enumerate(views):
        scale = min(width / w, _PANEL / h)
        size = (max(1, round(w * scale)), max(1, round(h * scale)))
        real = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
        _place(sheet, real, (_GAP + k * (width + _GAP), top), (width, _PANEL), words)


def _place(
    sheet: Image.Image,
    picture: UInt8Array,
    at: tuple[int, int],
    room: tuple[int, int],
    words: str,
) -> tuple[int, int, int, int]:
    """Paste a picture as large as there is room; returns its left, top, width and height."""
    h, w = picture.shape[:2]
    scale = min(room[0] / w, room[1] / h)
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    sheet.paste(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR), at)
    pen = ImageDraw.Draw(sheet)
    pen.text((at[0], at[1] + room[1] + 6), words, _INK, ImageFont.load_default(size=19))
    return (*at, *size)


def _at(point: FloatArray | tuple[float, float], box: tuple[int, int, int, int]) -> tuple[int, int]:
    left, top, width, height = box
    x, y = min(max(float(point[0]), 0), 1), min(max(float(point[1]), 0), 1)
    return round(left + x * width), round(top + y * height)


def _outline(pen: ImageDraw.ImageDraw, quad: Quad, box: tuple[int, int, int, int]) -> None:
    corners = [_at(point, box) for point in quad]
    pen.line([*corners, corners[0]], _MARK, 4)
