"""Weighing on a real catalogue: which originals are looked at, and which are left alone."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance, ImageOps

from index.catalogue import Catalogue
from index.spaces import Space
from models.batcher import Batcher
from models.features import COARSE_SIDE_PX, SIDE_PX, LocalFeatures
from models.fingerprint import Fingerprinter
from models.images import Picture, decode
from models.sscd import SscdEncoder
from models.views import WHOLE, Region
from service.demo.photographs import MOTORCYCLE_BESIDE
from service.matching.clock import Clock
from service.matching.looks import MOST, SURE, Looks, Weighed, bars
from service.matching.score import ScoreModels
from service.matching.verify import Verifier
from service.matching.weigh import Weigher
from service.registry import Registry, Submission
from tests.kit.images import encode, photo

NAMES = ("chelsea", "coffee", "rocket", "motorcycle")


@pytest.fixture(scope="module")
def weigher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weigher]:
    """Photographs, coffee by two brands; every candidate may be looked at."""
    bundled = ScoreModels.bundled()
    gate = dict.fromkeys(bundled.thresholds["gate"], 0.0)
    models = replace(bundled, thresholds={**bundled.thresholds, "gate": gate})
    folder: Path = tmp_path_factory.mktemp("catalogue")
    with Batcher(SscdEncoder("sscd_distilled", threads=1)) as batcher:
        printer = Fingerprinter(batcher)
        spaces = [Space(*space) for space in printer.spaces]
        with Catalogue.open(folder / "store", spaces, printer.schema) as catalogue:
            registry = Registry(catalogue, printer)
            for brand, names in (("a", NAMES), ("b", ("coffee",))):
                catalogue.create_brand(brand)
                for name in names:
                    registry.register(Submission(brand, name, encode(photo(name), "PNG")))
            yield Weigher(catalogue, printer, models)


def copy_of(name: str) -> Picture:
    return decode(encode(photo(name).resize((400, 300)), "JPEG"))


def looked_at(found: list[Weighed]) -> set[str]:
    records = (each.candidate.record for each in found if each.look is not None)
    return {f"{record.brand}/{record.original}" for record in records}


def test_beside_an_original_that_fills_the_picture_only_likely_ones_are_looked_at(
    weigher: Weigher,
) -> None:
    found = weigher.weigh(copy_of("coffee"), None, Clock())
    assert looked_at(found) == {"a/coffee", "b/coffee"}
    assert all(each.score >= SURE for each in found[:2])


@pytest.mark.parametrize(
    ("thorough", "beside", "gate"), [(True, False, None), (False, True, None), (False, False, 0.0)]
)
def test_all_candidates_are_looked_at_when_that_is_asked_for(
    weigher: Weigher, thorough: bool, beside: bool, gate: float | None
) -> None:
    found = weigher.weigh(
        copy_of("coffee"), None, Clock(), thorough=thorough, beside=beside, gate=gate
    )
    assert looked_at(found) == {*(f"a/{name}" for name in NAMES), "b/coffee"}


def test_what_a_first_look_shows_well_is_settled_without_key_points(weigher: Weigher) -> None:
    best = weigher.weigh(copy_of("coffee"), None, Clock())[0]
    assert best.score >= SURE and best.verification is not None
    assert "inliers" not in best.values
    thorough = weigher.weigh(copy_of("coffee"), None, Clock(), thorough=True)[0]
    assert thorough.values["inliers"] >= 100
    assert thorough.score == pytest.approx(best.score, abs=0.01)


def test_what_may_be_photographed_from_beside_has_its_key_points_matched(weigher: Weigher) -> None:
    best = weigher.weigh(decode(MOTORCYCLE_BESIDE.read()), None, Clock())[0]
    assert best.candidate.record.original == "motorcycle"
    assert best.values["parallax"] > 0.5 and best.score < SURE


def test_what_leaves_much_of_the_detail_untold_has_its_key_points_matched(
    weigher: Weigher,
) -> None:
    best = weigher.weigh(copy_of("coffee"), None, Clock())[0]
    assert best.needs_no_points
    for values in ({"tight": 0.3, "subject_edges": 0.3}, {"steady": 0.5}):
        less = replace(best, values={**best.values, **values})
        assert less.settles and not less.needs_no_points
    swapped = replace(best, values={**best.values, "tight": 0.3, "subject_edges": 0.9})
    assert swapped.needs_no_points


def sizes_of_key_points(
    weigher: Weigher, picture: Picture, changed: Mapping[str, float] = {}, **wanted: bool
) -> set[int]:
    """The sizes at which key points are looked for while the likeliest original is looked at.

    Args:
        changed: of the scores from which the looks are taken.
    """
    best = weigher.weigh(picture, None, Clock(), beside=True)[0]
    detail = weigher.catalogue.features_many([best.key])[0]
    listing = weigher.fingerprinter.listing(picture)
    assert detail is not None
    sizes: set[int] = set()

    def points(region: Region, side: int) -> LocalFeatures:
        sizes.add(side)
        return listing.points(region, side)

    verifier = Verifier(listing.rgb, [(WHOLE, listing.whole.luma)], points)
    least = {**bars(weigher.models, **wanted), **changed}
    Looks(weigher.models, verifier, Clock(), least).take([(best, detail)])
    return sizes


def test_finer_key_points_are_matched_only_where_a_verified_original_stays_in_doubt(
    weigher: Weigher,
) -> None:
    few = ImageOps.posterize(photo("rocket").convert("RGB"), 1).rotate(10)
    many = photo("coffee").rotate(20, expand=True)
    doubtful, plain, other = (decode(encode(each, "JPEG")) for each in (few, many, photo("camera")))
    assert sizes_of_key_points(weigher, doubtful) == {COARSE_SIDE_PX, SIDE_PX}
    assert sizes_of_key_points(weigher, plain) == {COARSE_SIDE_PX}
    assert sizes_of_key_points(weigher, other) == {COARSE_SIDE_PX}
    assert sizes_of_key_points(weigher, other, every=True) == {COARSE_SIDE_PX, SIDE_PX}


def test_finer_key_points_are_matched_where_few_belie_what_the_glance_promised(
    weigher: Weigher,
) -> None:
    few = ImageOps.posterize(photo("rocket").convert("RGB"), 1).rotate(10)
    promising, other = (decode(encode(each, "JPEG")) for each in (few, photo("camera")))
    ended = {"verify": 2.0}
    assert sizes_of_key_points(weigher, promising, ended) == {COARSE_SIDE_PX, SIDE_PX}
    assert sizes_of_key_points(weigher, promising, {**ended, "fine": 2.0}) == {COARSE_SIDE_PX}
    assert sizes_of_key_points(weigher, other, ended) == {COARSE_SIDE_PX}


def test_what_the_whole_does_not_show_is_looked_at_again_in_the_part_that_does(
    weigher: Weigher,
) -> None:
    pale = ImageEnhance.Contrast(photo("rocket").convert("RGB").resize((360, 240))).enhance(0.3)
    page = Image.new("RGB", (600, 600), "#882211")
    page.paste(pale, (120, 180))
    # With the gates that are served: the whole is looked at, and found to be no copy.
    gated = replace(weigher, models=ScoreModels.bundled())
    best = gated.weigh(decode(encode(page, "JPEG")), None, Clock())[0]
    assert best.candidate.record.original == "rocket"
    assert best.verification is not None and best.score > 0.9


def test_no_look_is_taken_at_more_candidates_than_it_may_be(weigher: Weigher) -> None:
    listing = weigher.fingerprinter.listing(copy_of("coffee"))
    best = weigher.weigh(copy_of("coffee"), None, Clock())[0]
    detail = weigher.catalogue.features_many([best.key])[0]
    assert detail is not None
    records = [replace(best.candidate.record, key=100 + number) for number in range(12)]
    asked = [(replace(best, candidate=replace(best.candidate, record=r)), detail) for r in records]
    verifier = Verifier(listing.rgb, [(WHOLE, listing.whole.luma)], listing.points)
    least = bars(weigher.models, gate=0.0)
    seen = Looks(weigher.models, verifier, Clock(), least).take(asked)
    assert len(seen) == MOST["glance"]
    assert sum("inliers" in each.values for each in seen) == MOST["points"]
    assert sum(each.verification is not None for each in seen) == MOST["verify"]


def test_all_candidates_are_looked_at_while_none_is_sure(weigher: Weigher) -> None:
    found = weigher.weigh(copy_of("camera"), None, Clock())
    assert len(looked_at(found)) >= 4 and found[0].score < SURE


def test_an_original_that_leaves_room_does_not_hide_the_other(weigher: Weigher) -> None:
    both = Image.new("RGB", (800, 300))
    both.paste(photo("rocket").resize((400, 300)), (0, 0))
    both.paste(photo("chelsea").resize((400, 300)), (400, 0))
    found = weigher.weigh(decode(encode(both, "JPEG")), None, Clock())
    best = {each.candidate.record.original for each in found[:2]}
    assert best == {"rocket", "chelsea"}
    assert all(each.verification is not None and each.score > 0.5 for each in found[:2])
