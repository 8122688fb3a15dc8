"""Bring any pixel layout that Pillow knows to 8-bit sRGB on white.

Every step takes a loaded picture and returns one. Alpha goes on white, as marketplaces show
it; sixteen bits are cut to eight; a broken colour profile is ignored, as browsers do.

Pure functions of their arguments: any thread may call them.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms

_DEEP = ("I", "F")


def flatten(image: Image.Image, *, inverted_cmyk: bool = True) -> Image.Image:
    """Return the picture as 8-bit "RGB", "L" or "CMYK", without transparency.

    Args:
        image: a loaded picture of any mode.
        inverted_cmyk: False when a CMYK JPEG has no Adobe marker: Pillow takes all of them
            for inverted.

    Raises:
        ValueError: Pillow knows no way from its mode.
    """
    mode = image.mode
    if mode in ("RGB", "L") and not image.has_transparency_data:
        return image
    if mode == "CMYK":
        return image if inverted_cmyk else ImageChops.invert(image)
    if mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if mode in _DEEP:
        return Image.fromarray(_to_bytes(np.asarray(image, dtype=np.float64)))
    if mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert converted is not None  # not in place
        return converted
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        if rgba.getchannel("A").getextrema() == (255, 255):
            return rgba.convert("RGB")
        ground = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, rgba).convert("RGB")
    return image.convert("L" if mode == "1" else "RGB")


def _to_bytes(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Scale numbers of no stated range: 0..1, 0..255 and 0..65535 as such, else stretched."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    for top in (1.0, 255.0, 65_535.0):
        if low >= 0.0 and high <= top and (top > 1.0 or high > 0.0):
            break
    else:
        values, top = values - low, high - low
    return np.rint(values * (255.0 / top)).clip(0, 255).astype(np.uint8)


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert "RGB", "L" or "CMYK" to sRGB by its profile, plainly without a sound one.

    Costs about 10 ns a pixel when there is a profile: call it on the reduced picture.
    """
    converted = _by_profile(image, profile) if profile else None
    if converted is not None:
        return converted
    return image if image.mode == "RGB" else image.convert("RGB")


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Convert by a profile; None when it is broken or meant for other pixels."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), image.mode, "RGB"
        )
        if image.mode == "RGB":
            # Most profiles are sRGB's own, whatever they call themselves.
            lattice = Image.fromarray(_LATTICE)
            moved = np.asarray(transform.apply(lattice)).astype(np.int16) - _LATTICE
            if np.abs(moved).max() <= 2:
                return image
        return transform.apply(image)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


_LATTICE = np.stack(np.meshgrid(*[np.arange(0, 256, 51, dtype=np.uint8)] * 3), axis=-1).reshape(
    6, 36, 3
)
"""Colours all over the cube, as a small picture."""
