"""One picture that shows why a listing was matched with an original, for anyone to read.

Above, what was decided; then the two side by side with the matched region outlined and matched
points joined, and the listing laid over the original with where they differ; below, what was
changed and what was measured. The same arguments give the same bytes.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.layout import FloatArray, Matrix, UInt8Array
from service.matching import dense
from service.matching.alignment import area, usable
from service.matching.decide import from_beside
from service.matching.results import (
    Alignment,
    Box,
    Edit,
    EditType,
    Evidence,
    Match,
    MatchKind,
    Quad,
    Verdict,
)
from service.matching.sheet import INK, PAPER, PLATE, SOFT, Colour, Place, Sheet

MOST_LINES = 60
"""Matched points that are joined; more would hide the pictures."""
MOST_SENTENCES, _AGAINST = 10, 3
"""Rows of evidence, and how many of them are kept for what says no."""
_PAIR_PX, _ROW_PX = 560, 430
"""Greatest height of the pictures of the upper and of the middle row."""
_FROM_LEVELS = 24.0
"""Differences in grey levels below this are taken for compression and not shown."""
_SIDE_PX = 512
_OUTLINE, _LINE, _RED = (230, 60, 20), (0, 140, 220), (220, 20, 30)
_TRIED = (120, 126, 136)
_MARK = (170, 0, 170)
_IN_ONE_PLACE = (
    EditType.OVERLAY_ADDED,
    EditType.OVERLAY_REMOVED,
    EditType.RECOLOURED,
    EditType.SUBJECT_RECOLOURED,
    EditType.SUBJECT_CHANGED,
)
_VERDICTS = {
    Verdict.COPY: ("Copy", (190, 30, 30)),
    Verdict.REVIEW: ("A person should look at this", (190, 110, 0)),
    Verdict.CLEAR: ("Not a copy, as far as can be told", (30, 120, 60)),
    Verdict.AUTHORISED: ("An authorised copy", (30, 90, 160)),
}
_KINDS = {
    MatchKind.EXACT: "the same picture",
    MatchKind.NEAR_DUPLICATE: "a slightly changed copy",
    MatchKind.EDITED: "an edited copy",
    MatchKind.PARTIAL: "one picture holds a part of the other",
    MatchKind.RESTYLED: "the same composition, drawn anew",
}


def draw(
    listing: UInt8Array,
    original: UInt8Array,
    match: Match,
    points: tuple[FloatArray, FloatArray] | None,
    *,
    straight: UInt8Array | None = None,
    title: str = "",
    about: Sequence[str] = (),
) -> bytes:
    """Draw the evidence for a match.

    Args:
        listing: uint8, shape (h, w, 3).
        original: uint8, shape (h, w, 3).
        match: what was found.
        points: fractional coordinates, shape (n, 2) each, of matched key points in the
            listing and in the original; None when there are none.
        straight: the listing as it is laid over the original, when it was bent; None when it
            is laid as it is.
        title: heading; empty names the original.
        about: what was compared and with what, a line each, for whoever has to prove it.

    Returns:
        A PNG, `WIDTH_PX` wide.
    """
    page = Sheet()
    heading = title or (
        f"Is it a copy of {match.original}?" if match.original else "Is the listing a copy?"
    )
    page.words(heading, 34, INK)
    _decided(page, match)
    _pair(page, listing, original, match, points)
    if match.alignment is None or not usable(_matrix(match.alignment)):
        page.words("The two pictures could not be laid over each other.", 24, INK)
    elif match.verdict is not Verdict.CLEAR or _beside(match):
        # Of two pictures that have nothing to do with each other it would show nonsense.
        laid, how = (
            (listing, "brought") if straight is None else (straight, "straightened, brought")
        )
        _overlay(page, laid, original, match.alignment, how)
    _findings(page, match)
    if about:
        page.space(4)
        for line in about:
            page.words(line, 17, SOFT)
    return page.png()


def _beside(match: Match) -> str:
    """What speaks for another photograph of the same thing; see `decide.from_beside`."""
    return from_beside({each.signal: each.value for each in match.evidence})


def _decided(page: Sheet, match: Match) -> None:
    """Verdict, how probable it is, and the sentence."""
    words, ink = _VERDICTS[match.verdict]
    # A kind is how a copy was made: of a picture that is none it would mislead.
    kind = "" if match.verdict is Verdict.CLEAR else f": {_kind(match)}"
    page.words(words + kind, 30, ink)
    page.words(match.note or f"The score is {match.score:.2f}.", 22, INK)
    page.words(
        "The score says how probable it is that the listing was made from the original: 0 is "
        "certainly not, 1 certainly.",
        20,
        SOFT,
    )


def _kind(match: Match) -> str:
    if _beside(match):
        return "another photograph of the same thing, or an edited copy"
    placed = match.alignment
    if match.kind is MatchKind.PARTIAL and placed is not None:
        within = placed.listing_overlap < placed.original_overlap
        return "the original is a part of the listing" if within else "cut out of the original"
    if any(edit.type is EditType.BACKGROUND_REPLACED for edit in match.edits):
        return "the same product before another background"
    return _KINDS[match.kind]


def _pair(
    page: Sheet,
    listing: UInt8Array,
    original: UInt8Array,
    match: Match,
    points: tuple[FloatArray, FloatArray] | None,
) -> None:
    """The two side by side, outlined and joined; what was changed in one place, numbered."""
    alignment = match.alignment
    matched = match.verdict is not Verdict.CLEAR
    outlined = ", the matched region outlined" if matched else ", the place that fits best outlined"
    outlined = outlined if alignment else ""
    numbered = "; numbers mark what was changed in one place" if _marked(match) else ""
    captions = (f"Listing{outlined}{numbered}", f"Original{outlined}")
    block, places = page.row((listing, original), captions, _PAIR_PX)
    pen = ImageDraw.Draw(block)
    if points is not None and len(points[0]):
        some = np.unique(np.linspace(0, len(points[0]) - 1, MOST_LINES).round().astype(int))
        for k in some:
            ends = [_spot(side[k], place) for side, place in zip(points, places, strict=True)]
            pen.line((ends[0], ends[1]), _LINE, 1)
            for x, y in ends:
                pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=_LINE, outline=PAPER)
        found = "were found in both" if matched else "look alike"
        page.words(
            f"Thin lines join {len(some)} of {len(points[0])} details that {found}.", 20, SOFT
        )
    if alignment is not None:
        for quad, place in (
            (alignment.listing_region, places[0]),
            (alignment.original_region, places[1]),
        ):
            _outline(block, quad, place, _OUTLINE if matched else _TRIED)
    for number, edit in _marked(match).items():
        if edit.region is not None:
            _mark(block, edit.region, number, places[0])


def _marked(match: Match) -> dict[int, Edit]:
    """The edits that have a place of their own, by the number that marks them."""
    placed = [edit for edit in match.edits if edit.region and edit.type in _IN_ONE_PLACE]
    return dict(enumerate(placed, start=1))


def _mark(block: Image.Image, region: Box, number: int, place: Place) -> None:
    """Outline what was changed in one place and put its number at the corner."""
    left, top, w, h = place
    x, y = left + region.left * w, top + region.top * h
    right, bottom = x + region.width * w, y + region.height * h
    pen = ImageDraw.Draw(block)
    pen.rectangle((x, y, max(x + 2, right - 1), max(y + 2, bottom - 1)), outline=_MARK, width=3)
    tag = (max(left, min(x, left + w - 26)), max(top, min(y, top + h - 26)))
    pen.rectangle((*tag, tag[0] + 25, tag[1] + 25), fill=_MARK)
    font = ImageFont.load_default(size=20)
    pen.text((tag[0] + 13, tag[1] + 13), str(number), PAPER, font, anchor="mm")


def _outline(block: Image.Image, quad: Quad, place: Place, colour: Colour) -> None:
    """Outline a region, which lies within its picture; one without an area has no outline."""
    left, top, w, h = place
    if not area(np.array(quad)):
        return
    corners = [(left + x * (w - 5) + 2, top + y * (h - 5) + 2) for x, y in quad]
    ImageDraw.Draw(block).line([*corners, corners[0], corners[1]], colour, 4, joint="curve")


def _overlay(
    page: Sheet, listing: UInt8Array, original: UInt8Array, alignment: Alignment, how: str
) -> None:
    """The listing in the frame of the original, the original, and the difference."""
    laid, inside = dense.lay(listing, _matrix(alignment), _SIDE_PX)
    square = np.asarray(
        cv2.resize(original, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA), dtype=np.uint8
    )
    lies = inside > 0
    plain = np.array(PLATE, dtype=np.uint8)
    over = np.where(lies[..., None], laid, plain)
    a, b = (cv2.GaussianBlur(each, (0, 0), 1.5).astype(np.float32) for each in (laid, square))
    off = np.abs(a - b).max(axis=2)
    share = np.clip((off - _FROM_LEVELS) / 60.0, 0, 1) * lies
    differs = float((off > _FROM_LEVELS)[lies].mean()) if lies.any() else 0.0
    grey = 0.5 * cv2.cvtColor(square, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] + 127
    ground = np.where(lies[..., None], grey, 225.0)
    mixed = ground * (1 - share[..., None]) + np.array(_RED, np.float32) * share[..., None]
    told = f"Red where they differ: {differs:.0%} of the shared area."
    told += "" if lies.all() else " Plain grey: not in both."
    if not lies.any():
        told = "The listing does not cover the original."
    h, w = original.shape[:2]
    pictures = [_shaped(each.astype(np.uint8), w, h) for each in (over, square, mixed.round())]
    page.row(
        pictures, (f"Listing, {how} into the place of the original", "The original", told), _ROW_PX
    )


def _matrix(alignment: Alignment) -> Matrix:
    return np.array(alignment.homography, dtype=np.float64).reshape(3, 3)


def _findings(page: Sheet, match: Match) -> None:
    """Edits and evidence in words."""
    page.space(4)
    if match.edits:
        page.words("What was changed", 26, INK)
        numbers = {id(edit): f"[{number}] " for number, edit in _marked(match).items()}
        for edit in match.edits:
            warning = " (may mislead a buyer)" if edit.misleads_buyer else ""
            page.words(f"· {numbers.get(id(edit), '')}{edit.description}{warning}", 22, INK, 16)
    # Context tells how much the others mean to the score, and nothing to a reader.
    told = [each for each in match.evidence if not each.context]
    if not told:
        return
    page.words("What was measured, the weightiest first", 26, INK)
    rows = [(_measured(each), INK if each.supports else SOFT) for each in _weightiest(told)]
    if beside := _beside(match):
        against = next(each for each in match.evidence if each.signal == beside)
        rows.insert(0, (_measured(against), INK))
    page.table(("", "measured", "enough from", "for a copy?"), rows)
    if len(told) > MOST_SENTENCES:
        left = len(told) - MOST_SENTENCES
        page.words(f"{left} of less weight are left out here; the answer holds them.", 18, SOFT)


def _weightiest(told: Sequence[Evidence]) -> list[Evidence]:
    """What there is room for, in its order; what says no is not crowded out by what says yes."""
    against = [i for i, each in enumerate(told) if not each.supports][:_AGAINST]
    chosen = [*against, *(i for i in range(len(told)) if i not in against)][:MOST_SENTENCES]
    return [told[i] for i in sorted(chosen)]


def _measured(each: Evidence) -> Sequence[str]:
    if each.context:
        return _sentence(each), _number(each.value), "", "against it"
    value, least = (_number(number) for number in (each.value, each.threshold))
    if value == least and not each.supports:  # by less than is shown
        value, least = f"{each.value:.4g}", f"{each.threshold:.4g}"
    return _sentence(each), value, least, "speaks for it" if each.supports else "no"


def _sentence(each: Evidence) -> str:
    words = each.note or each.signal
    return words[:1].upper() + words[1:]


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.2f}"


def _spot(point: FloatArray, place: Place) -> tuple[float, float]:
    left, top, w, h = place
    return left + float(point[0]) * w, top + float(point[1]) * h


def _shaped(square: UInt8Array, w: int, h: int) -> UInt8Array:
    """Give a square drawing the shape of the original."""
    size = (max(1, round(_SIDE_PX * min(1, w / h))), max(1, round(_SIDE_PX * min(1, h / w))))
    return np.asarray(cv2.resize(square, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
