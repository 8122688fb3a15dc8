"""Naming the kind: copies that were processed are told from pictures that were drawn anew."""

import math

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from service.demo import edits as demo
from service.matching.decide import (
    DOUBT,
    evidence_of,
    from_beside,
    kind_of,
    of_a_sibling,
    redrawn,
    sentence,
    verdict_of,
)
from service.matching.edits import find_edits, replaced
from service.matching.results import Edit, EditType, MatchKind, Verdict
from service.matching.score import ScoreModels
from tests.kit import images as kit
from tests.kit.images import packshot, photo
from tests.matching.test_edits import measured, pixels

PHOTOS = ("astronaut", "chelsea", "coffee", "motorcycle")


def kind(listing: Image.Image, original: Image.Image, restyle: float = 0.0) -> MatchKind:
    seen = measured(listing, original)
    return kind_of({"tight": 0.95}, restyle, seen.placed, seen)


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("change", ["jpeg_10", "noisy", "blurred", "brightened", "grey"])
def test_what_acts_on_the_pixels_is_no_restyle(name: str, change: str) -> None:
    original = photo(name)
    assert not redrawn(measured(kit.TRANSFORMS[change](original), original))


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("factor", [1.6, 2.2, 0.45])
def test_colours_that_were_cut_off_are_no_cartoon(name: str, factor: float) -> None:
    original = photo(name)
    assert not redrawn(measured(kit.brighten(original, factor), original))


@pytest.mark.parametrize("name", PHOTOS)
def test_a_mixture_is_no_restyle(name: str) -> None:
    original = photo(name).convert("RGB")
    scene = photo("flower").convert("RGB").resize(original.size)
    assert kind(Image.blend(scene, original, 0.5), original, restyle=0.9) is MatchKind.EDITED


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("levels", [25.0, 40.0, 60.0])
def test_noise_in_which_the_detail_drowns_is_not_called_restyled(name: str, levels: float) -> None:
    noisy = kit.noise(photo(name), levels)
    assert kind(noisy, photo(name), restyle=0.9) is not MatchKind.RESTYLED


def _strokes(original: Image.Image) -> Image.Image:
    """The same composition in strokes of a brush: each place takes the colour near by."""
    original.thumbnail((512, 512))
    rgb = pixels(original)
    h, w = rgb.shape[:2]
    rng = np.random.default_rng(5)
    soft = cv2.GaussianBlur(rgb, (0, 0), 4)
    painted = soft.copy()
    for _ in range(h * w // 40):
        x, y = int(rng.integers(w)), int(rng.integers(h))
        turn, reach = rng.uniform(0, np.pi), rng.uniform(6, 14)
        end = (int(x + reach * np.cos(turn)), int(y + reach * np.sin(turn)))
        colour = np.clip(soft[y, x].astype(int) + rng.integers(-30, 31), 0, 255)
        cv2.line(painted, (x, y), end, tuple(int(c) for c in colour), 3, cv2.LINE_AA)
    return Image.fromarray(painted)


@pytest.mark.parametrize("name", PHOTOS)
def test_a_picture_that_was_painted_anew_is_called_restyled(name: str) -> None:
    assert kind(_strokes(photo(name)), photo(name)) is MatchKind.RESTYLED


@pytest.mark.parametrize("name", PHOTOS)
def test_what_was_painted_anew_keeps_no_product_on_another_background(name: str) -> None:
    painted = _strokes(photo(name))
    seen = measured(painted, photo(name))
    assert not replaced(seen)
    found = find_edits(seen, painted.size, photo(name).size, restyled=True)
    content = {EditType.OVERLAY_ADDED, EditType.OVERLAY_REMOVED, EditType.RECOLOURED}
    assert EditType.RESTYLED in {each.type for each in found}
    assert not content & {each.type for each in found}


@pytest.mark.parametrize("name", PHOTOS)
def test_a_pencil_drawing_of_it_is_called_restyled(name: str) -> None:
    assert kind(demo.pencil(photo(name)), photo(name)) is MatchKind.RESTYLED


@pytest.mark.parametrize("name", PHOTOS)
def test_a_negative_follows_its_original(name: str) -> None:
    assert not redrawn(measured(ImageOps.invert(photo(name)), photo(name)))


def test_a_new_background_is_a_restyle() -> None:
    original = packshot(1)
    mask = Image.fromarray(((pixels(original).min(axis=2) < 250) * 255).astype(np.uint8))
    listing = Image.composite(original, photo("flower").resize(original.size), mask)
    assert kind(listing, original) is MatchKind.RESTYLED


def test_kinds_of_plain_edits() -> None:
    original = photo("coffee")
    assert kind(kit.jpeg(original, 60), original) is MatchKind.NEAR_DUPLICATE
    assert kind(kit.mirror(original), original) is MatchKind.NEAR_DUPLICATE
    assert kind(kit.crop(original, 0.6), original) is MatchKind.EDITED
    assert kind(kit.resize(original, 1.0, 1.5), original) is MatchKind.EDITED
    assert kind(kit.collage(original, 0.5), original) is MatchKind.PARTIAL
    stuck = original.copy()
    ImageDraw.Draw(stuck).ellipse((60, 60, 180, 180), fill=(30, 200, 60))
    assert kind(stuck, original) is MatchKind.EDITED


def test_the_learnt_probability_decides_where_the_pair_does_not() -> None:
    original = photo("coffee")
    listing = kit.crop(original, 0.6)
    assert kind(listing, original, restyle=0.9) is MatchKind.RESTYLED
    assert kind_of({}, 0.9, None) is MatchKind.RESTYLED
    assert kind_of({}, 0.1, None) is MatchKind.EDITED


def test_a_score_on_the_threshold_holds() -> None:
    thresholds = {"copy": 0.9, "review": 0.5}
    verdicts = [verdict_of(score, thresholds) for score in (0.9, 0.899, 0.5, 0.499)]
    assert verdicts == [Verdict.COPY, Verdict.REVIEW, Verdict.REVIEW, Verdict.CLEAR]


def test_context_carries_no_threshold_and_never_speaks_for_a_copy() -> None:
    values = {"sscd_cosine": 0.9, "sscd_ordinary": 0.9, "residual": 0.1, "tones": 0.2}
    found = {each.signal: each for each in evidence_of(values, ScoreModels.bundled().copy)}
    assert found["sscd_cosine"].supports and not found["tones"].supports
    assert not found["sscd_cosine"].context and not found["tones"].context
    for name in ("sscd_ordinary", "residual"):
        each = found[name]
        assert each.context and not each.supports and each.threshold == 0


@pytest.mark.parametrize(("within", "words"), [(True, "contains a copy of"), (False, "cut out of")])
def test_a_part_is_told_from_what_holds_one(within: bool, words: str) -> None:
    original = photo("coffee")
    listing = kit.collage(original, 0.5) if within else kit.crop(original, 0.5)
    placed = measured(listing, original).placed
    assert words in sentence(MatchKind.PARTIAL, Verdict.COPY, "the original", 0.9, placed)


def test_a_product_before_another_background_is_not_called_drawn_anew() -> None:
    swapped = Edit(EditType.BACKGROUND_REPLACED, 0.9, "background replaced")
    said = sentence(MatchKind.RESTYLED, Verdict.COPY, "the original", 0.9, None, [swapped])
    assert "another background" in said and "drawn anew" not in said


def test_what_speaks_for_another_photograph_is_said() -> None:
    assert from_beside({"parallax": 0.6, "beyond": 0.9}) == "parallax"
    assert from_beside({"parallax": 0.2, "beyond": 0.7}) == "beyond"
    assert from_beside({"parallax": 0.2, "beyond": 0.5, "rearranged": 0.6}) == "rearranged"
    assert from_beside({"parallax": math.nan, "beyond": math.nan}) == ""
    assert from_beside({}) == ""
    said = sentence(MatchKind.EDITED, Verdict.REVIEW, "it", 0.5, beside="beyond")
    assert "beyond the sides of the original" in said and said.endswith(DOUBT)


def test_what_speaks_for_a_sibling_is_said() -> None:
    assert of_a_sibling({"own_detail": 0.3})
    assert not any(
        of_a_sibling(each) for each in ({}, {"own_detail": 0.6}, {"own_detail": math.nan})
    )
    said = sentence(MatchKind.EDITED, Verdict.REVIEW, "it", 0.2, sibling=True)
    assert "what sets it apart is not there" in said and said.endswith(DOUBT)
    assert "seems to show" in sentence(MatchKind.EDITED, Verdict.CLEAR, "it", 0.1, sibling=True)
