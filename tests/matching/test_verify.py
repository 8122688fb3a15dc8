"""Laying one picture over another: key points, layout, and the score that weighs them."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageOps

from models import features, layout
from models.detail import Detail
from models.features import COARSE_SIDE_PX, SIDE_PX
from models.insets import insets
from models.views import WHOLE, Region, unframe
from service.matching.alignment import alignment
from service.matching.score import ScoreModels
from service.matching.signals import SIGNALS
from service.matching.verify import Verification, Verifier
from tests.kit.images import photo


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def listening(listing: Image.Image) -> tuple[Verifier, list[int]]:
    """A verifier, and the sizes at which it has looked for key points."""
    rgb = pixels(listing)
    asked: list[int] = []

    def detect(part: Region, side: int) -> features.LocalFeatures:
        asked.append(side)
        return features.detect(layout.grey(part.of(rgb).copy()), side)

    return Verifier(rgb, [(WHOLE, layout.grey(layout.thumbnail(rgb)))], detect), asked


def verify(listing: Image.Image, original: Image.Image) -> Verification:
    verifier, _ = listening(listing)
    return verifier.verify(verifier.points(verifier.glance(Detail.of(pixels(original)))))


def test_what_key_points_do_not_change_is_compared_once() -> None:
    verifier, _ = listening(ImageOps.posterize(photo("rocket").convert("RGB"), 1))
    glance = verifier.glance(Detail.of(pixels(photo("rocket"))))
    plain = verifier.verify(glance)
    without = verifier.verify(replace(verifier.points(glance), fit=None))
    assert without.agreement is plain.agreement
    assert "inliers" in without.values and "inliers" not in plain.values


def test_a_mirrored_picture_has_the_mirrored_features() -> None:
    rgb = pixels(photo("coffee"))
    flipped = features.detect(layout.grey(rgb[:, ::-1]))
    expected = features.detect(layout.grey(rgb)).mirrored()
    alike = flipped.unit_rows() @ expected.unit_rows().T
    assert float((alike.max(axis=1) > 0.95).mean()) > 0.7


def test_features_survive_the_store() -> None:
    detail = Detail.of(pixels(photo("chelsea")))
    again = Detail.from_bytes(detail.to_bytes())
    assert np.array_equal(again.points.descriptors, detail.points.descriptors)
    assert np.array_equal(again.subject, detail.subject)


@pytest.mark.parametrize("turn", range(layout.TURNS))
def test_the_layout_of_a_turned_picture_is_the_turned_layout(turn: int) -> None:
    luma = layout.grey(layout.thumbnail(pixels(photo("chelsea"))))
    turned = np.ascontiguousarray(layout.turned(luma, turn)).astype(np.uint8)
    assert float(layout.layout_vectors(luma)[turn] @ layout.layout_vectors(turned)[0]) > 0.98


def test_a_mirrored_copy_agrees_closely_and_says_that_it_is_mirrored() -> None:
    original = photo("coffee")
    seen = verify(ImageOps.mirror(original), original)
    assert seen.values["edges"] > 0.8 and seen.values["inliers"] >= 12
    assert alignment(seen.agreement.matrix, original.size, original.size).mirrored


@pytest.mark.parametrize(
    ("listing", "fine", "sides", "plenty"),
    [
        (photo("coffee").rotate(20, expand=True), False, [COARSE_SIDE_PX], True),
        (photo("coffee").rotate(20, expand=True), True, [SIDE_PX], True),
        (photo("rocket"), False, [COARSE_SIDE_PX], False),
        (photo("coffee").resize((300, 200)), False, [SIDE_PX], True),
    ],
)
def test_key_points_of_a_reduced_picture_come_first_where_it_is_worth_reducing(
    listing: Image.Image, fine: bool, sides: list[int], plenty: bool
) -> None:
    verifier, asked = listening(listing)
    glance = verifier.glance(Detail.of(pixels(photo("coffee"))))
    seen = verifier.points(glance, fine=fine)
    assert asked == sides and seen.plenty == plenty
    assert verifier.points(glance, fine=fine) and asked == sides
    assert (seen.fit is not None and seen.fit.inliers >= 15) == plenty


def test_finer_key_points_are_believed_where_more_of_them_agree() -> None:
    few = ImageOps.posterize(photo("rocket").convert("RGB"), 1).rotate(10)
    verifier, asked = listening(few)
    checked = verifier.verify(verifier.points(verifier.glance(Detail.of(pixels(photo("rocket"))))))
    finer = verifier.finer(checked)
    assert asked == [240, 480] and finer.coarse is None
    assert finer.values["inliers"] > checked.values["inliers"]
    assert verifier.finer(finer) is finer


def test_where_no_more_key_points_agree_nothing_is_verified_again() -> None:
    verifier, asked = listening(photo("rocket"))
    checked = verifier.verify(verifier.points(verifier.glance(Detail.of(pixels(photo("coffee"))))))
    assert verifier.finer(checked) is checked
    assert asked == [240, 480] and checked.values["inliers"] < 15


def test_a_cropped_copy_is_laid_where_it_was_cut() -> None:
    original = photo("chelsea")
    w, h = original.size
    seen = verify(original.crop((w // 4, h // 4, w, h)), original)
    placed = alignment(seen.agreement.matrix, (w * 3 // 4, h * 3 // 4), (w, h))
    assert placed.original_overlap == pytest.approx(9 / 16, abs=0.05)
    assert placed.listing_overlap > 0.95


STAY = ("coins", "page", "motorcycle", "gravel", "brick", "chelsea")
GO = ("astronaut", "camera", "clock", "coffee", "rocket", "grass")


def shelf(*names: str) -> Image.Image:
    """Things side by side, three in a row."""
    out = Image.new("RGB", (960, 1280))
    for i, name in enumerate(names):
        out.paste(photo(name).convert("RGB").resize((320, 320)), (i % 3 * 320, i // 3 * 320))
    return out


@pytest.mark.parametrize(
    ("moved", "low", "high"), [(0, 0.0, 0.05), (2, 0.05, 0.45), (6, 0.45, 0.9)]
)
def test_things_that_were_moved_are_told_where_the_rest_stands_as_it_stood(
    moved: int, low: float, high: float
) -> None:
    others = (*GO[1:moved], *GO[: min(moved, 1)], *GO[moved:])
    verifier, _ = listening(shelf(*STAY, *others))
    glance = verifier.glance(Detail.of(pixels(shelf(*STAY, *GO))))
    seen = verifier.verify(verifier.points(glance, fine=True))
    assert seen.values["inliers"] >= 60
    assert low <= seen.values["rearranged"] <= high


def test_where_few_key_points_agree_nothing_is_said_of_the_rest() -> None:
    seen = verify(photo("coffee"), photo("chelsea"))
    assert np.isnan(seen.values["rearranged"])


def test_two_different_photographs_do_not_agree() -> None:
    seen = verify(photo("coffee"), photo("chelsea"))
    assert seen.values["edges"] < 0.5 and seen.values["tight"] < 0.2
    assert seen.values["glance"] < 25 and seen.values["fit"] < 25


def test_a_painted_over_copy_still_fits_at_one_place_only() -> None:
    """Strong texture drowns the edges place by place, not their sum over the picture."""
    original = photo("chelsea").resize((384, 256))
    grey = np.asarray(original.convert("L"), dtype=np.float32)
    y, x = np.mgrid[0 : grey.shape[0], 0 : grey.shape[1]]
    waves = 20 * np.sin(x / 2.1 + 3 * np.sin(y / 9)) + 20 * np.sin(y / 2.3 + 3 * np.sin(x / 7))
    painted = Image.fromarray((255 - grey + waves).clip(0, 255).astype(np.uint8))
    seen = verify(painted, original)
    assert seen.values["fit"] > 40 > verify(painted, photo("coffee")).values["fit"]


def test_a_copy_lies_on_one_map_and_a_scene_with_depth_does_not() -> None:
    original = photo("coffee")
    turned = original.rotate(4, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
    flat = verify(turned, original)
    assert flat.values["residual"] < 0.3 and flat.values["steady"] > 0.8
    left, right = stereo_pair()
    deep = verify(right, left)
    assert deep.values["residual"] > 2 * flat.values["residual"]
    assert deep.values["steady"] < flat.values["steady"] - 0.2


def stereo_pair() -> tuple[Image.Image, Image.Image]:
    """A scene from two places 19 cm apart, from the Middlebury set."""
    return photo("motorcycle"), photo("motorcycle_beside")


def test_more_evidence_never_lowers_the_score() -> None:
    copy = ScoreModels.bundled().copy
    for name, curve in (*copy.edited.curves.items(), *copy.redrawn.curves.items()):
        direction = SIGNALS[name].direction
        if direction != "free":
            rising = sorted(curve.heights, reverse=direction == "down")
            assert list(curve.heights) == rising, name


def test_a_pasted_picture_is_found_and_a_frame_is_cut() -> None:
    page = Image.new("RGB", (800, 600), "white")
    page.paste(photo("coffee").resize((300, 200)), (250, 200))
    found = insets(pixels(page), 4)
    assert found and abs(found[0].left - 250 / 800) < 0.02 and abs(found[0].top - 1 / 3) < 0.02
    framed = ImageOps.expand(photo("coffee"), 60, "navy")
    region = unframe(pixels(framed))
    assert region is not None and region.left == pytest.approx(60 / framed.width, abs=0.01)
