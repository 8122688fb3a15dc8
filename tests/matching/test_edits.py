"""Each edit, made on real photographs with a known strength, is named and measured."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from models import features, layout
from models.colour_difference import delta_e_2000, lab
from models.detail import Detail
from models.views import WHOLE
from service.matching import changes, colours, laid
from service.matching.edits import find_edits
from service.matching.results import Box, Edit, EditType
from service.matching.study import Study, study
from service.matching.texture import Texture
from service.matching.verify import Verifier
from tests.kit import images as kit
from tests.kit.images import encode, packshot, photo

PHOTOS = ("astronaut", "chelsea", "coffee")


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def measured(listing: Image.Image, original: Image.Image) -> Study:
    rgb = pixels(listing)
    parts = [(WHOLE, layout.grey(layout.thumbnail(rgb)))]
    verifier = Verifier(
        rgb, parts, lambda part, side: features.detect(layout.grey(part.of(rgb).copy()), side)
    )
    detail = Detail.of(pixels(original))
    matrix = verifier.verify(verifier.points(verifier.glance(detail))).agreement.matrix
    seen = study(rgb, pixels(original), matrix, detail.subject, original.size)
    assert seen is not None
    return seen


def edits(listing: Image.Image, original: Image.Image) -> dict[EditType, Edit]:
    """The edits of a listing by their type; of several of one type the first."""
    named: dict[EditType, Edit] = {}
    for edit in find_edits(measured(listing, original), listing.size, original.size, False):
        named.setdefault(edit.type, edit)
    return named


def overlap(box: Box | None, left: float, top: float, right: float, bottom: float) -> float:
    """Intersection over union with a true box, in fractions."""
    assert box is not None
    wide = min(box.left + box.width, right) - max(box.left, left)
    high = min(box.top + box.height, bottom) - max(box.top, top)
    both = max(0.0, wide) * max(0.0, high)
    return both / (box.width * box.height + (right - left) * (bottom - top) - both)


@pytest.mark.parametrize("name", [*PHOTOS, "rocket", "flower", "motorcycle"])
@pytest.mark.parametrize(("format", "quality"), [("JPEG", 75), ("WEBP", 80)])
def test_a_picture_that_was_only_encoded_anew_shows_no_edit(
    name: str, format: str, quality: int
) -> None:
    original = photo(name)
    again = Image.open(io.BytesIO(encode(original, format, quality=quality)))
    assert edits(again, original) == {}


@pytest.mark.parametrize("name", PHOTOS)
def test_a_mirrored_picture_is_called_mirrored_and_nothing_else(name: str) -> None:
    assert set(edits(kit.mirror(photo(name)), photo(name))) == {EditType.MIRRORED}


@pytest.mark.parametrize("degrees", [-30.0, -8.0, 4.0, 15.0, 90.0])
def test_a_turn_is_measured_and_its_filled_corners_are_no_frame(degrees: float) -> None:
    original = photo("coffee")
    found = edits(kit.turn(original, degrees), original)
    # `turn` goes counter-clockwise, the measured turn clockwise.
    assert found[EditType.ROTATED].amount == pytest.approx(-degrees, abs=0.7)
    assert EditType.FRAMED not in found and EditType.EMBEDDED not in found


@pytest.mark.parametrize("keep", [0.8, 0.5])
@pytest.mark.parametrize("name", PHOTOS)
def test_a_crop_is_measured(name: str, keep: float) -> None:
    found = edits(kit.crop(photo(name), keep, 0.3, 0.7), photo(name))
    assert found[EditType.CROPPED].amount == pytest.approx(keep, abs=0.02)
    assert set(found) == {EditType.CROPPED}


@pytest.mark.parametrize("name", PHOTOS)
def test_a_frame_is_told_from_a_collage(name: str) -> None:
    original = photo(name)
    framed = kit.border(original, 0.1, (20, 40, 90))
    share = math.prod(original.size) / math.prod(framed.size)
    found = edits(framed, original)
    assert found[EditType.FRAMED].amount == pytest.approx(share, abs=0.03)
    assert EditType.EMBEDDED not in found
    pasted = edits(kit.collage(original, 0.6), original)
    assert pasted[EditType.EMBEDDED].amount == pytest.approx(0.36, abs=0.03)
    assert EditType.FRAMED not in pasted


def test_a_small_copy_is_called_reduced_and_not_blurred() -> None:
    found = edits(kit.resize(photo("astronaut"), 0.4), photo("astronaut"))
    assert found[EditType.SCALED].amount == pytest.approx(0.4, abs=0.01)
    assert set(found) == {EditType.SCALED}


@pytest.mark.parametrize("ratio", [0.75, 1.3])
def test_a_stretched_shape_misleads_a_buyer(ratio: float) -> None:
    original = photo("chelsea")
    found = edits(kit.resize(original, 1.0, ratio), original)
    assert found[EditType.STRETCHED].amount == pytest.approx(ratio, abs=0.02)
    assert found[EditType.STRETCHED].misleads_buyer


@pytest.mark.parametrize("name", PHOTOS)
def test_what_is_seen_from_the_side_is_not_called_stretched(name: str) -> None:
    found = edits(kit.perspective(photo(name), 0.12), photo(name))
    # The right edge keeps 76 % of its height.
    assert found[EditType.PERSPECTIVE].amount == pytest.approx(0.24, abs=0.06)
    assert EditType.STRETCHED not in found


@pytest.mark.parametrize("name", PHOTOS)
def test_a_grey_picture_is_called_grey_and_not_recoloured(name: str) -> None:
    found = edits(kit.grey(photo(name)), photo(name))
    assert EditType.GREYSCALE in found and EditType.RECOLOURED not in found


@pytest.mark.parametrize("factor", [0.7, 1.25])
def test_a_change_of_brightness_is_measured_as_a_person_sees_it(factor: float) -> None:
    original = photo("chelsea")
    changed = kit.brighten(original, factor)
    ours, theirs = lab(pixels(changed)), lab(pixels(original))
    truly = float(delta_e_2000(ours, theirs).mean())
    edit = edits(changed, original)[EditType.RECOLOURED]
    assert edit.amount == pytest.approx(truly, rel=0.15)
    assert ("brighter" if factor > 1 else "darker") in edit.description


def test_turned_hues_are_measured() -> None:
    original = photo("coffee")
    changed = kit.recolour(original, 0.1, 1.0)
    ours, theirs = lab(pixels(changed)), lab(pixels(original))
    truly = float(delta_e_2000(ours, theirs).mean())
    edit = edits(changed, original)[EditType.RECOLOURED]
    assert edit.amount == pytest.approx(truly, rel=0.2)
    assert "hues turned" in edit.description


@pytest.mark.parametrize("sigma", [2.0, 4.0])
@pytest.mark.parametrize("name", PHOTOS)
def test_a_blur_is_measured_in_pixels(name: str, sigma: float) -> None:
    found = edits(photo(name).filter(ImageFilter.GaussianBlur(sigma)), photo(name))
    assert found[EditType.BLURRED].amount == pytest.approx(sigma, rel=0.4)
    assert set(found) == {EditType.BLURRED}


@pytest.mark.parametrize("name", PHOTOS)
def test_noise_is_told_from_sharpening(name: str) -> None:
    noisy = edits(kit.noise(photo(name), 18.0), photo(name))
    assert noisy[EditType.NOISE_ADDED].amount == pytest.approx(18, rel=0.4)
    assert EditType.SHARPENED not in noisy and EditType.OVERLAY_ADDED not in noisy
    sharp = photo(name).filter(ImageFilter.UnsharpMask(2, 150, 0))
    sharpened = edits(sharp, photo(name))
    assert EditType.SHARPENED in sharpened and EditType.NOISE_ADDED not in sharpened


@pytest.mark.parametrize("name", PHOTOS)
def test_blocks_of_jpeg_are_seen(name: str) -> None:
    assert EditType.RECOMPRESSED in edits(kit.jpeg(photo(name), 8), photo(name))


@pytest.mark.parametrize("name", PHOTOS)
def test_a_sticker_is_found_where_it_was_put(name: str) -> None:
    original = photo(name)
    w, h = original.size
    made = original.copy()
    box = (round(0.62 * w), round(0.08 * h), round(0.86 * w), round(0.34 * h))
    ImageDraw.Draw(made).ellipse(box, fill=(40, 220, 60), outline=(10, 10, 10), width=3)
    edit = edits(made, original)[EditType.OVERLAY_ADDED]
    assert overlap(edit.region, 0.62, 0.08, 0.86, 0.34) > 0.7
    assert "sticker" in edit.description and "top right" in edit.description


def test_a_sticker_is_found_on_a_mirrored_crop_of_other_colours() -> None:
    original = photo("coffee")
    made = kit.brighten(kit.mirror(kit.crop(original, 0.7)), 0.8)
    w, h = made.size
    box = (round(0.1 * w), round(0.6 * h), round(0.35 * w), round(0.9 * h))
    ImageDraw.Draw(made).rectangle(box, fill=(250, 60, 220))
    found = edits(made, original)
    assert {EditType.MIRRORED, EditType.CROPPED, EditType.RECOLOURED} <= set(found)
    assert overlap(found[EditType.OVERLAY_ADDED].region, 0.1, 0.6, 0.35, 0.9) > 0.7


def test_words_and_banners_are_added_or_removed() -> None:
    plain = photo("rocket")
    w, h = plain.size
    written = plain.copy()
    ImageDraw.Draw(written).text((0.1 * w, 0.1 * h), "SALE 50", (255, 40, 40), font_size=h // 8)
    found = edits(written, plain)
    assert "text" in found[EditType.OVERLAY_ADDED].description
    gone = edits(plain, written)
    assert EditType.OVERLAY_REMOVED in gone and EditType.OVERLAY_ADDED not in gone
    barred = plain.copy()
    ImageDraw.Draw(barred).rectangle((0, round(0.85 * h), w, h), fill=(200, 20, 40))
    banner = edits(barred, plain)[EditType.OVERLAY_ADDED]
    assert "banner" in banner.description and "bottom" in banner.description
    assert overlap(banner.region, 0, 0.85, 1, 1) > 0.7


@pytest.mark.parametrize(("name", "other"), [("coffee", "flower"), ("astronaut", "flower")])
@pytest.mark.parametrize("share", [0.5, 0.7])
def test_another_picture_mixed_in_is_called_that_and_nothing_else(
    name: str, other: str, share: float
) -> None:
    original = photo(name)
    scene = photo(other).convert("RGB").resize(original.size)
    blended = Image.blend(scene, original.convert("RGB"), share)
    seen = measured(blended, original)
    assert seen.mixed == pytest.approx(share, abs=0.08)
    found = find_edits(seen, blended.size, original.size, False)
    assert [edit.type for edit in found] == [EditType.OVERLAY_ADDED]
    assert "mixed in" in found[0].description


@pytest.mark.parametrize("name", PHOTOS)
def test_lower_contrast_is_no_mixture(name: str) -> None:
    original = photo(name).convert("RGB")
    paler = Image.blend(Image.new("RGB", original.size, (128, 128, 128)), original, 0.6)
    found = edits(paler, original)
    assert set(found) == {EditType.RECOLOURED}


@pytest.mark.parametrize("name", PHOTOS)
def test_a_veil_over_a_part_covers_it_and_removes_nothing(name: str) -> None:
    original = photo(name).convert("RGB")
    w, h = original.size
    veil = Image.new("L", (w, h), 0)
    for k in range(0, 5, 2):
        ImageDraw.Draw(veil).rectangle((0, k * h // 5, w, (k + 1) * h // 5), fill=170)
    striped = Image.composite(Image.new("RGB", (w, h), (255, 255, 255)), original, veil)
    found = edits(striped, original)
    for false in (EditType.OVERLAY_REMOVED, EditType.SUBJECT_CHANGED, EditType.BLURRED):
        assert false not in found


@pytest.mark.parametrize("seed", [1, 4])
def test_what_a_slant_leaves_empty_is_no_sticker(seed: int) -> None:
    original = packshot(seed)
    found = edits(kit.perspective(original, 0.08), original)
    assert EditType.OVERLAY_ADDED not in found and EditType.OVERLAY_REMOVED not in found


@pytest.mark.parametrize("quality", [8, 20])
@pytest.mark.parametrize("name", PHOTOS)
def test_compression_and_noise_do_not_recolour(name: str, quality: int) -> None:
    assert EditType.RECOLOURED not in edits(kit.jpeg(photo(name), quality), photo(name))
    assert EditType.RECOLOURED not in edits(kit.noise(photo(name), quality + 4.0), photo(name))


@pytest.mark.parametrize("name", PHOTOS)
def test_every_number_shown_is_one_that_can_be(name: str) -> None:
    original = photo(name)
    made = kit.perspective(kit.turn(kit.brighten(kit.crop(original, 0.6), 1.7), 12.0), 0.1)
    for edit in find_edits(measured(made, original), made.size, original.size, False):
        if edit.type is not EditType.SCALED:  # which may be more than all
            for words in edit.description.split():
                if words.endswith("%"):
                    assert 0 <= int(words.rstrip("%")) <= 100, edit.description


def _cut_out(seed: int) -> tuple[Image.Image, Image.Image]:
    """A product on white, and the mask of its pixels."""
    shot = packshot(seed)
    return shot, Image.fromarray(((pixels(shot).min(axis=2) < 250) * 255).astype(np.uint8))


@pytest.mark.parametrize("seed", [1, 4])
def test_a_new_background_is_named_and_the_product_kept(seed: int) -> None:
    original, mask = _cut_out(seed)
    scene = photo("flower").resize(original.size)
    found = edits(Image.composite(original, scene, mask), original)
    assert EditType.BACKGROUND_REPLACED in found
    assert EditType.SUBJECT_CHANGED not in found and EditType.OVERLAY_ADDED not in found


@pytest.mark.parametrize("seed", [1, 4])
def test_a_product_of_another_colour_misleads_a_buyer(seed: int) -> None:
    original, mask = _cut_out(seed)
    listing = Image.composite(kit.recolour(original, 0.35, 1.0), original, mask)
    found = edits(listing, original)
    assert found[EditType.SUBJECT_RECOLOURED].misleads_buyer


@pytest.mark.parametrize("seed", [1, 4])
def test_a_product_with_a_part_gone_misleads_a_buyer(seed: int) -> None:
    original, mask = _cut_out(seed)
    left, top, right, bottom = mask.getbbox() or (0, 0, 0, 0)
    listing = original.copy()
    lower = round(top + 0.4 * (bottom - top))
    ImageDraw.Draw(listing).rectangle((left, top, right, lower), fill=(255, 255, 255))
    found = edits(listing, original)
    changed = found[EditType.SUBJECT_CHANGED]
    assert changed.misleads_buyer


def test_what_covers_all_of_the_picture_has_no_outline_in_sight() -> None:
    rgb = np.asarray(photo("coffee").convert("RGB"))
    pair = laid.lay(rgb, rgb, np.eye(3))
    kept = colours.transfer(colours.Pair.of(pair))
    other = replace(pair, listing=np.zeros_like(rgb), original=np.full_like(rgb, 128))
    everywhere = np.ones(rgb.shape[:2], np.bool_)
    other = replace(other, inside=everywhere)
    found = changes.changes(other, kept, Texture(0.0, 1.0, 0.0, 0.0), everywhere)
    assert [(patch.area, patch.change) for patch in found.patches] == [(1.0, "repainted")]
