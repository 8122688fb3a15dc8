"""Originals that vectors of the picture and its parts do not propose, and key points do."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image, ImageOps

from index.catalogue import Catalogue
from index.spaces import Space
from models.batcher import Batcher
from models.fingerprint import Fingerprinter
from models.images import decode
from models.sscd import SscdEncoder
from models.views import Region
from scripts.attacks import cut, grid, pasted
from service.matching.pipeline import Matcher
from service.matching.placing import place
from service.matching.results import CheckOptions, MatchKind, Verdict
from service.registry import Registry, Submission
from tests.kit.images import encode, photo

NAMES = ("astronaut", "chelsea", "motorcycle", "rocket")
GROUND = "coffee"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Catalogue, Fingerprinter]]:
    with Batcher(SscdEncoder("sscd_distilled", threads=1)) as batcher:
        printer = Fingerprinter(batcher)
        spaces = [Space(*space) for space in printer.spaces]
        folder = tmp_path_factory.mktemp("catalogue")
        with Catalogue.open(folder / "store", spaces, printer.schema) as catalogue:
            registry = Registry(catalogue, printer)
            for name in NAMES:
                brand = name[0]
                catalogue.create_brand(brand)
                registry.register(Submission(brand, name, encode(photo(name), "PNG")))
            yield catalogue, printer


def turned_small(image: Image.Image, ground: Image.Image, rng: np.random.Generator) -> Image.Image:
    return pasted(image, ground, rng, 0.5, 12)


WAYS: dict[str, Callable[[Image.Image, Image.Image, np.random.Generator], Image.Image]] = {
    "pasted at half a side, turned": turned_small,
    "pasted at a quarter of a side": lambda image, ground, rng: pasted(image, ground, rng, 0.25),
    "one of nine cells": lambda image, ground, rng: grid(image, ground, rng, 3),
    "the middle tenth": lambda image, ground, rng: cut(image, 0.1),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["astronaut", "chelsea"])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_copy_that_is_small_turned_or_cut_out_is_found(
    parts: tuple[Catalogue, Fingerprinter], way: str, name: str, mirrored: bool
) -> None:
    listing = WAYS[way](photo(name), photo(GROUND), np.random.default_rng(0))
    listing = ImageOps.mirror(listing) if mirrored else listing
    answer = Matcher(*parts, key_points=True).check(encode(listing, quality=85), CheckOptions())
    verdicts = {match.original.rsplit("/", 1)[1]: match for match in answer.matches}
    assert verdicts[name].verdict is Verdict.COPY and len(verdicts) == 1
    assert verdicts[name].kind in (MatchKind.PARTIAL, MatchKind.EDITED)


def test_what_key_points_alone_have_found_is_never_certain(
    parts: tuple[Catalogue, Fingerprinter],
) -> None:
    """A logo that is printed on a thing of one's own agrees as well as a picture pasted small."""
    listing = turned_small(photo("chelsea"), photo(GROUND), np.random.default_rng(0))
    coded = encode(listing, quality=85)
    (match,) = (
        Matcher(*parts, key_points=True).check(coded, CheckOptions(policy="balanced")).matches
    )
    assert 0.55 < match.score < 0.6
    (found,) = (each for each in match.evidence if each.signal == "placed")
    assert found.context and "found by its key points" in found.note
    (match,) = Matcher(*parts, key_points=True).check(coded, CheckOptions(policy="strict")).matches
    assert match.verdict is Verdict.REVIEW


def test_a_check_looks_up_key_points_when_it_is_to_be_thorough(
    parts: tuple[Catalogue, Fingerprinter],
) -> None:
    listing = cut(photo("astronaut"), 0.04)
    coded = encode(listing, quality=85)
    found = [Matcher(*parts).check(coded, CheckOptions(thorough=each)) for each in (False, True)]
    assert [bool(each.matches) for each in found] == [False, True]


def test_two_pictures_are_compared_likewise(parts: tuple[Catalogue, Fingerprinter]) -> None:
    listing = turned_small(photo("astronaut"), photo(GROUND), np.random.default_rng(0))
    match = Matcher(*parts).compare(encode(listing, quality=85), encode(photo("astronaut"))).match
    assert match.verdict is Verdict.COPY and match.alignment is not None
    assert 0.1 < match.alignment.listing_overlap < 0.4
    assert abs(abs(match.alignment.rotation_deg) - 12) < 3


def test_it_says_where_the_original_lies(parts: tuple[Catalogue, Fingerprinter]) -> None:
    catalogue, printer = parts
    page = photo(GROUND).resize((900, 600))
    page.paste(photo("astronaut").resize((300, 300)), (500, 200))
    listing = printer.listing(decode(encode(page, "PNG")))
    (placed,) = place(catalogue, listing, None, ()).values()
    assert placed.region.overlap(Region(500 / 900, 200 / 600, 800 / 900, 500 / 600)) > 0.9
    assert placed.fit.inliers > 20 and not placed.fit.mirrored


def test_only_brands_that_are_named_and_originals_that_are_not_settled_are_looked_for(
    parts: tuple[Catalogue, Fingerprinter],
) -> None:
    catalogue, printer = parts
    listing = printer.listing(decode(encode(photo("astronaut"), "PNG")))
    (key,) = place(catalogue, listing, {"a"}, ())
    assert not place(catalogue, listing, {"c"}, ())
    assert not place(catalogue, listing, None, {key})


@pytest.mark.parametrize("name", [GROUND, "brick", "grass"])
def test_a_picture_that_holds_no_original_has_none_placed(
    parts: tuple[Catalogue, Fingerprinter], name: str
) -> None:
    catalogue, printer = parts
    assert not place(catalogue, printer.listing(decode(encode(photo(name), "PNG"))), None, ())
