"""Pictures within pictures: what is pasted is found, what only looks rectangular is not sure."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from models.insets import insets, outlines
from models.outlines import Outline, contrast, shared_colours, steps_across
from models.views import around_subject, unframe
from service.matching.weigh import SAME_PART, SURE_OUTLINE
from tests.kit.images import photo


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def pasted(on: Image.Image, name: str, box: tuple[int, int, int, int]) -> np.ndarray:
    page = on.copy()
    page.paste(photo(name).resize((box[2] - box[0], box[3] - box[1])), box[:2])
    return pixels(page)


@pytest.mark.parametrize("on", ["white", "photograph"])
def test_a_pasted_picture_is_sure_and_where_it_was_pasted(on: str) -> None:
    under = photo("chelsea").convert("RGB").resize((800, 600))
    page = Image.new("RGB", (800, 600), "white") if on == "white" else under
    found = insets(pasted(page, "coffee", (250, 200, 550, 420)), 4)
    assert found[0].score >= SURE_OUTLINE
    assert found[0].sides == pytest.approx((250 / 800, 200 / 600, 550 / 800, 420 / 600), abs=0.02)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


def letterboxed(name: str, box: tuple[int, int]) -> Image.Image:
    """A photograph between black bars, on a white page."""
    widget = Image.new("RGB", (box[0] + 200, box[1]), "black")
    widget.paste(photo(name).resize(box), (100, 0))
    page = Image.new("RGB", (900, 600), "white")
    page.paste(widget, (120, 180))
    return page


def test_a_letterbox_on_a_page_is_cut_to_the_picture_between_its_bars() -> None:
    found = insets(pixels(letterboxed("coffee", (360, 260))), 4)
    within = (220 / 900, 180 / 600, 580 / 900, 440 / 600)
    sure = [each for each in found if each.score >= SURE_OUTLINE]
    assert any(each.sides == pytest.approx(within, abs=0.02) for each in sure)


@pytest.mark.parametrize("level", [True, False], ids=["side by side", "one above the other"])
@pytest.mark.parametrize("specks", [0.0, 0.03])
def test_a_product_on_white_is_found_between_the_bars_of_a_white_page(
    level: bool, specks: float
) -> None:
    page = np.full((600, 900, 3), 255, np.uint8)
    product = pixels(photo("astronaut").resize((160, 120)))
    page[260:380, 320:480] = product
    if level:
        page[200:440, 120:220] = page[200:440, 580:680] = 0
    else:
        page[120:200, 220:580] = page[440:520, 220:580] = 0
    rng = np.random.default_rng(5)
    at = rng.random(page.shape[:2]) < specks
    page[at] = rng.integers(0, 256, (int(at.sum()), 3))
    within = (220 / 900, 200 / 600, 580 / 900, 440 / 600)
    sure = [each for each in insets(page, 3) if each.score >= SURE_OUTLINE]
    assert any(each.sides == pytest.approx(within, abs=0.02) for each in sure)


def test_bars_of_unlike_length_have_nothing_between_them() -> None:
    page = np.full((600, 900, 3), 255, np.uint8)
    page[200:440, 120:220] = page[260:500, 580:680] = 0
    assert all(not outline.between for _, outline in outlines(page))


@pytest.mark.parametrize(
    ("colours", "cut"), [(["white"], 1), (["white", "black"], 2), (["white", "black", "navy"], 3)]
)
def test_frames_within_each_other_are_all_cut(colours: list[str], cut: int) -> None:
    picture = photo("coffee").resize((400, 300))
    for colour in reversed(colours):
        framed = Image.new("RGB", (picture.width + 80, picture.height + 80), colour)
        framed.paste(picture, (40, 40))
        picture = framed
    region = unframe(pixels(picture))
    assert region is not None
    rim = 40 * cut
    w, h = picture.size
    assert region.sides == pytest.approx((rim / w, rim / h, 1 - rim / w, 1 - rim / h), abs=1e-6)


def test_a_subject_is_found_with_a_rim_of_the_ground_that_it_stands_on() -> None:
    ground = np.random.default_rng(4).integers(90, 130, (400, 500, 3), dtype=np.uint8)
    ground[120:280, 300:440] = (200, 30, 40)
    region = around_subject(ground)
    assert region is not None
    assert region.sides == pytest.approx((0.6, 0.3, 0.88, 0.7), abs=0.06)
    assert region.left < 0.6 and region.top < 0.3 and region.right > 0.88 and region.bottom > 0.7


def test_a_picture_that_is_all_subject_or_all_ground_has_no_part_of_its_own() -> None:
    assert around_subject(np.full((300, 300, 3), 128, np.uint8)) is None
    filled = np.full((300, 300, 3), 250, np.uint8)
    filled[10:290, 10:290] = (20, 60, 30)
    assert around_subject(filled) is None


def test_grain_hides_no_frame() -> None:
    framed = Image.new("RGB", (500, 400), "black")
    framed.paste(photo("coffee").resize((400, 300)), (50, 50))
    grainy = pixels(framed).copy()
    rng = np.random.default_rng(3)
    specks = rng.random(grainy.shape[:2]) < 0.05
    grainy[specks] = rng.integers(0, 256, (int(specks.sum()), 3))
    region = unframe(grainy)
    assert region is not None
    assert region.sides == pytest.approx((0.1, 0.125, 0.9, 0.875), abs=0.01)


@pytest.mark.parametrize("name", ["chelsea", "coffee", "astronaut"])
def test_a_photograph_alone_holds_no_sure_picture(name: str) -> None:
    found = insets(pixels(photo(name)), 4)
    assert all(each.score < SURE_OUTLINE or each.area > SAME_PART for each in found)


def test_a_rectangle_is_measured() -> None:
    page = pasted(Image.new("RGB", (512, 384), "white"), "coffee", (100, 80, 300, 240))
    (region, outline), *_ = outlines(page, 1)
    assert outline.size == pytest.approx(np.log(region.area))
    assert outline.beyond == outline.beyond_most == 0
    assert outline.shared < 0.1 and outline.step > 20
    assert 0 < outline.step_least <= outline.step and outline.contrast > 100
    assert not outline.between


def test_shared_colours_lie_between_nothing_and_all() -> None:
    halves = np.zeros((200, 200, 3), np.uint8)
    halves[:, :100] = 255
    assert shared_colours(halves, (0, 0, 100, 200)) == 0
    assert shared_colours(halves, (40, 40, 160, 160)) == pytest.approx(1, abs=0.05)


def test_a_step_is_that_of_the_sides_within_the_picture() -> None:
    page = np.full((200, 200, 3), 10, np.uint8)
    page[50:150, :120] = 70
    page[150:, :120] = 40
    assert steps_across(page, (0, 50, 120, 150)) == [60, 60, 30]
    assert steps_across(page, (0, 0, 200, 200)) == [0]


def test_contrast_is_from_the_dark_to_the_bright_but_for_specks() -> None:
    part = np.full((100, 100, 3), 40, np.uint8)
    part[:50] = 90
    part[0, :4] = 255
    assert contrast(part) == 50


def test_more_common_ground_with_its_surroundings_makes_an_outline_less_sure() -> None:
    outline = Outline(1.0, 0.1, 0.2, -2.0, 1.0, 0.1, 30.0, 20.0, 150.0, 0.0)
    assert replace(outline, shared=0.6).probability < outline.probability
    assert replace(outline, size=-4.0).probability < outline.probability
    assert replace(outline, between=1.0).probability > outline.probability
    assert 0 < outline.probability < 1
