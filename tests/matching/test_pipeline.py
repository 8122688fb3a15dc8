"""The matcher on a real catalogue: how much it answers, and what it holds against whom."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from PIL import ImageFilter, ImageOps

from index.catalogue import Catalogue
from index.spaces import Space
from models.background import Background
from models.batcher import Batcher
from models.fingerprint import Fingerprinter
from models.sscd import SscdEncoder
from models.toy import ToyEncoder
from service.demo.photographs import MOTORCYCLE, MOTORCYCLE_BESIDE
from service.matching.pipeline import Matcher
from service.matching.policies import UnknownPolicy
from service.matching.results import CheckOptions, EditType, MatchKind, Verdict
from service.matching.score import ScoreModels
from service.registry import Registry, Submission
from tests.kit.images import encode, photo


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[tuple[Catalogue, Fingerprinter]]:
    """Coffee, registered by two brands in the same bytes and by one mirrored; and a cat."""
    batcher = Batcher(ToyEncoder()).start()
    printer = Fingerprinter(batcher, background=Background({}))
    spaces = [Space(*space) for space in printer.spaces]
    with Catalogue.open(tmp_path / "store", spaces, printer.schema) as catalogue:
        registry = Registry(catalogue, printer)
        coffee = photo("coffee")
        for brand in ("a", "b"):
            catalogue.create_brand(brand)
            registry.register(Submission(brand, "coffee", encode(coffee, "PNG")))
        registry.register(Submission("a", "mirrored", encode(ImageOps.mirror(coffee), "PNG")))
        registry.register(Submission("a", "cat", encode(photo("chelsea"), "PNG")))
        yield catalogue, printer
    batcher.stop()


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("thorough", [False, True])
def test_never_more_matches_than_asked_for(
    parts: tuple[Catalogue, Fingerprinter], limit: int, thorough: bool
) -> None:
    options = CheckOptions(max_matches=limit, thorough=thorough)
    answer = Matcher(*parts).check(encode(photo("coffee"), "PNG"), options)
    assert answer.verdict is Verdict.COPY
    assert len(answer.matches) <= limit
    assert answer.matches[0].kind is MatchKind.EXACT


@pytest.mark.parametrize("closed", [{"glance": 1.1}, {"points": 1.1}, {"verify": 1.1}])
def test_a_candidate_that_was_not_verified_is_not_held_against_the_seller(
    parts: tuple[Catalogue, Fingerprinter], closed: dict[str, float]
) -> None:
    bundled = ScoreModels.bundled()
    shut = {**bundled.thresholds, "gate": {"glance": 0.0, "points": 0.0, "verify": 0.0} | closed}
    models = replace(
        bundled,
        thresholds=shut,
        gate=replace(bundled.gate, bias=50.0),
        glance=replace(bundled.glance, bias=50.0),
        points=replace(bundled.points, bias=50.0),
    )
    matcher = Matcher(*parts, models=models)
    blurred = photo("coffee").filter(ImageFilter.GaussianBlur(12))  # key points would verify it
    listing = encode(blurred.resize((300, 200)), "PNG")
    answer = matcher.check(listing, CheckOptions(min_score=0.0))
    assert answer.matches and answer.matches[0].score > 0.9
    assert {match.verdict for match in answer.matches} == {Verdict.CLEAR}
    assert answer.verdict is Verdict.CLEAR


def test_only_the_brands_that_are_named_are_looked_among(
    parts: tuple[Catalogue, Fingerprinter],
) -> None:
    options = CheckOptions(brands=frozenset({"b"}))
    answer = Matcher(*parts).check(encode(photo("chelsea"), "PNG"), options)
    assert answer.verdict is Verdict.CLEAR


def test_a_policy_that_does_not_exist_is_refused_by_name(
    parts: tuple[Catalogue, Fingerprinter],
) -> None:
    with pytest.raises(UnknownPolicy, match="strict"):
        Matcher(*parts).check(encode(photo("coffee"), "PNG"), CheckOptions(policy="lenient"))


def test_another_photograph_from_beside_is_no_copy_and_the_answer_says_why(
    parts: tuple[Catalogue, Fingerprinter],
) -> None:
    catalogue, _ = parts
    with Batcher(SscdEncoder("sscd_distilled", threads=1)) as batcher:
        matcher = Matcher(catalogue, Fingerprinter(batcher))
        match = matcher.compare(MOTORCYCLE_BESIDE.read(), MOTORCYCLE.read()).match
    assert match.verdict in (Verdict.CLEAR, Verdict.REVIEW)
    assert "another photograph of what the original shows" in match.note


@pytest.mark.parametrize("name", ["astronaut", "coffee", "rocket", "chelsea"])
def test_a_thumbnail_is_the_same_picture_and_not_drawn_anew(
    parts: tuple[Catalogue, Fingerprinter], name: str
) -> None:
    """Its edges, enlarged, lie beside the original's as those of a drawing do."""
    original = photo(name)
    with Batcher(SscdEncoder("sscd_distilled", threads=1)) as batcher:
        matcher = Matcher(parts[0], Fingerprinter(batcher))
        for width in (64, 128):
            small = original.resize((width, round(original.height * width / original.width)))
            match = matcher.compare(encode(small, quality=40), encode(original, quality=95)).match
            assert match.verdict is Verdict.COPY and match.kind is MatchKind.NEAR_DUPLICATE
            assert {edit.type for edit in match.edits} <= {EditType.SCALED, EditType.RECOMPRESSED}


def test_pictures_of_every_shape_are_compared(parts: tuple[Catalogue, Fingerprinter]) -> None:
    """Strips and specks, too: what OpenCV does not expect must not end the process."""
    catalogue, _ = parts
    sides = (16, 31, 60, 250, 1200)
    with Batcher(SscdEncoder("sscd_distilled", threads=1)) as batcher:
        matcher = Matcher(catalogue, Fingerprinter(batcher))
        for width, height in product(sides, sides):
            original = ImageOps.fit(photo("coffee"), (width, height))
            larger = original.resize((round(width * 1.3), round(height * 1.3)))
            found = matcher.compare(encode(larger, quality=85), encode(original, "PNG")).match
            told = min(width, height) >= 60
            assert found.verdict is Verdict.COPY or not told, (width, height, found.score)
