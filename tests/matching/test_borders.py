"""Beyond the sides of an original a copy has a seam, and another photograph has none."""

import math

import numpy as np
import pytest
from PIL import Image, ImageFilter

from models.layout import Matrix
from service.matching import borders
from tests.kit import images as kit
from tests.kit.images import photo

PHOTOS = ("coffee", "motorcycle", "rocket")


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def part(image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    w, h = image.size
    return image.crop((int(box[0] * w), int(box[1] * h), int(box[2] * w), int(box[3] * h)))


def onto(left: float, top: float, right: float, bottom: float) -> Matrix:
    """The map from a listing, of which the original takes a place, to the original."""
    wide, high = right - left, bottom - top
    return np.array([[1 / wide, 0, -left / wide], [0, 1 / high, -top / high], [0, 0, 1.0]])


def beyond(listing: np.ndarray, original: np.ndarray, matrix: Matrix) -> float:
    return borders.beyond(lambda: listing, original, matrix)


@pytest.mark.parametrize("name", PHOTOS)
def test_a_view_that_was_moved_goes_on_beyond_the_original(name: str) -> None:
    original = part(photo(name), (0.0, 0.0, 0.8, 0.8))
    listing = part(photo(name), (0.2, 0.2, 1.0, 1.0))
    # The original begins a quarter before the listing.
    found = beyond(pixels(listing), pixels(original), onto(-0.25, -0.25, 0.75, 0.75))
    assert found > 0.45


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("blur", [0.0, 1.5])
@pytest.mark.parametrize("off", [0.0, 0.008])
def test_what_is_pasted_into_another_picture_ends_with_a_seam(
    name: str, blur: float, off: float
) -> None:
    original = photo(name)
    ground = photo("astronaut").resize((original.width * 3 // 2, original.height * 3 // 2))
    at = (original.width // 4, original.height // 4)
    ground.paste(original, at)
    listing = ground.filter(ImageFilter.GaussianBlur(blur)) if blur else ground
    x, y = at[0] / ground.width + off, at[1] / ground.height - off
    found = beyond(pixels(listing), pixels(original), onto(x, y, x + 2 / 3, y + 2 / 3))
    assert found < 0.4


@pytest.mark.parametrize("name", PHOTOS)
def test_where_nothing_can_be_told_it_is_not_told(name: str) -> None:
    original = photo(name)
    whole = onto(0.0, 0.0, 1.0, 1.0)
    assert math.isnan(beyond(pixels(original), pixels(original), whole))  # nothing lies beyond
    framed = kit.border(original, 0.2, (250, 250, 250))
    dx, dy = ((1 - a / b) / 2 for a, b in zip(original.size, framed.size, strict=True))
    place = onto(dx, dy, 1 - dx, 1 - dy)
    assert math.isnan(beyond(pixels(framed), pixels(original), place))  # one colour lies beyond
    other = photo("chelsea").resize(framed.size)
    assert math.isnan(beyond(pixels(other), pixels(original), place))  # nothing agrees within
