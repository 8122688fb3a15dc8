"""A bent copy is straightened before it is compared; another photograph can not be."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from index.catalogue import Catalogue
from index.spaces import Space
from models import layout
from models.batcher import Batcher
from models.detail import Detail
from models.fingerprint import Fingerprinter
from models.scaling import shrink
from models.sscd import SscdEncoder
from models.views import WHOLE
from scripts import attacks
from service.demo.photographs import MOTORCYCLE, MOTORCYCLE_BESIDE
from service.matching import bends, dense
from service.matching.pipeline import Matcher
from service.matching.poses import Canvas, Sheet
from service.matching.results import EditType, MatchKind, Verdict
from tests.kit import images as kit
from tests.kit.images import Transform, encode, photo

PHOTOS = ("astronaut", "chelsea", "coffee", "motorcycle")
BENDS: dict[str, Transform] = {"lens": attacks.lens, "waves": attacks.waves, "swirl": attacks.swirl}


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def prepared(listing: Image.Image, original: Image.Image) -> tuple[Sheet, Canvas]:
    detail = Detail.of(pixels(original))
    parts = [(WHOLE, layout.grey(layout.thumbnail(pixels(listing))))]
    return Sheet.of(pixels(listing), parts), Canvas.of(detail.thumbnail, detail.subject)


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """Mean difference of the inner parts of two pictures, small, in levels."""
    small = [shrink(each, (96, 96))[12:-12, 12:-12].astype(np.float64) for each in (a, b)]
    return float(np.abs(small[0] - small[1]).mean())


@pytest.fixture(scope="module")
def matcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matcher]:
    folder: Path = tmp_path_factory.mktemp("bends")
    with Batcher(SscdEncoder("sscd_distilled", threads=1)) as batcher:
        printer = Fingerprinter(batcher)
        spaces = [Space(*space) for space in printer.spaces]
        with Catalogue.open(folder / "store", spaces, printer.schema) as catalogue:
            yield Matcher(catalogue, printer)


@pytest.mark.parametrize("bend", BENDS)
@pytest.mark.parametrize("name", PHOTOS)
def test_a_bent_picture_is_drawn_straight(name: str, bend: str) -> None:
    original = photo(name)
    listing = BENDS[bend](original)
    found = bends.find(*prepared(listing, original), np.eye(3))
    assert found is not None and found.amount > 0.01
    straight = found.straighten(pixels(listing))
    assert straight.shape == pixels(listing).shape
    assert apart(straight, pixels(original)) < 0.5 * apart(pixels(listing), pixels(original))


@pytest.mark.parametrize("bend", BENDS)
def test_a_mirrored_turned_and_bent_picture_is_drawn_straight(bend: str) -> None:
    original = photo("coffee")
    turned = ImageOps.mirror(original).rotate(90, expand=True)
    matrix = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]])
    sheet, canvas = prepared(turned, original)
    assert dense.measure(sheet, dense.laid(sheet, matrix), canvas).tight > 0.9
    sheet, canvas = prepared(BENDS[bend](turned), original)
    found = bends.find(sheet, canvas, matrix)
    assert found is not None
    straight = sheet.straightened(found.straighten(sheet.levels[0]))
    assert dense.measure(straight, dense.laid(straight, matrix), canvas).tight > 0.84


def test_a_large_picture_is_straightened_at_a_size_that_is_looked_at() -> None:
    original = photo("coffee")
    listing = attacks.lens(original)
    found = bends.find(*prepared(listing, original), np.eye(3))
    assert found is not None
    assert found.straighten(pixels(listing.resize((2400, 1600)))).shape == (853, 1280, 3)


@pytest.mark.parametrize(
    ("listing", "original"),
    [("motorcycle_beside", "motorcycle"), ("coffee", "chelsea"), ("grass", "gravel")],
)
def test_what_is_no_copy_can_not_be_bent_into_one(listing: str, original: str) -> None:
    assert bends.find(*prepared(photo(listing), photo(original)), np.eye(3)) is None


def test_a_flat_picture_is_not_bent() -> None:
    original = photo("coffee")
    found = bends.find(*prepared(kit.jpeg(original), original), np.eye(3))
    assert found is None or found.amount < 0.005


def test_a_map_of_no_use_bends_nothing() -> None:
    original = photo("coffee")
    for matrix in (np.zeros((3, 3)), np.full((3, 3), np.nan), np.diag([1e-3, 1e-3, 1.0])):
        assert bends.find(*prepared(original, original), matrix) is None


@pytest.mark.parametrize("bend", BENDS)
def test_a_bent_copy_is_called_one_and_bent(matcher: Matcher, bend: str) -> None:
    original = photo("coffee")
    listing = encode(BENDS[bend](original), quality=80)
    found = matcher.compare(listing, encode(original, "PNG"), evidence_png=True)
    assert found.match.verdict is Verdict.COPY
    assert found.match.kind is MatchKind.EDITED
    bent = [edit for edit in found.match.edits if edit.type is EditType.BENT]
    assert len(bent) == 1 and 0.01 < bent[0].amount < 0.2
    assert "bent" in bent[0].description and not bent[0].misleads_buyer
    assert found.evidence_png.startswith(b"\x89PNG")


def test_another_photograph_from_beside_is_not_straightened(matcher: Matcher) -> None:
    found = matcher.compare(MOTORCYCLE_BESIDE.read(), MOTORCYCLE.read()).match
    assert found.verdict in (Verdict.CLEAR, Verdict.REVIEW)
    assert not any(edit.type is EditType.BENT for edit in found.edits)
