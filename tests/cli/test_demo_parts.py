"""The demo's parts that need no server: photographs, listings, judgement, page."""

import io
import re
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from copycatch.v1 import match_service_pb2 as match_pb2
from service.cli.failure import CommandError
from service.cli.server import clip_settings
from service.demo import page
from service.demo.answers import Answer, Listing, mistakes
from service.demo.cases import cases
from service.demo.photographs import BRANDS, SHOWN, Photograph
from service.demo.run import run

COPY = frozenset({"COPY"})
NAME = "brands/north-house/originals/coffee"


def answer(
    listing: Listing,
    verdict: "match_pb2.Verdict.ValueType",
    original: str = "",
    kind: "match_pb2.MatchKind.ValueType" = match_pb2.EDITED,
    note: str = "",
) -> Answer:
    result = match_pb2.ImageResult(verdict=verdict)
    if original:
        result.matches.add(original=original, kind=kind, score=0.87, verdict=verdict, note=note)
    return Answer(listing, result, 12.0)


@pytest.mark.parametrize("photo", SHOWN, ids=lambda photo: photo.id)
def test_every_photograph_ships_with_the_packages(photo: Photograph) -> None:
    assert min(photo.open().size) >= 300
    assert photo.credit


def test_a_photograph_that_is_not_installed_says_what_to_install() -> None:
    missing = Photograph("x", "x", "skimage", "nothing.png", "nobody")
    with pytest.raises(CommandError, match=r"nothing.png is not installed: pip install"):
        missing.read()


def test_the_listings_are_pictures_and_each_differs_from_the_originals() -> None:
    originals = {photo.read() for photos in BRANDS.values() for photo in photos}
    made = {case.id: case.make() for case in cases()}
    assert len(set(made.values())) == len(made)
    for name, data in made.items():
        assert Image.open(io.BytesIO(data)).size
        assert (data in originals) == (name == "exact")


def test_the_listings_cover_every_way_of_copying_and_what_is_no_copy() -> None:
    expected = [case.kinds for case in cases() if case.original and case.judged]
    named = set().union(*expected)
    assert named == {"EXACT", "NEAR_DUPLICATE", "EDITED", "PARTIAL", "RESTYLED"}
    assert sum(case.verdicts == {"CLEAR"} for case in cases()) >= 3
    registered = {photo.id for photos in BRANDS.values() for photo in photos}
    assert all(case.original.id in registered for case in cases() if case.original)


def test_listings_are_drawn_the_same_each_time() -> None:
    first = {case.id: case.make() for case in cases() if case.id in ("overlaid", "screenshot")}
    again = {case.id: case.make() for case in cases() if case.id in first}
    assert first == again


def test_an_answer_is_held_against_verdict_original_and_kind() -> None:
    listing = Listing("x", "x", b"", NAME, COPY, frozenset({"EDITED"}))
    right = answer(listing, match_pb2.COPY, NAME)
    assert right.mistake == ""
    assert answer(listing, match_pb2.REVIEW, NAME).mistake == "expected COPY"
    elsewhere = answer(listing, match_pb2.COPY, "brands/north-house/originals/cat")
    assert elsewhere.mistake == "expected a copy of north-house/coffee"
    other_kind = answer(listing, match_pb2.COPY, NAME, match_pb2.PARTIAL)
    assert other_kind.mistake == "expected the kind edited"
    assert mistakes([right, other_kind]) == [other_kind]


def test_a_listing_without_an_expectation_is_never_a_mistake() -> None:
    assert answer(Listing("x", "x", b""), match_pb2.COPY, NAME).mistake == ""


def test_a_picture_that_could_not_be_checked_is_a_mistake_where_something_was_expected() -> None:
    failed = Answer(Listing("x", "x", b"", "", COPY), match_pb2.ImageResult(), 1.0)
    failed.result.error.code = 3
    assert failed.verdict == "ERROR"
    assert failed.mistake == "expected COPY"


def render(*answers: Answer) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (80, 60), (200, 30, 30)).save(buffer, "PNG")
    previews = {one.best.original: buffer.getvalue() for one in answers if one.best}
    info = match_pb2.ServerInfo(version="1", clip="off", policy="balanced@1", original_count=3)
    return page.render(answers, previews, info, "Coffee: somebody")


def test_the_page_holds_everything_itself() -> None:
    listing = Listing("x", "Mirrored", b"not a picture", NAME, COPY)
    text = render(answer(listing, match_pb2.COPY, NAME))
    addresses = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert addresses
    assert all(one.startswith(("data:image/", "#")) for one in addresses)
    assert "<script" not in text
    assert "url(" not in text
    assert "Coffee: somebody" in text


def test_the_page_counts_what_was_expected_and_marks_what_was_not() -> None:
    right = answer(Listing("a", "Same", b"", NAME, COPY), match_pb2.COPY, NAME)
    wrong = answer(Listing("b", "Other", b"", NAME, COPY), match_pb2.CLEAR)
    text = render(right, wrong)
    assert "1 of 2" in text
    assert text.count('class="wrong"') == 2
    assert "expected COPY" in text


def test_words_from_outside_are_escaped() -> None:
    listing = Listing("x", "<b>&", b"")
    note = '"><script>alert(1)</script>'
    text = render(answer(listing, match_pb2.COPY, 'brands/a/originals/"<x>', note=note))
    assert "<script" not in text
    assert "<b>&" not in text
    assert "&lt;b&gt;&amp;" in text


@pytest.mark.parametrize(
    ("clip", "settings"),
    [
        ("", {"clip": "off"}),
        (
            "ViT-B-32/laion2b_s34b_b79k",
            {
                "clip": "required",
                "clip_model": "ViT-B-32",
                "clip_pretrained": "laion2b_s34b_b79k",
            },
        ),
    ],
)
def test_clip_is_named_by_model_and_weights(clip: str, settings: dict[str, str]) -> None:
    assert clip_settings(clip) == settings


def test_a_checkpoint_file_is_told_from_a_tag() -> None:
    settings = clip_settings(f"ViT-B-32/{__file__}")
    assert settings["clip_weights"] == __file__


def test_clip_without_weights_is_refused() -> None:
    with pytest.raises(CommandError, match="names no weights"):
        clip_settings("ViT-B-32")


def test_a_folder_that_takes_no_page_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    said = io.StringIO()
    with pytest.raises(CommandError, match="--out"):
        run(Console(file=said), tmp_path / "taken/demo")
    assert said.getvalue() == ""


def test_the_page_says_that_the_outline_is_of_the_whole_original() -> None:
    cropped = answer(Listing("x", "x", b"", NAME, COPY), match_pb2.COPY, NAME)
    assert cropped.best is not None
    for x, y in ((0.4, 0.5), (1.2, 0.5), (1.2, 0.9), (0.4, 0.9)):
        cropped.best.alignment.listing_region.add(x=x, y=y)
    text = render(cropped)
    assert 'points="40.00,50.00 120.00,50.00' in text
    assert "all of the original would lie" in text
