"""Product-like scenes drawn from a seed, each unlike the others to every hash and encoder.

A scene has a ground of its own, small props, and a product with a label: words, a pattern and
a bar code, so that it has enough corners for local features. The same seed and size give the
same pixels on every machine with the same Pillow.
"""

import colorsys
import math

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)

_WORDS = (
    "AURORA BRIO CEDAR DELTA EMBER FJORD GLINT HALO IRIS JUNO KITE LUMEN MAPLE NOVA ONYX PRISM "
    "QUILL RIDGE SOLIS TERRA ULTRA VELA WILLOW XENON YARA ZEPHYR"
).split()


def draw(seed: int, size: tuple[int, int] = (640, 480)) -> Image.Image:
    """Draw a detailed, colourful, product-like scene; the same seed and size, the same pixels.

    Args:
        seed: chooses everything: ground, product, label, words, small parts.
        size: (width, height) in pixels, each at least 16.
    """
    rng = np.random.default_rng([seed, 0xC0FFEE])
    w, h = size
    scale = 2 if max(size) <= 1024 else 1  # drawn larger, then reduced: smooth edges
    image = _ground(rng, w * scale, h * scale)
    pen = ImageDraw.Draw(image)
    unit = min(image.size)
    for _ in range(int(rng.integers(3, 7))):
        _prop(rng, pen, image.size, unit)
    _product(rng, image, unit)
    image = image.resize(size, Image.Resampling.BOX) if scale > 1 else image
    grain = rng.normal(0.0, 2.5, (h, w, 1))
    pixels = np.clip(np.asarray(image, dtype=np.float64) + grain, 0, 255)
    return Image.fromarray(pixels.astype(np.uint8), "RGB")


def packshot(seed: int, size: tuple[int, int] = (640, 480), share: float = 0.5) -> Image.Image:
    """Draw one product alone on pure white; `share` is its size beside the shorter side."""
    rng = np.random.default_rng([seed, 0xBEEF])
    image = Image.new("RGB", size, WHITE)
    _product(rng, image, int(min(size) * share / 0.7))
    return image


def colour(rng: Generator, saturation: float = 0.7, value: float = 0.8) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(rng.uniform(), saturation, value)
    return (int(red * 255), int(green * 255), int(blue * 255))


def _ground(rng: Generator, w: int, h: int) -> Image.Image:
    """A wall and a table, each with its own gradient and grain of low frequency."""
    y, x = np.mgrid[0:h, 0:w] / max(w, h)
    angle, waves = rng.uniform(0, 2 * math.pi), rng.uniform(1, 5)
    ramp = (np.cos(angle) * x + np.sin(angle) * y + 1) / 2
    cloud = 0.08 * np.sin(waves * 6.3 * x + angle) * np.cos(waves * 4.1 * y)
    start, end = (np.array(colour(rng, rng.uniform(0.1, 0.5), 0.95)) for _ in range(2))
    wall = start + (end - start) * np.clip(ramp + cloud, 0, 1)[..., None]
    table = np.array(colour(rng, rng.uniform(0.2, 0.6), rng.uniform(0.45, 0.8)))
    planks = 12 * np.sin(x * rng.uniform(60, 140) + 3 * np.sin(y * rng.uniform(20, 60)))
    horizon = rng.uniform(0.55, 0.8) * h / max(w, h)
    pixels = np.where((y > horizon)[..., None], table + planks[..., None], wall)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGB")


def _prop(rng: Generator, pen: ImageDraw.ImageDraw, size: tuple[int, int], unit: int) -> None:
    """One small thing somewhere: a disc, a box, a leaf or a star."""
    cx, cy = rng.uniform(0, size[0]), rng.uniform(0, size[1])
    radius = unit * rng.uniform(0.04, 0.16)
    box = (cx - radius, cy - radius, cx + radius, cy + radius)
    fill, line = colour(rng, 0.6, 0.9), colour(rng, 0.8, 0.4)
    kind = int(rng.integers(4))
    if kind == 0:
        pen.ellipse(box, fill=fill, outline=line, width=max(1, unit // 120))
    elif kind == 1:
        pen.rounded_rectangle(box, radius / 4, fill=fill, outline=line, width=max(1, unit // 120))
    else:
        inner = 0.45 if kind == 3 else 1.0  # a star has every other corner further in
        points = int(rng.integers(5, 9)) * (2 if kind == 3 else 1)
        start = rng.uniform(0, 6.3)
        pen.polygon(
            [
                (cx + reach * math.cos(turn), cy + reach * math.sin(turn))
                for i in range(points)
                for turn in [start + i * 6.2832 / points]
                for reach in [radius * (inner if i % 2 else 1.0)]
            ],
            fill=fill,
            outline=line,
        )


def _product(rng: Generator, image: Image.Image, unit: int) -> None:
    """The thing for sale: shadow, body, cap, label with words, pattern and a bar code."""
    pen = ImageDraw.Draw(image)
    w, h = unit * rng.uniform(0.3, 0.6), unit * rng.uniform(0.5, 0.7)
    cx, cy = image.width * rng.uniform(0.42, 0.58), image.height * rng.uniform(0.47, 0.55)
    left, top, right, bottom = cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2
    body, trim = colour(rng, rng.uniform(0.4, 0.9), 0.75), colour(rng, 0.7, 0.35)
    pen.ellipse(
        (left - w * 0.1, bottom - h * 0.05, right + w * 0.2, bottom + h * 0.05),
        fill=(120, 118, 115),
    )
    cap = w * rng.uniform(0.2, 0.5)
    pen.rounded_rectangle(
        (cx - cap / 2, top - h * 0.14, cx + cap / 2, top + h * 0.1), unit * 0.01, fill=trim
    )
    pen.rounded_rectangle(
        (left, top, right, bottom),
        w * rng.uniform(0.02, 0.3),
        fill=body,
        outline=trim,
        width=max(1, unit // 100),
    )
    shine = tuple(min(255, c + 45) for c in body)
    pen.rectangle((left + w * 0.1, top + h * 0.1, left + w * 0.16, bottom - h * 0.1), fill=shine)
    label = (left + w * 0.14, top + h * rng.uniform(0.2, 0.35), right - w * 0.06, bottom - h * 0.12)
    paper = colour(rng, 0.15, 0.97)
    pen.rectangle(label, fill=paper, outline=trim)
    label_w, label_h = label[2] - label[0], label[3] - label[1]
    word = str(rng.choice(_WORDS))
    font = ImageFont.load_default(max(6.0, label_w / len(word) * 1.3))
    pen.text((label[0] + label_w * 0.06, label[1] + label_h * 0.05), word, font=font, fill=trim)
    small = ImageFont.load_default(max(6.0, label_h * 0.09))
    line = f"{rng.choice(_WORDS).title()} No. {rng.integers(10, 9999)}"
    pen.text((label[0] + label_w * 0.06, label[1] + label_h * 0.32), line, font=small, fill=body)
    columns, rows = int(rng.integers(4, 9)), int(rng.integers(2, 5))
    cell = label_w * 0.88 / columns
    for row in range(rows):
        for column in range(columns):
            x = label[0] + label_w * 0.06 + column * cell
            y = label[1] + label_h * 0.48 + row * min(cell, label_h * 0.3 / rows)
            side = min(cell, label_h * 0.3 / rows) * 0.8
            shape = pen.ellipse if rng.uniform() < 0.5 else pen.rectangle
            shape((x, y, x + side, y + side), fill=colour(rng, 0.8, 0.8))
    x = label[0] + label_w * 0.06
    while x < label[2] - label_w * 0.1:
        bar = label_w * rng.uniform(0.008, 0.03)
        pen.rectangle(
            (x, label[1] + label_h * 0.84, x + bar, label[3] - label_h * 0.04), fill=(20, 20, 20)
        )
        x += bar + label_w * rng.uniform(0.01, 0.03)
