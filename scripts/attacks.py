"""What somebody does to a picture who does not want it to be found; evaluation folders hold little
of it.

Each attack is a function of a picture, of another picture to put it on, and of a random generator.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageOps

Attack = Callable[[Image.Image, Image.Image, Generator], Image.Image]
FloatArray = NDArray[np.float64]

_SIDE_PX = 800


def lens(image: Image.Image, amount: float = 0.25) -> Image.Image:
    """See the picture through a lens that shows its middle larger, by `amount` of its size."""

    def bend(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        share = 1 - amount + 2 * amount * (x * x + y * y)
        return x * share, y * share

    return _bent(image, bend)


def waves(image: Image.Image, amount: float = 0.02) -> Image.Image:
    """Move rows and columns in waves, by `amount` of the sides."""
    return _bent(
        image,
        lambda x, y: (x + amount * np.sin(18 * (y + 0.5)), y + amount * np.sin(15 * (x + 0.5))),
    )


def swirl(image: Image.Image, radians: float = 0.6) -> Image.Image:
    """Turn the middle by `radians`, and what is farther from it by less and less."""

    def bend(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        angle = radians * np.exp(-10 * (x * x + y * y))
        return x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)

    return _bent(image, bend)


def _bent(
    image: Image.Image,
    bend: Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]],
) -> Image.Image:
    """Show at each place, in fractions from the middle, what lies where `bend` says."""
    w, h = image.size
    y, x = np.mgrid[:h, :w].astype(np.float64)
    at = bend((x + 0.5) / w - 0.5, (y + 0.5) / h - 0.5)
    across, down = ((each + 0.5) * n - 0.5 for each, n in zip(at, (w, h), strict=True))
    moved = cv2.remap(
        np.asarray(image.convert("RGB")),
        across.astype(np.float32),
        down.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    return Image.fromarray(moved)


def turned(image: Image.Image, degrees: float = 45.0) -> Image.Image:
    """Turn it, on white."""
    return image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor="white")


def cut(image: Image.Image, area: float) -> Image.Image:
    """Keep the middle, with this share of the area."""
    w, h = image.size
    keep = area**0.5
    left, top = w * (1 - keep) / 2, h * (1 - keep) / 2
    return image.crop((round(left), round(top), round(w - left), round(h - top)))


def halves_exchanged(image: Image.Image) -> Image.Image:
    """Put the right half to the left of the left one."""
    w, h = image.size
    out = image.copy()
    out.paste(image.crop((w // 2, 0, w, h)), (0, 0))
    out.paste(image.crop((0, 0, w // 2, h)), (w - w // 2, 0))
    return out


def pasted(
    image: Image.Image, ground: Image.Image, rng: Generator, share: float, degrees: float = 0.0
) -> Image.Image:
    """Paste it on another picture, its longest side at a share of that one's, and turned."""
    page = ImageOps.fit(ground, (_SIDE_PX, _SIDE_PX))
    part = ImageOps.contain(image, (int(_SIDE_PX * share),) * 2).convert("RGBA")
    part = part.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    left, top = (int(rng.integers(0, max(1, _SIDE_PX - n))) for n in part.size)
    page.paste(part, (left, top), part)
    return page


def grid(image: Image.Image, ground: Image.Image, rng: Generator, count: int) -> Image.Image:
    """One of `count` x `count` cells; the others show parts of another picture."""
    cell = _SIDE_PX // count
    page = ImageOps.fit(ground, (cell * count, cell * count))
    page = ImageOps.mirror(page)
    k = int(rng.integers(count * count))
    page.paste(ImageOps.fit(image, (cell, cell)), (k % count * cell, k // count * cell))
    return page


def on_a_phone(image: Image.Image, ground: Image.Image) -> Image.Image:
    """Show it on a phone that lies askew on something else."""
    page = ImageOps.fit(ground, (_SIDE_PX, _SIDE_PX))
    ImageDraw.Draw(page).rounded_rectangle((170, 60, 630, 740), 40, fill=(15, 15, 15))
    page.paste(ImageOps.fit(image, (420, 560)), (190, 120))
    return ImageOps.crop(page.rotate(8, Image.Resampling.BICUBIC), round(_SIDE_PX * 0.07))


def before_another_ground(
    image: Image.Image, ground: Image.Image, scale: float = 1.0
) -> Image.Image:
    """Cut the product out (GrabCut, Rother et al. 2004) and put it before something else."""
    rgb = np.asarray(image.convert("RGB"))
    h, w = rgb.shape[:2]
    mask = np.zeros((h, w), np.uint8)
    box = (int(w * 0.08), int(h * 0.08), int(w * 0.84), int(h * 0.84))
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # GrabCut begins with clusters drawn by chance
    cv2.grabCut(rgb[..., ::-1].copy(), mask, box, *models, 4, cv2.GC_INIT_WITH_RECT)
    kept = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8) * 255
    part = Image.fromarray(np.dstack((rgb, cv2.GaussianBlur(kept, (0, 0), 1))))
    part = part.resize((round(w * scale), round(h * scale)))
    page = ImageOps.fit(ground, image.size)
    page.paste(part, (round(w * (1 - scale) * 0.7), round(h * (1 - scale) * 0.6)), part)
    return page


def watermarked(image: Image.Image) -> Image.Image:
    """Write a name all over it."""
    layer = Image.new("RGBA", image.size)
    pen = ImageDraw.Draw(layer)
    for row, top in enumerate(range(0, image.height, 60)):
        for left in range(-60, image.width, 140):
            pen.text(
                (left + row % 2 * 70, top), "SHOP24.example", (255, 255, 255, 150), font_size=22
            )
    return Image.alpha_composite(image.convert("RGBA"), layer.rotate(20)).convert("RGB")


def photographed_from_a_screen(image: Image.Image) -> Image.Image:
    """Moire, a little from the side."""
    rgb = np.asarray(image.convert("RGB")).astype(np.float32)
    h, w = rgb.shape[:2]
    y, x = np.indices((h, w))
    lines = 1 + 0.18 * np.sin(x * 2.1 + y * 0.05) + 0.12 * np.sin(y * 1.9 - x * 0.04)
    shown = np.clip(rgb * lines[..., None] * 0.95 + 8, 0, 255).astype(np.uint8)
    aside = np.array([[0.98, 0.06, -5], [-0.05, 1.0, 12], [6e-5, -5e-5, 1]])
    seen = cv2.warpPerspective(shown, aside, (w, h), borderMode=cv2.BORDER_REPLICATE)
    return Image.fromarray(seen)


def halftone(image: Image.Image) -> Image.Image:
    """Print it in dots of black."""
    grey = np.asarray(image.convert("L")).astype(np.float32)
    y, x = np.indices(grey.shape)
    dots = np.where(grey > 127 + 127 * np.sin(x * 0.9) * np.sin(y * 0.9), 255, 0)
    return Image.fromarray(dots.astype(np.uint8)).convert("RGB")


ATTACKS: Mapping[str, Attack] = {
    "lens": lambda image, ground, rng: lens(image),
    "waves": lambda image, ground, rng: waves(image),
    "swirl": lambda image, ground, rng: swirl(image),
    "turned by 45°": lambda image, ground, rng: turned(image),
    "halves exchanged": lambda image, ground, rng: halves_exchanged(image),
    "the middle quarter": lambda image, ground, rng: cut(image, 0.25),
    "the middle tenth": lambda image, ground, rng: cut(image, 0.1),
    "pasted, half a side": lambda image, ground, rng: pasted(image, ground, rng, 0.5),
    "pasted, half a side, turned by 12°": lambda image, ground, rng: pasted(
        image, ground, rng, 0.5, 12
    ),
    "pasted, a quarter of a side": lambda image, ground, rng: pasted(image, ground, rng, 0.25),
    "one of four cells": lambda image, ground, rng: grid(image, ground, rng, 2),
    "one of nine cells": lambda image, ground, rng: grid(image, ground, rng, 3),
    "on a phone": lambda image, ground, rng: on_a_phone(image, ground),
    "before another ground": lambda image, ground, rng: before_another_ground(image, ground),
    "smaller, before another ground": lambda image, ground, rng: before_another_ground(
        image, ground, 0.6
    ),
    "another picture mixed in by half": lambda image, ground, rng: Image.blend(
        image, ImageOps.fit(ground, image.size), 0.5
    ),
    "watermarked all over": lambda image, ground, rng: watermarked(image),
    "photographed from a screen": lambda image, ground, rng: photographed_from_a_screen(image),
    "halftone": lambda image, ground, rng: halftone(image),
    "embossed": lambda image, ground, rng: image.filter(ImageFilter.EMBOSS),
    "negative": lambda image, ground, rng: ImageOps.invert(image),
}
"""By name, as a person would say it."""
