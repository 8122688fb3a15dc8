"""Deciding: from a score and an alignment to a kind, a verdict and the words for both."""

from collections.abc import Collection, Mapping

from service.matching.edits import NOISE_LEVELS, replaced, stretched
from service.matching.results import (
    Alignment,
    Edit,
    EditType,
    Evidence,
    Match,
    MatchKind,
    Verdict,
)
from service.matching.score import CopyModel, ScoreModel
from service.matching.siblings import ABSENT
from service.matching.signals import OWN_DETAIL, SIGNALS, Signal
from service.matching.study import Study

RESTYLED_FROM = 0.5
_PART = 0.5
_NEARLY_ALL = 0.85
_FINE, _MIDDLE, _DETAIL = 0.45, 0.66, (0.3, 1.8)
"""Measured on edited and restyled pictures: single edits follow their original at 0.46 or more in
the finest detail; style transfers, as a rule, at 0.05 to 0.25, and below 0.55 in the middle."""
_NOWHERE = (0.45, 0.45, 0.4)
"""Noise hides the finest detail and not the broader: of 1,000 edited pictures none follows its
original at less in all three sizes, and of pencil drawings all do."""

_REPAINTED, _REPAINTED_AREA = 3, 0.03
"""Places with other colours within the same outlines, and their share of the picture."""
_STROKES, _BROUGHT = 3, (0.75, 0.5)
"""Places with strokes, and the energy of new detail beside that of the original's: of the finest
detail, which outlines bring, or of the next."""
_CLIPPED, _GRAIN = 0.12, 0.93
"""Cartoons have 0.08 or less of the one, and follow the finest detail at 0.92 or less; what only
changes colours has more of both."""

_DROWNED_LEVELS, _DROWNED_PX = 10.0, 1.5
"""Noise or blur in which the detail is lost, so that nothing tells whose it was."""

_SMALL_PX, _SAME = 130, 0.8
"""Edges are compared at 128 pixels, where a thumbnail that is enlarged to it has none of its own.
What its pixels show is compared at its own size: thumbnails follow their original at 0.82 and
more, in every size of detail."""

_BESIDE = {
    "parallax": (0.5, "what is nearer lies elsewhere, as seen from another place"),
    "beyond": (0.55, "it goes on showing the place beyond the sides of the original"),
    "rearranged": (0.55, "much of what lies between the points that agree is not the original's"),
}
"""From which value on a signal speaks for another photograph, which at most one copy in a hundred
has, and how that is said."""

_KIND_WORDS = {
    MatchKind.EXACT: "is the same picture as",
    MatchKind.NEAR_DUPLICATE: "is a slightly changed copy of",
    MatchKind.EDITED: "is an edited copy of",
    MatchKind.PARTIAL: "contains or is cut out of",
    MatchKind.RESTYLED: "shows the same composition, drawn anew, as",
}
DOUBT = "A person should look at it."
"""How the sentence of a REVIEW ends."""


def kind_of(
    values: Mapping[str, float],
    restyle: float,
    alignment: Alignment | None,
    seen: Study | None = None,
) -> MatchKind:
    """Name how a listing was made from an original.

    Args:
        values: the signals.
        restyle: probability that it was drawn anew, given that it is a copy.
        alignment: where the original lies in it.
        seen: what was measured of the pair; None when it was not looked at so closely.
    """
    if alignment is None:
        return MatchKind.RESTYLED if restyle >= RESTYLED_FROM else MatchKind.EDITED
    if alignment.listing_overlap < _PART or alignment.original_overlap < _PART:
        return MatchKind.PARTIAL
    if from_beside(values) or (seen is not None and seen.mixed is not None):
        return MatchKind.EDITED
    if seen is not None and (redrawn(seen) or replaced(seen)):
        return MatchKind.RESTYLED
    whole = min(alignment.listing_overlap, alignment.original_overlap) >= _NEARLY_ALL
    straight = abs(alignment.rotation_deg) % 90 < 2 or abs(alignment.rotation_deg) % 90 > 88
    untouched = seen is None or not (seen.changes.patches or seen.bent or stretched(seen))
    thumbnail = seen is not None and _thumbnail(seen)
    if whole and straight and untouched and (thumbnail or values.get("tight", 0.0) >= 0.9):
        return MatchKind.NEAR_DUPLICATE
    drowned = seen is not None and (
        seen.texture.noise >= _DROWNED_LEVELS or seen.texture.blur_px >= _DROWNED_PX
    )
    likely = restyle >= RESTYLED_FROM and not drowned and not thumbnail
    return MatchKind.RESTYLED if likely else MatchKind.EDITED


def _thumbnail(seen: Study) -> bool:
    """Whether it is so small that edges say little, and all that it shows is the original's."""
    small = max(seen.laid.original.shape[:2]) < _SMALL_PX
    return small and all(share >= _SAME for share in seen.look.follows)


def from_beside(values: Mapping[str, float]) -> str:
    """The signal by which two pictures agree as two photographs of one thing do; empty for none.

    What is nearer moves more between them, so that no one map lays all of one on the other; or
    one shows what lies beyond the other's sides, which no copy can; or things were moved.
    """
    return next((name for name in _BESIDE if values.get(name, 0.0) > _BESIDE[name][0]), "")


def of_a_sibling(values: Mapping[str, float]) -> bool:
    """Whether what sets the original apart from one much like it is not there, or is hidden."""
    return values.get(OWN_DETAIL, 1.0) < ABSENT


def redrawn(seen: Study) -> bool:
    """Whether the detail is there, as strong as it was, and is not the original's.

    Blur leaves no detail and noise adds some that is white; what is left under both goes on
    following the original's. A hand that draws anew keeps the composition and loses the rest. A
    cartoon follows every line, and has other colours between them in place after place.
    """
    # A negative follows its original too, the other way round.
    fine, middle, broad = (abs(share) for share in seen.look.follows)
    painted = [each.area for each in seen.changes.patches if each.change == "repainted"]
    # Colours too bright or too dark to be stored are other colours too, and a blur mixes them.
    lost = seen.clipped >= _CLIPPED or seen.texture.blur_px >= _DROWNED_PX
    elsewhere = len(painted) >= _REPAINTED and sum(painted) >= _REPAINTED_AREA
    if elsewhere and not lost and fine < _GRAIN:
        return True
    # Strokes in place after place, and much detail in all that is none of the original's.
    strokes = sum(p.change == "added" and p.form == "text" for p in seen.changes.patches)
    fine_strength, strength, _ = seen.look.strength
    brought = (1 - fine**2) * fine_strength**2, (1 - middle**2) * strength**2
    much = any(energy >= least for energy, least in zip(brought, _BROUGHT, strict=True))
    if strokes >= _STROKES and much and seen.texture.noise < _DROWNED_LEVELS:
        return True
    nowhere = all(share < most for share, most in zip((fine, middle, broad), _NOWHERE, strict=True))
    if nowhere and strength >= _DETAIL[0] and seen.texture.blur_px < _DROWNED_PX:
        return True
    strong = _DETAIL[0] <= strength <= _DETAIL[1]
    return strong and seen.texture.noise < NOISE_LEVELS and fine < _FINE and middle < _MIDDLE


def verdict_of(score: float, thresholds: Mapping[str, float]) -> Verdict:
    """Apply a policy's thresholds to a calibrated score."""
    if score >= thresholds["copy"]:
        return Verdict.COPY
    return Verdict.REVIEW if score >= thresholds["review"] else Verdict.CLEAR


def identical(key: int, original: str, brand: str, name: str) -> Match:
    """The match of a picture with itself.

    Args:
        key: of the original, 0 when it is in no catalogue.
        original: its resource name, empty likewise.
        brand: the brand's, empty likewise.
        name: what a person calls it.
    """
    whole = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    words = "the decoded pixels or the bytes are the same"
    return Match(
        key=key,
        original=original,
        brand=brand,
        kind=MatchKind.EXACT,
        verdict=Verdict.COPY,
        score=1.0,
        evidence=(Evidence("pixel_digest", 1.0, 1.0, True, words),),
        alignment=Alignment(
            homography=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
            original_overlap=1.0,
            listing_overlap=1.0,
            mirrored=False,
            rotation_deg=0.0,
            listing_region=whole,
            original_region=whole,
        ),
        note=sentence(MatchKind.EXACT, Verdict.COPY, name, 1.0),
    )


def evidence_of(values: Mapping[str, float], model: ScoreModel | CopyModel) -> tuple[Evidence, ...]:
    """Every signal that was measured, the weightiest first."""
    shares = model.contributions(values)
    found = [
        _evidence(SIGNALS[name], float(value))
        for name, value in values.items()
        if name in SIGNALS and value == value
    ]
    return tuple(sorted(found, key=lambda each: (-shares.get(each.signal, 0.0), each.signal)))


def _evidence(signal: Signal, value: float) -> Evidence:
    context = signal.direction != "up"
    return Evidence(
        signal=signal.name,
        value=value,
        threshold=0.0 if context else signal.supports_from,
        supports=not context and value >= signal.supports_from,
        note=signal.says.format(value=value),
        context=context,
    )


def sentence(
    kind: MatchKind,
    verdict: Verdict,
    original: str,
    score: float,
    placed: Alignment | None = None,
    edits: Collection[Edit] = (),
    *,
    beside: str = "",
    sibling: bool = False,
) -> str:
    """One sentence that a seller or a court can read.

    Args:
        kind: how the listing was made.
        verdict: what was decided.
        original: what a person calls the original.
        score: that of the match.
        placed: where the original lies, which tells a part from the whole.
        edits: what was done to it.
        beside: what speaks for another photograph of the same thing, see `from_beside`.
        sibling: whether it may show another of the kind, see `of_a_sibling`.
    """
    doubt = f" {DOUBT}" if verdict is Verdict.REVIEW else ""
    seems = "seems to" if verdict is Verdict.CLEAR else "may"
    if sibling:
        return (
            f"The listing picture {seems} show another of the kind of {original}: they agree in "
            "what that has in common with another original, and what sets it apart is not there, "
            f"or hidden (score {score:.2f}).{doubt}"
        )
    if beside:
        return (
            f"The listing picture {seems} be another photograph of what {original} shows: they "
            f"agree in most, and {_BESIDE[beside][1]} (score {score:.2f}).{doubt}"
        )
    if verdict is Verdict.CLEAR:
        return f"Compared with {original}: too little speaks for a copy (score {score:.2f})."
    words = _KIND_WORDS[kind]
    if kind is MatchKind.PARTIAL and placed is not None:
        within = placed.listing_overlap < placed.original_overlap
        words = "contains a copy of" if within else "is cut out of"
    if any(edit.type is EditType.BACKGROUND_REPLACED for edit in edits):
        words = "shows, before another background, the product of"
    return f"The listing picture {words} {original} (score {score:.2f}).{doubt}"
