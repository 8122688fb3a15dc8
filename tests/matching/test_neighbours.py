"""What a neighbour covers is cut off; what was laid over is not."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from models.detail import Detail
from models.layout import Matrix
from service.matching.edits import find_edits
from service.matching.results import EditType
from service.matching.study import Study, study
from tests.kit import images as kit
from tests.kit.images import photo

CELL_PX, GAP_PX = 380, 12
Place = tuple[float, float, float, float]


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def onto(place: Place) -> Matrix:
    """The map from a listing, of which the original takes a place, to the original."""
    left, top, right, bottom = place
    wide, high = right - left, bottom - top
    return np.array([[1 / wide, 0, -left / wide], [0, 1 / high, -top / high], [0, 0, 1.0]])


def measured(listing: Image.Image, original: Image.Image, place: Place) -> Study:
    subject = Detail.of(pixels(original)).subject
    found = study(pixels(listing), pixels(original), onto(place), subject, original.size)
    assert found is not None
    return found


def grid(tiles: list[Image.Image]) -> Image.Image:
    """Two by two square cells, each filled by the middle of its picture."""
    step = CELL_PX + GAP_PX
    sheet = Image.new("RGB", (2 * step + GAP_PX, 2 * step + GAP_PX), "white")
    for number, tile in enumerate(tiles):
        at = (GAP_PX + number % 2 * step, GAP_PX + number // 2 * step)
        sheet.paste(ImageOps.fit(tile, (CELL_PX, CELL_PX)), at)
    return sheet


@pytest.mark.parametrize("cell", range(4))
@pytest.mark.parametrize("name", ["coffee", "rocket"])
def test_of_a_picture_that_fills_a_cell_of_a_collage_the_cell_is_outlined(
    name: str, cell: int
) -> None:
    original = photo(name)
    tiles = [photo(each) for each in ("astronaut", "chelsea", "flower")]
    tiles.insert(cell, original)
    listing = grid(tiles)
    side = listing.width
    left, top = (GAP_PX + k * (CELL_PX + GAP_PX) for k in (cell % 2, cell // 2))
    over = CELL_PX * (original.width / original.height - 1) / 2
    whole = (left - over, top, left + CELL_PX + over, top + CELL_PX)
    place = tuple(at / side for at in whole)
    seen = measured(listing, original, (place[0], place[1], place[2], place[3]))
    corners = np.array(seen.placed.listing_region)
    true = np.array([left, top, left + CELL_PX, top + CELL_PX]) / side
    assert np.abs(np.concatenate((corners.min(axis=0), corners.max(axis=0))) - true).max() < 0.02
    shown = original.height / original.width
    assert seen.placed.original_overlap == pytest.approx(shown, abs=0.03)
    found = {edit.type for edit in find_edits(seen, listing.size, original.size, False)}
    assert {EditType.CROPPED, EditType.EMBEDDED} <= found
    assert EditType.OVERLAY_ADDED not in found


@pytest.mark.parametrize("framed", [True, False])
@pytest.mark.parametrize("at", ["left", "right", "top", "bottom"])
def test_a_banner_along_a_side_is_laid_over_and_cuts_nothing(at: str, framed: bool) -> None:
    original = photo("coffee")
    w, h = original.size
    boxes = {
        "left": (0, 0, w // 6, h),
        "right": (w - w // 6, 0, w, h),
        "top": (0, 0, w, h // 6),
        "bottom": (0, h - h // 6, w, h),
    }
    listing = original.copy()
    ImageDraw.Draw(listing).rectangle(boxes[at], fill=(30, 60, 200))
    place = (0.0, 0.0, 1.0, 1.0)
    if framed:
        listing = kit.border(listing, 0.1, (240, 240, 240))
        dx, dy = ((1 - a / b) / 2 for a, b in zip(original.size, listing.size, strict=True))
        place = (dx, dy, 1 - dx, 1 - dy)
    seen = measured(listing, original, place)
    assert seen.placed.original_overlap > 0.97
    found = {edit.type for edit in find_edits(seen, listing.size, original.size, False)}
    assert EditType.OVERLAY_ADDED in found and EditType.CROPPED not in found


@pytest.mark.parametrize("name", ["chelsea", "coffee", "motorcycle", "rocket"])
@pytest.mark.parametrize("top", [0.1, 0.4, 0.75])
def test_a_bar_across_a_picture_is_a_banner_whatever_it_covers(name: str, top: float) -> None:
    original = photo(name)
    w, h = original.size
    listing = original.copy()
    ImageDraw.Draw(listing).rectangle((0, top * h, w, (top + 0.25) * h), fill=(220, 20, 20))
    seen = measured(listing, original, (0.0, 0.0, 1.0, 1.0))
    (edit,) = find_edits(seen, listing.size, original.size, False)
    assert edit.type is EditType.OVERLAY_ADDED and "banner" in edit.description
