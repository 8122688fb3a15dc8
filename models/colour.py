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
_SRGB_NAMES = ("sRGB", "c2", "IEC 61966-2")
"""How descriptions of sRGB profiles begin; converting from these changes next to nothing."""


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
    return converted if converted is not None else image.convert("RGB")


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if image.mode == "RGB":
            name = source.profile.profile_description or ""
            if name.startswith(_SRGB_NAMES):
                return image
        return ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
