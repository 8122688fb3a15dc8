"""The pictures of a soak: originals that are alike to nothing else, gentle copies, bad files."""

import io
import math
import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tests.kit.images import (
    PHOTOS,
    brighten,
    crop,
    draw,
    encode,
    jpeg,
    mirror,
    photo,
    resize,
)

SIZE = (360, 300)
_ALIKE = frozenset({"motorcycle_beside", "page", "text", "logo", "clock"})
"""Photographs that are not soaked with: another view of one, and those with little in them."""
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})

EDITS: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "recompressed": lambda image: jpeg(image, 60),
    "resized": lambda image: resize(image, 0.75),
    "mirrored": mirror,
    "cropped": lambda image: crop(image, 0.85),
    "brightened": lambda image: brighten(image, 1.15),
}
"""Edits that are found for certain: what is soaked is the service, not the matcher."""


class Picture:
    """One picture and its copies; they are made when they are asked for and kept."""

    def __init__(self, name: str, read: Callable[[], Image.Image]) -> None:
        self.name, self._read = name, read
        self._made: dict[str, bytes] = {}

    def bytes_of(self, edit: str = "") -> bytes:
        """The file, or that of a copy."""
        if edit not in self._made:
            image = self._read()
            made = EDITS[edit](image) if edit else image
            self._made[edit] = encode(made, "JPEG", quality=90)
        return self._made[edit]


def of_folder(folder: Path, count: int, seed: int) -> list[Picture]:
    """Pictures of a folder, chosen by the seed; the caller sees that none is a copy of another."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if len(paths) < count:
        raise SystemExit(f"{folder} has {len(paths)} pictures, and {count} are needed")
    chosen = random.Random(seed).sample(paths, count)
    return [Picture(str(path), partial(_opened, path)) for path in chosen]


def made_up(count: int, seed: int) -> list[Picture]:
    """Photographs out of the wheels of scikit-image and scikit-learn, then painted pictures."""
    names = [name for name in sorted(PHOTOS) if name not in _ALIKE][:count]
    found = [Picture(name, partial(_of_wheel, name)) for name in names]
    for number in range(count - len(found)):
        key = (seed, number)
        found.append(Picture(f"painting {seed}-{number}", partial(_painted, key)))
    return found


def _of_wheel(name: str) -> Image.Image:
    return _small(photo(name))


def _painted(key: tuple[int, int]) -> Image.Image:
    """Clouds in colours of their own under pieces of coloured paper.

    Unlike the scenes of the tests, two of which share the form of their product and label, no
    two are alike to the matcher: of 15 none was taken for one of 40 others, and 30 copies of
    six by these edits were all found.
    """
    rng = np.random.default_rng(key)
    w, h = SIZE
    waves = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w)[None])
    waves[0, 0] = 1.0
    strength = waves ** -rng.uniform(0.9, 1.5)
    strength[0, 0] = 0.0
    turned = np.exp(2j * np.pi * rng.random((3, h, w)))
    clouds = np.fft.ifft2(strength * turned).real.transpose(1, 2, 0) @ rng.normal(size=(3, 3))
    pixels = clouds / clouds.std() * rng.uniform(30, 60) + rng.uniform(70, 180, 3)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(8, 30)):
        corners = int(rng.integers(3, 9))
        x, y = rng.uniform(0, 1, 2) * SIZE
        turns = np.sort(rng.uniform(0, 2 * math.pi, corners))
        reach = rng.uniform(10, 120) * rng.uniform(0.3, 1, corners)
        pen.polygon(
            [(x + r * math.cos(t), y + r * math.sin(t)) for r, t in zip(reach, turns, strict=True)],
            fill=tuple(int(level) for level in rng.integers(0, 256, 3)),
        )
    return image


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return _small(image.convert("RGB"))


def _small(image: Image.Image) -> Image.Image:
    image.thumbnail((SIZE[0] * 2, SIZE[1] * 2))
    return image


@cache
def bad_files() -> Sequence[tuple[str, bytes]]:
    """Files that are refused, each with the reason."""
    good = encode(draw(1, (120, 90)), "PNG")
    flat = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 200, 200)).save(flat, "PNG")
    tiny = io.BytesIO()
    Image.new("RGB", (4, 4)).save(tiny, "PNG")
    return (
        ("IMAGE_UNDECODABLE", b"this is no picture"),
        ("IMAGE_UNDECODABLE", good[:8] + b"x" * 200),
        ("IMAGE_TRUNCATED", good[: len(good) // 2]),
        ("IMAGE_EMPTY", b""),
        ("IMAGE_TOO_SMALL", tiny.getvalue()),
        ("IMAGE_FEATURELESS", flat.getvalue()),
    )
