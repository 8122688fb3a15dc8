"""Originals that share a template: whose picture a listing is."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from index.catalogue import Catalogue
from index.spaces import Space
from models import layout
from models.batcher import Batcher
from models.fingerprint import Fingerprinter
from models.layout import FINE_SIDE_PX, FloatArray
from models.sscd import SscdEncoder
from scripts.evaluate_mockups import printed
from service.matching.pipeline import Matcher
from service.matching.results import CheckOptions, ImageVerdict, Verdict
from service.matching.siblings import own_detail
from service.registry import Registry, Submission
from tests.kit.images import encode, jpeg, mirror, photo, recolour

Edit = Callable[[Image.Image], Image.Image]
EVERYWHERE = np.ones((FINE_SIDE_PX, FINE_SIDE_PX), np.float32)


def mockup(design: str, template: str = "coffee", share: float = 0.35) -> Image.Image:
    return printed(photo(template), photo(design), share)


def edges(image: Image.Image) -> FloatArray:
    rgb = np.asarray(image.convert("RGB"))
    return layout.gradient_field(layout.grey(layout.thumbnail(rgb, FINE_SIDE_PX)))


@pytest.mark.parametrize("edit", [jpeg, recolour, lambda image: image.resize((300, 200))])
def test_a_copy_shows_what_sets_its_original_apart(edit: Edit) -> None:
    original = mockup("chelsea")
    siblings = [edges(mockup(design)) for design in ("rocket", "astronaut")]
    ours = edges(edit(original))
    assert min(own_detail(ours, EVERYWHERE, edges(original), siblings)) > 0.8


@pytest.mark.parametrize("shown", ["rocket", "astronaut"])
def test_another_design_does_not(shown: str) -> None:
    """It may be that of the sibling, or one that nobody has registered."""
    siblings = [edges(mockup("rocket"))]
    (own,) = own_detail(edges(mockup(shown)), EVERYWHERE, edges(mockup("chelsea")), siblings)
    assert own < 0.4


def test_each_sibling_is_told_of_by_itself() -> None:
    original, shown = edges(mockup("chelsea")), edges(mockup("rocket"))
    # What it does not have in common with itself is nothing, so the twin says nothing.
    twin, sibling = original, shown
    (alone,) = own_detail(shown, EVERYWHERE, original, [sibling])
    nothing, beside = own_detail(shown, EVERYWHERE, original, [twin, sibling])
    assert np.isnan(nothing) and beside == alone


@pytest.mark.parametrize(
    "other",
    [
        mockup("chelsea"),
        recolour(mockup("chelsea")),
        mockup("rocket", template="motorcycle"),
        photo("brick"),
    ],
    ids=["a twin", "a twin in other colours", "another template", "another picture"],
)
def test_what_is_no_sibling_says_nothing(other: Image.Image) -> None:
    original = edges(mockup("chelsea"))
    assert np.isnan(own_detail(original, EVERYWHERE, original, [edges(other)])).all()


def test_what_the_listing_does_not_cover_says_nothing() -> None:
    original, sibling = edges(mockup("chelsea")), edges(mockup("rocket"))
    left = EVERYWHERE.copy()
    left[:, FINE_SIDE_PX // 5 :] = 0  # a crop without the design
    assert np.isnan(own_detail(original * left, left, original, [sibling])).all()


@contextmanager
def registered(folder: Path, originals: Mapping[str, Image.Image]) -> Iterator[Matcher]:
    """A matcher of some originals, by brand and name."""
    with Batcher(SscdEncoder("sscd_distilled", threads=1)) as batcher:
        printer = Fingerprinter(batcher)
        spaces = [Space(*space) for space in printer.spaces]
        with Catalogue.open(folder / "store", spaces, printer.schema) as catalogue:
            registry = Registry(catalogue, printer)
            for brand in sorted({path.split("/")[0] for path in originals}):
                catalogue.create_brand(brand)
            for path, image in originals.items():
                registry.register(Submission(*path.split("/"), encode(image, "PNG")))
            yield Matcher(catalogue, printer)


@pytest.fixture(scope="module")
def matcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matcher]:
    """Two designs on one template, and a picture that shares nothing with them."""
    originals = {f"a/{name}": mockup(name) for name in ("chelsea", "rocket")}
    originals["a/motorcycle"] = photo("motorcycle")
    with registered(tmp_path_factory.mktemp("catalogue"), originals) as matcher:
        yield matcher


def found(answer: ImageVerdict) -> dict[str, Verdict]:
    return {match.original.rsplit("/", 1)[1]: match.verdict for match in answer.matches}


@pytest.mark.parametrize(
    "edit", [jpeg, mirror, recolour, lambda image: ImageOps.expand(image, 60, "white")]
)
def test_a_copy_is_one_of_its_original_and_not_of_the_sibling(matcher: Matcher, edit: Edit) -> None:
    copy = edit(mockup("chelsea"))
    assert found(matcher.check(encode(copy, "JPEG"), CheckOptions())) == {"chelsea": Verdict.COPY}


def test_why_the_sibling_is_left_out_can_be_read(matcher: Matcher) -> None:
    answer = matcher.check(encode(mockup("chelsea"), "JPEG"), CheckOptions(min_score=0.0))
    (sibling,) = (each for each in answer.matches if each.original.endswith("/rocket"))
    evidence = {each.signal: each for each in sibling.evidence}
    assert sibling.verdict is Verdict.CLEAR and sibling.score < 0.05
    assert evidence["own_detail"].value < 0.4 and evidence["siblings_detail"].value > 0.8
    assert not evidence["siblings_detail"].supports
    assert "another original of the brand" in evidence["siblings_detail"].note


def test_a_sibling_of_another_brand_hides_no_original(tmp_path: Path) -> None:
    """It may be made from it: its owner has to hear of the listing."""
    originals = {"a/chelsea": mockup("chelsea"), "b/rocket": mockup("rocket")}
    listing = encode(mirror(mockup("chelsea")), "JPEG")
    with registered(tmp_path, originals) as matcher:
        verdicts = found(matcher.check(listing, CheckOptions()))
    assert verdicts == {"chelsea": Verdict.COPY, "rocket": Verdict.REVIEW}


def test_another_design_on_the_template_is_no_copy(matcher: Matcher) -> None:
    answer = matcher.check(encode(mockup("astronaut"), "JPEG"), CheckOptions(min_score=0.0))
    assert answer.verdict is not Verdict.COPY
    for match in answer.matches:
        if not match.original.endswith("/motorcycle"):
            (own,) = (each for each in match.evidence if each.signal == "own_detail")
            assert own.value < 0.4 and "differs from another much like it" in own.note
            assert "what sets it apart is not there" in match.note


@pytest.mark.parametrize("known", [True, False])
def test_a_blank_template_of_another_brand_tells_whose_the_design_is(
    tmp_path: Path, known: bool
) -> None:
    """Without it nobody could know that the picture is a template; then it counts as a copy."""
    originals = {"a/chelsea": mockup("chelsea")}
    if known:
        originals["templates/blank"] = photo("coffee")
    listing = encode(mockup("astronaut"), "JPEG")
    with registered(tmp_path, originals) as matcher:
        verdicts = found(matcher.check(listing, CheckOptions(brands=frozenset({"a"}))))
        assert (verdicts.get("chelsea") is Verdict.COPY) is not known
        copy = matcher.check(encode(mirror(mockup("chelsea")), "JPEG"), CheckOptions())
        assert found(copy)["chelsea"] is Verdict.COPY
