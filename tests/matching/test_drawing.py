"""The evidence picture shows what was found, and survives what was not."""

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.matching import drawing, sheet
from service.matching.drawing import draw
from service.matching.results import (
    Alignment,
    Box,
    Edit,
    EditType,
    Evidence,
    Match,
    MatchKind,
    Verdict,
)
from service.matching.sheet import WIDTH_PX, Sheet
from tests.kit.images import photo

ORIGINAL = np.asarray(photo("astronaut"))
LISTING = np.ascontiguousarray(ORIGINAL[51:461, 102:410])
SX, SY = 308 / 512, 410 / 512
X, Y = 102 / 512, 51 / 512
ALIGNED = Alignment(
    homography=(SX, 0, X, 0, SY, Y, 0, 0, 1),
    original_overlap=SX * SY,
    listing_overlap=1.0,
    mirrored=False,
    rotation_deg=0.0,
    listing_region=((0, 0), (1, 0), (1, 1), (0, 1)),
    original_region=((X, Y), (X + SX, Y), (X + SX, Y + SY), (X, Y + SY)),
)
MATCH = Match(
    key=7,
    original="brands/acme/originals/suit",
    brand="brands/acme",
    kind=MatchKind.EDITED,
    verdict=Verdict.COPY,
    score=0.98,
    evidence=(
        Evidence("inliers", 80, 12, True, "80 matched points agree on one geometry"),
        Evidence("tones", 0.4, 0.6, False, "grey values correlate at 0.40"),
    ),
    alignment=ALIGNED,
    edits=(Edit(EditType.CROPPED, 0.48, "cropped to 48 %"),),
    note="The listing picture is an edited copy of brands/acme/originals/suit (score 0.98).",
)
SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
_RNG = np.random.default_rng(0)
OURS = _RNG.uniform(0.05, 0.95, (80, 2)).astype(np.float32)
POINTS = (OURS, (OURS * [SX, SY] + [X, Y]).astype(np.float32))


def _opened(png: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG" and image.width == WIDTH_PX
    return np.asarray(image.convert("RGB")).astype(int)


def _red(page: np.ndarray) -> int:
    return int((np.abs(page - drawing._RED).max(axis=2) < 3).sum())


def _said(monkeypatch: pytest.MonkeyPatch, match: Match) -> str:
    said: list[str] = []
    monkeypatch.setattr(Sheet, "words", lambda self, text, *rest: said.append(text))

    def table(
        self: Sheet, header: tuple[str, ...], rows: list[tuple[tuple[str, ...], object]]
    ) -> None:
        said.extend(" | ".join(words) for words, _ in rows)

    monkeypatch.setattr(Sheet, "table", table)
    draw(LISTING, ORIGINAL, match, None)
    return "\n".join(said)


def test_the_same_match_is_drawn_as_the_same_bytes() -> None:
    assert draw(LISTING, ORIGINAL, MATCH, POINTS) == draw(LISTING, ORIGINAL, MATCH, POINTS)


def test_a_sticker_is_red_in_the_difference_and_a_plain_crop_is_not() -> None:
    stuck = LISTING.copy()
    stuck[150:250, 100:200] = (0, 255, 0)
    plain = _red(_opened(draw(LISTING, ORIGINAL, MATCH, None)))
    marked = _red(_opened(draw(stuck, ORIGINAL, MATCH, None)))
    assert marked > plain + 2000


def test_the_region_is_outlined_and_points_are_joined() -> None:
    bare = _opened(draw(LISTING, ORIGINAL, replace(MATCH, alignment=None), None))
    full = _opened(draw(LISTING, ORIGINAL, MATCH, POINTS))
    for colour in (drawing._OUTLINE, drawing._LINE):
        seen = [(page == colour).all(axis=2).sum() for page in (bare, full)]
        assert seen[1] > seen[0] + 500


def test_a_crop_is_outlined_in_both_pictures() -> None:
    page = _opened(draw(LISTING, ORIGINAL, MATCH, None))
    seen = (page == drawing._OUTLINE).all(axis=2)
    assert seen[:, : WIDTH_PX // 2].sum() > 500 and seen[:, WIDTH_PX // 2 :].sum() > 500


@given(st.lists(st.floats(-3e-4, 3e-4), min_size=8, max_size=8))
@settings(max_examples=25, deadline=None)
def test_what_nearly_fills_its_picture_is_outlined_on_four_sides(off: list[float]) -> None:
    """Corners beside those of the picture by a hair have left a triangle of it before."""
    corners = np.clip(SQUARE + np.reshape(off, (4, 2)), 0, 1)
    quad = tuple((float(x), float(y)) for x, y in corners)
    page = Image.new("RGB", (300, 300), "white")
    drawing._outline(page, quad, (50, 50, 200, 200), drawing._OUTLINE)
    seen = (np.asarray(page) == drawing._OUTLINE).all(axis=2)
    sides = (
        seen[50:56, 60:240],
        seen[244:250, 60:240],
        seen[60:240, 50:56].T,
        seen[60:240, 244:250].T,
    )
    assert all(side.any(axis=0).all() for side in sides)
    assert not seen[70:230, 70:230].any()


def test_what_says_no_is_not_crowded_out(monkeypatch: pytest.MonkeyPatch) -> None:
    yes = [Evidence(f"yes{i}", 0.9, 0.5, True, f"yes {i}") for i in range(20)]
    said = _said(
        monkeypatch, replace(MATCH, evidence=(*yes, Evidence("no", 0.1, 0.5, False, "not")))
    )
    assert "Not | 0.10 | 0.50 | no" in said and "Yes 8" in said and "Yes 9" not in said


def test_verdict_edits_and_evidence_are_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    said = _said(monkeypatch, MATCH)
    for words in ("Copy", "an edited copy", "0.98", "cropped to 48 %", "80 matched points"):
        assert words in said


def test_without_alignment_it_says_that_they_could_not_be_laid_over_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = "could not be laid over each other"
    assert words in _said(monkeypatch, replace(MATCH, alignment=None))
    torn = replace(ALIGNED, homography=(0.0,) * 9)
    assert words in _said(monkeypatch, replace(MATCH, alignment=torn))
    assert words not in _said(monkeypatch, MATCH)


def test_a_picture_that_is_no_copy_is_not_called_an_edited_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = _said(monkeypatch, replace(MATCH, verdict=Verdict.CLEAR, note=""))
    assert "an edited copy" not in said and "Not a copy" in said


@pytest.mark.parametrize("shape", [(40, 400), (400, 40), (16, 16), (1, 30)])
def test_extreme_shapes_are_drawn(shape: tuple[int, int]) -> None:
    odd = np.full((*shape, 3), 90, np.uint8)
    for ours, theirs in ((odd, ORIGINAL), (LISTING, odd), (odd, odd)):
        assert _opened(draw(ours, theirs, MATCH, POINTS)).shape[0] < 3000


def test_long_text_is_wrapped_and_never_runs_into_the_margin() -> None:
    page = _opened(draw(LISTING, ORIGINAL, MATCH, None, title="word " * 200 + "w" * 400))
    assert (page[:, -20:] == 255).all()


def test_no_points_and_foreign_letters_do_no_harm() -> None:
    none = np.zeros((0, 2), np.float32)
    _opened(draw(LISTING, ORIGINAL, MATCH, (none, none), title="ΔE2000 ≥ 3, 商品"))
    assert sheet._printable("ΔE ≥ 3 é") == "delta E >= 3 e"


def test_what_was_changed_in_one_place_is_outlined_and_numbered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sticker = Edit(EditType.OVERLAY_ADDED, 0.1, "sticker added", Box(0.3, 0.4, 0.3, 0.2))
    match = replace(MATCH, edits=(*MATCH.edits, sticker))
    plain = (_opened(draw(LISTING, ORIGINAL, MATCH, None)) == drawing._MARK).all(axis=2)
    page = (_opened(draw(LISTING, ORIGINAL, match, None)) == drawing._MARK).all(axis=2)
    assert not plain.any() and page[:, : WIDTH_PX // 2].sum() > 500
    assert not page[:, WIDTH_PX // 2 :].any()
    said = _said(monkeypatch, match)
    assert "[1] sticker added" in said and "· cropped" in said


def test_context_is_not_told_as_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    ordinary = Evidence("sscd_ordinary", 0.4, 0.0, False, "ordinary by 0.40", context=True)
    said = _said(monkeypatch, replace(MATCH, evidence=(*MATCH.evidence, ordinary)))
    assert "Grey values correlate at 0.40 | 0.40 | 0.60 | no" in said
    assert "ordinary by" not in said


def test_what_speaks_for_another_photograph_is_told_first(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "no map lays 69% of the detail on its place"
    parallax = Evidence("parallax", 0.69, 0.0, False, words, context=True)
    many = [Evidence(f"signal{k}", 0.9, 0.5, True, f"signal {k}") for k in range(14)]
    said = _said(monkeypatch, replace(MATCH, evidence=(*many, parallax)))
    assert "No map lays 69% of the detail on its place | 0.69 |  | against it" in said
    assert said.index("No map lays") < said.index("Signal 0")
    assert "Signal 9" in said and "Signal 10" not in said
    assert "4 of less weight are left out here" in said
    known = replace(parallax, value=0.1)
    assert "against it" not in _said(monkeypatch, replace(MATCH, evidence=(*many, known)))


def test_pictures_that_have_nothing_in_common_are_not_laid_over_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows: list[int] = []
    monkeypatch.setattr(drawing, "_overlay", lambda *args: rows.append(1))
    draw(LISTING, ORIGINAL, replace(MATCH, verdict=Verdict.CLEAR), None)
    assert not rows
    draw(LISTING, ORIGINAL, MATCH, None)
    assert rows


def test_what_was_compared_and_with_what_is_said_below(monkeypatch: pytest.MonkeyPatch) -> None:
    bare, told = draw(LISTING, ORIGINAL, MATCH, None), []
    full = draw(LISTING, ORIGINAL, MATCH, None, about=("Listing: SHA-256 00ff.", "By a score."))
    assert _opened(full).shape[0] > _opened(bare).shape[0] + 40
    monkeypatch.setattr(Sheet, "words", lambda self, text, *rest: told.append(text))
    draw(LISTING, ORIGINAL, MATCH, None, about=("Listing: SHA-256 00ff.", "By a score."))
    assert told[-2:] == ["Listing: SHA-256 00ff.", "By a score."]


def test_a_place_that_was_tried_in_vain_is_not_called_matched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clear = replace(MATCH, verdict=Verdict.CLEAR, edits=())
    page = _opened(draw(LISTING, ORIGINAL, clear, None))
    assert not (page == drawing._OUTLINE).all(axis=2).any()
    assert (page == drawing._TRIED).all(axis=2).sum() > 500


def test_a_value_just_below_what_is_enough_is_not_shown_as_equal_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near = Evidence("sscd_excess", 0.2965, 0.3, False, "more alike")
    assert "0.2965 | 0.3 | no" in _said(monkeypatch, replace(MATCH, evidence=(near,)))
