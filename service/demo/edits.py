"""What the demo does to a photograph before it sends it as a listing.

Plain image processing, named as what it is. The three restyles are filters of OpenCV and of
this file, not the work of a generative model: they keep the composition and lose the texture,
which is what makes a restyled copy hard, but a diffusion model changes more than they do.
"""

import io
from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

INK = (24, 24, 27)
PAPER = (250, 250, 248)
SIGNAL_RED = (214, 40, 40)


def encode(image: Image.Image, kind: str = "JPEG", quality: int = 88) -> bytes:
    """Return the picture as a file; WEBP is written without loss."""
    buffer = io.BytesIO()
    if kind == "WEBP":
        image.save(buffer, kind, lossless=True)
    else:
        image.save(buffer, kind, quality=quality)
    return buffer.getvalue()


def shrink(image: Image.Image, share: float) -> Image.Image:
    """Scale both sides to a share in (0, 1]."""
    size = (round(image.width * share), round(image.height * share))
    return image.resize(size, Image.Resampling.LANCZOS)


def mirror(image: Image.Image) -> Image.Image:
    """Mirror left to right."""
    return ImageOps.mirror(image)


def crop(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """Cut out a box given in fractions of the sides."""
    w, h = image.size
    return image.crop((round(left * w), round(top * h), round(right * w), round(bottom * h)))


def recolour(image: Image.Image) -> Image.Image:
    """Make it warmer, stronger and brighter, as a shop's filter does."""
    red, green, blue = image.split()
    warm = Image.merge("RGB", (red.point(lambda v: min(255, int(v * 1.15))), green, blue))
    return ImageEnhance.Brightness(ImageEnhance.Color(warm).enhance(1.5)).enhance(1.08)


def overlay(image: Image.Image) -> Image.Image:
    """Put a banner with a price and a round sticker on it."""
    made = image.copy()
    w, h = made.size
    draw = ImageDraw.Draw(made)
    draw.rectangle((0, round(h * 0.8), w, h), fill=SIGNAL_RED)
    draw.text((w // 2, round(h * 0.9)), "TODAY ONLY  -50 %", PAPER, _font(h * 0.11), anchor="mm")
    radius = round(h * 0.13)
    centre = (w - radius - round(h * 0.05), radius + round(h * 0.05))
    draw.circle(centre, radius, fill=(255, 214, 10), outline=INK, width=3)
    draw.text(centre, "NEW", INK, _font(h * 0.08), anchor="mm")
    return made


def frame_and_turn(image: Image.Image, degrees: float) -> Image.Image:
    """Turn it clockwise on white and give it a dark frame."""
    turned = image.rotate(-degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=PAPER)
    return ImageOps.expand(turned, border=round(turned.width * 0.04), fill=INK)


def collage(image: Image.Image, others: Sequence[Image.Image]) -> Image.Image:
    """Put it into a grid of two by two with three others, bottom right."""
    assert len(others) == 3
    side, gap = 380, 12
    sheet = Image.new("RGB", (2 * side + 3 * gap, 2 * side + 3 * gap), PAPER)
    for number, tile in enumerate((*others, image)):
        column, row = number % 2, number // 2
        fitted = ImageOps.fit(tile, (side, side))
        sheet.paste(fitted, (gap + column * (side + gap), gap + row * (side + gap)))
    return sheet


def screenshot(image: Image.Image) -> Image.Image:
    """Show it on a drawn shop page on a telephone."""
    width, height = 540, 960
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, width, 72), fill=INK)
    draw.text((24, 36), "bazaar", PAPER, _font(34), anchor="lm")
    fitted = ImageOps.contain(image, (width - 48, 420))
    page.paste(fitted, ((width - fitted.width) // 2, 104))
    y = 104 + fitted.height + 36
    draw.text((24, y), "Best quality, ships today", INK, _font(34))
    draw.text((24, y + 52), "19.90", SIGNAL_RED, _font(48))
    for line, share in enumerate((0.9, 0.82, 0.86, 0.55)):
        top = y + 136 + line * 34
        draw.rounded_rectangle((24, top, 24 + (width - 48) * share, top + 16), 8, (214, 214, 210))
    draw.rounded_rectangle((24, height - 104, width - 24, height - 32), 16, SIGNAL_RED)
    draw.text((width // 2, height - 68), "Add to basket", PAPER, _font(30), anchor="mm")
    return page


def cartoon(image: Image.Image) -> Image.Image:
    """Redraw it in flat colours with dark outlines."""
    pixels = np.asarray(image)
    smooth = pixels
    for _ in range(4):
        smooth = cv2.bilateralFilter(smooth, 9, 60, 9).astype(np.uint8)
    levels = 6
    flat = (smooth.astype(np.float32) * (levels - 1) / 255).round() * (255 / (levels - 1))
    grey = cv2.medianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), 5)
    lines = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 11, 4)
    drawn = flat * (lines[..., None] > 0)
    return Image.fromarray(drawn.astype(np.uint8))


def painting(image: Image.Image) -> Image.Image:
    """Paint it in broad soft strokes (OpenCV's `stylization`)."""
    return _filtered(cv2.stylization(_bgr(image), sigma_s=90, sigma_r=0.55))


def pencil(image: Image.Image) -> Image.Image:
    """Draw it with a coloured pencil (OpenCV's `pencilSketch`)."""
    _, coloured = cv2.pencilSketch(_bgr(image), sigma_s=60, sigma_r=0.08, shade_factor=0.05)
    return _filtered(coloured)


def _bgr(image: Image.Image) -> cv2.typing.MatLike:
    return cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR)


def _filtered(bgr: cv2.typing.MatLike) -> Image.Image:
    return Image.fromarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def _font(height_px: float) -> ImageFont.FreeTypeFont:
    """Return Pillow's own font in a size."""
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(round(height_px)))
