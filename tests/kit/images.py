"""Pictures for tests: drawn from a seed, or real photographs that ship in installed packages.

`draw` makes a product-like scene (see `tests.kit.scenes`), `photo` opens a real photograph.
`TRANSFORMS` is the one list of named edits that quality tests and `scripts/evaluate.py` share.
Nothing here reads the clock, the network or global randomness.
"""

import io
import math
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from tests.kit.scenes import WHITE, Colour, colour, draw, packshot

Transform = Callable[[Image.Image], Image.Image]

__all__ = [
    "PHOTOS",
    "TRANSFORMS",
    "blur",
    "border",
    "brighten",
    "collage",
    "crop",
    "draw",
    "encode",
    "grey",
    "jpeg",
    "mirror",
    "noise",
    "packshot",
    "perspective",
    "photo",
    "photo_path",
    "recolour",
    "resize",
    "text",
    "turn",
]

PHOTOS: Mapping[str, str] = {
    "astronaut": "skimage/data/astronaut.png",
    "brick": "skimage/data/brick.png",
    "camera": "skimage/data/camera.png",
    "chelsea": "skimage/data/chelsea.png",
    "china": "sklearn/datasets/images/china.jpg",
    "clock": "skimage/data/clock_motion.png",
    "coffee": "skimage/data/coffee.png",
    "coins": "skimage/data/coins.png",
    "flower": "sklearn/datasets/images/flower.jpg",
    "grass": "skimage/data/grass.png",
    "gravel": "skimage/data/gravel.png",
    "hubble": "skimage/data/hubble_deep_field.jpg",
    "logo": "skimage/data/logo.png",
    "moon": "skimage/data/moon.png",
    "motorcycle": "skimage/data/motorcycle_left.png",
    "motorcycle_beside": "skimage/data/motorcycle_right.png",
    "page": "skimage/data/page.png",
    "retina": "skimage/data/retina.jpg",
    "rocket": "skimage/data/rocket.jpg",
    "text": "skimage/data/text.png",
    "tissue": "skimage/data/ihc.png",
}
"""Name -> file of a photograph inside the wheels of scikit-image and scikit-learn."""

# --- sources -------------------------------------------------------------------------


def photo_path(name: str) -> Path:
    """Return the file of a photograph of `PHOTOS`; `LookupError` when its package is absent."""
    package, _, rest = PHOTOS[name].partition("/")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise LookupError(f"photograph {name!r} needs the package {package}")
    return Path(spec.submodule_search_locations[0]) / rest


@cache
def _photo(name: str) -> Image.Image:
    with Image.open(photo_path(name)) as image:
        if image.mode in ("RGBA", "LA"):
            ground = Image.new("RGBA", image.size, (*WHITE, 255))
            return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")
        return image.convert("RGB")


def photo(name: str) -> Image.Image:
    """Return a real photograph by its name in `PHOTOS`, RGB, on white where transparent."""
    return _photo(name).copy()


def encode(image: Image.Image, format: str = "JPEG", **options: object) -> bytes:
    """Encode a picture; options go to Pillow's writer (`quality=90`, `exif=...`)."""
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


# --- transforms ----------------------------------------------------------------------


def crop(image: Image.Image, keep: float = 0.6, x: float = 0.5, y: float = 0.5) -> Image.Image:
    """Keep a share of the area with the same aspect; `x`, `y` in [0, 1] place it."""
    side = math.sqrt(keep)
    w, h = max(1, round(image.width * side)), max(1, round(image.height * side))
    left, top = round((image.width - w) * x), round((image.height - h) * y)
    return image.crop((left, top, left + w, top + h))


def resize(image: Image.Image, scale: float = 0.5, stretch: float = 1.0) -> Image.Image:
    """Scale both sides by `scale`, and the width by `stretch` besides."""
    w, h = max(1, round(image.width * scale * stretch)), max(1, round(image.height * scale))
    return image.resize((w, h), Image.Resampling.LANCZOS)


def jpeg(image: Image.Image, quality: int = 30) -> Image.Image:
    """Pass the picture through JPEG once."""
    with Image.open(io.BytesIO(encode(image, "JPEG", quality=quality))) as decoded:
        return decoded.convert("RGB")


def mirror(image: Image.Image) -> Image.Image:
    """Mirror left to right."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def turn(image: Image.Image, degrees: float = 90.0, fill: Colour = WHITE) -> Image.Image:
    """Turn counter-clockwise; quarter turns are lossless, others are filled with `fill`."""
    quarters = {
        90.0: Image.Transpose.ROTATE_90,
        180.0: Image.Transpose.ROTATE_180,
        270.0: Image.Transpose.ROTATE_270,
    }
    method = quarters.get(degrees % 360)
    if method is not None:
        return image.transpose(method)
    return image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=fill)


def border(image: Image.Image, share: float = 0.1, colour: Colour = WHITE) -> Image.Image:
    """Put a frame around the picture, `share` of the longer side thick."""
    edge = max(1, round(max(image.size) * share))
    framed = Image.new("RGB", (image.width + 2 * edge, image.height + 2 * edge), colour)
    framed.paste(image, (edge, edge))
    return framed


def text(image: Image.Image, words: str = "BEST PRICE\n-50 %", seed: int = 0) -> Image.Image:
    """Write large words on a bar across the picture, as sellers do."""
    rng = np.random.default_rng([seed, 1])
    result = image.copy()
    pen = ImageDraw.Draw(result)
    font = ImageFont.load_default(max(8, image.height // 8))
    top = int(image.height * rng.uniform(0.05, 0.6))
    box = pen.multiline_textbbox((image.width * 0.08, top), words, font=font)
    pen.rectangle((0, box[1] - 6, box[2] + 12, box[3] + 6), fill=colour(rng, 0.9, 0.7))
    pen.multiline_text((image.width * 0.08, top), words, font=font, fill=WHITE)
    return result


def recolour(image: Image.Image, hue: float = 0.3, saturation: float = 1.3) -> Image.Image:
    """Turn all hues by a share of the colour circle and scale the saturation."""
    hsv = np.asarray(image.convert("HSV"), dtype=np.float64)
    turned = hsv.copy()
    turned[..., 0] = (hsv[..., 0] + hue * 256) % 256
    turned[..., 1] = np.clip(hsv[..., 1] * saturation, 0, 255)
    return Image.fromarray(turned.astype(np.uint8), "HSV").convert("RGB")


def grey(image: Image.Image) -> Image.Image:
    """Take all colour out."""
    return image.convert("L").convert("RGB")


def brighten(image: Image.Image, factor: float = 1.4) -> Image.Image:
    """Scale the brightness; below 1 darkens."""
    return ImageEnhance.Brightness(image).enhance(factor)


def blur(image: Image.Image, share: float = 0.006) -> Image.Image:
    """Gaussian blur with a radius of a share of the longer side."""
    return image.filter(ImageFilter.GaussianBlur(max(image.size) * share))


def noise(image: Image.Image, sigma: float = 18.0, seed: int = 0) -> Image.Image:
    """Add Gaussian noise, `sigma` in grey levels."""
    rng = np.random.default_rng([seed, 2])
    pixels = np.asarray(image, dtype=np.float64)
    noisy = np.clip(pixels + rng.normal(0.0, sigma, pixels.shape), 0, 255)
    return Image.fromarray(noisy.astype(np.uint8), "RGB")


def perspective(image: Image.Image, amount: float = 0.12) -> Image.Image:
    """See the picture from the side: the right edge shrinks by `amount` at both ends."""
    w, h = image.size
    inset = h * amount
    source = ((0.0, 0.0), (0.0, h), (w, h), (w, 0.0))
    target = ((0.0, 0.0), (0.0, h), (w * (1 - amount), h - inset), (w * (1 - amount), inset))
    rows, values = [], []
    for (x, y), (u, v) in zip(target, source, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
        values += [u, v]
    coefficients = np.linalg.solve(np.array(rows, dtype=np.float64), np.array(values))
    return image.transform(
        image.size,
        Image.Transform.PERSPECTIVE,
        tuple(coefficients),
        Image.Resampling.BICUBIC,
        fillcolor=WHITE,
    )


def collage(image: Image.Image, share: float = 0.5, seed: int = 0) -> Image.Image:
    """Place the picture, its sides scaled by `share`, into a scene drawn from `seed`."""
    rng = np.random.default_rng([seed, 3])
    scene = draw(seed + 900_000, image.size)
    part = resize(image, share)
    left = int(rng.integers(0, max(1, scene.width - part.width + 1)))
    top = int(rng.integers(0, max(1, scene.height - part.height + 1)))
    scene.paste(part, (left, top))
    return scene


TRANSFORMS: Mapping[str, Transform] = {
    "jpeg_30": jpeg,
    "jpeg_10": lambda image: jpeg(image, 10),
    "half_size": resize,
    "stretched": lambda image: resize(image, 1.0, 1.3),
    "mirrored": mirror,
    "turned_90": turn,
    "turned_15": lambda image: turn(image, 15),
    "cropped_80": lambda image: crop(image, 0.8, 0.3, 0.7),
    "cropped_50": lambda image: crop(image, 0.5, 0.3, 0.7),
    "bordered": border,
    "text_added": text,
    "recoloured": recolour,
    "grey": grey,
    "brightened": brighten,
    "blurred": blur,
    "noisy": noise,
    "perspective": perspective,
    "collaged_half": collage,
    "collaged_third": lambda image: collage(image, 1 / 3),
}
"""Name -> one edit at its usual strength."""
