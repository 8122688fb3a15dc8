"""What a check or a comparison answers: verdicts, matches and their evidence.

Plain frozen values, in the words of the protos; `service.rpc.convert` is their only
translator. Coordinates are fractions of a picture's width and height, (0, 0) top left, so
that they hold for any rendition of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Point = tuple[float, float]
Quad = tuple[Point, Point, Point, Point]
"""Four corners, clockwise from the top left of the *original*, as fractions."""


class Verdict(StrEnum):
    """What the listing pipeline does with a picture.

    In a listing COPY outranks REVIEW, AUTHORISED and CLEAR, in this order.
    """

    CLEAR = "CLEAR"
    REVIEW = "REVIEW"
    COPY = "COPY"
    AUTHORISED = "AUTHORISED"


class MatchKind(StrEnum):
    """How a listing picture was made from an original."""

    EXACT = "EXACT"
    NEAR_DUPLICATE = "NEAR_DUPLICATE"
    EDITED = "EDITED"
    PARTIAL = "PARTIAL"
    RESTYLED = "RESTYLED"


class EditType(StrEnum):
    """One thing that was done to the original, as measured from the aligned pair."""

    MIRRORED = "MIRRORED"
    ROTATED = "ROTATED"
    CROPPED = "CROPPED"
    FRAMED = "FRAMED"
    PERSPECTIVE = "PERSPECTIVE"
    SCALED = "SCALED"
    STRETCHED = "STRETCHED"
    RECOLOURED = "RECOLOURED"
    GREYSCALE = "GREYSCALE"
    BLURRED = "BLURRED"
    SHARPENED = "SHARPENED"
    NOISE_ADDED = "NOISE_ADDED"
    RECOMPRESSED = "RECOMPRESSED"
    OVERLAY_ADDED = "OVERLAY_ADDED"
    OVERLAY_REMOVED = "OVERLAY_REMOVED"
    BACKGROUND_REPLACED = "BACKGROUND_REPLACED"
    EMBEDDED = "EMBEDDED"
    RESTYLED = "RESTYLED"
    SUBJECT_RECOLOURED = "SUBJECT_RECOLOURED"
    SUBJECT_CHANGED = "SUBJECT_CHANGED"
    BENT = "BENT"


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle in fractions of the listing picture."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """One signal that was weighed.

    Attributes:
        signal: name of the signal, e.g. `sscd_cosine`, `inliers`.
        value: what was measured, in the signal's own unit; higher is more alike.
        threshold: the value from which this signal alone counts as support; 0 for context.
        supports: whether the signal speaks for a copy.
        note: the same in words for a person who does not know the field.
        context: whether it is no evidence by itself and tells how much the others mean.
    """

    signal: str
    value: float
    threshold: float
    supports: bool
    note: str = ""
    context: bool = False


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where the original lies in the listing picture.

    Attributes:
        homography: nine numbers, row-major, taking fractional coordinates of the listing
            picture to fractional coordinates of the original.
        original_overlap: share of the original that is visible in the listing, in [0, 1].
        listing_overlap: share of the listing that the original covers, in [0, 1].
        mirrored: whether the original was mirrored left to right before `rotation_deg`.
        rotation_deg: clockwise turn of the original in the listing, (-180, 180].
        listing_region: the original's corners in the listing picture.
        original_region: the corners of the visible part, in the original.
    """

    homography: tuple[float, ...]
    original_overlap: float
    listing_overlap: float
    mirrored: bool
    rotation_deg: float
    listing_region: Quad
    original_region: Quad


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit, in words and in numbers.

    Attributes:
        type: what was done.
        amount: how much; the protos name the unit of each type.
        description: the edit in words, e.g. "cropped to 62 %".
        region: where in the listing picture, when the edit has a place.
        misleads_buyer: whether it changes what the product looks like (shape, colour, parts).
    """

    type: EditType
    amount: float
    description: str
    region: Box | None = None
    misleads_buyer: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """One original that a listing picture was compared with and found alike.

    Attributes:
        key: the original's row key in the catalogue (0 in a comparison of two pictures).
        original: resource name `brands/{brand}/originals/{original}`.
        brand: resource name `brands/{brand}`.
        kind: how the listing was made from it.
        verdict: what this match alone would lead to.
        score: calibrated probability that the listing is a copy of this original, in [0, 1].
        evidence: every signal that was weighed, strongest first.
        alignment: present when the two pictures could be laid over each other.
        edits: what was done to the original.
        note: one sentence that a seller or a court can read.
        licence: resource name of the licence that covers it; empty when there is none, and for
            the brand's own sellers.
    """

    key: int
    original: str
    brand: str
    kind: MatchKind
    verdict: Verdict
    score: float
    evidence: tuple[Evidence, ...]
    alignment: Alignment | None = None
    edits: tuple[Edit, ...] = ()
    note: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """How one picture is to be checked.

    Attributes:
        brands: brand ids to look among, or `AllBut` some; empty means all.
        max_matches: at most this many matches in the answer, 1..50.
        thorough: search every view of the picture instead of stopping when the first pass
            is decided; slower, for sweeps and appeals.
        policy: name of the policy (`strict`, `balanced`, `recall`); empty is the server's.
        min_score: also answer matches scored below the review threshold, from this score on,
            in [0, 1]; None answers only those that reach REVIEW. Verdicts do not depend on it.
    """

    brands: frozenset[str] = frozenset()
    max_matches: int = 10
    thorough: bool = False
    policy: str = ""
    min_score: float | None = None


@dataclass(frozen=True, slots=True)
class ImageVerdict:
    """The answer for one listing picture.

    Attributes:
        verdict: the highest verdict of the matches, `CLEAR` when there are none.
        matches: best first, at most `CheckOptions.max_matches`.
        note: why, in one sentence; e.g. that the picture is blank.
        steps_ms: milliseconds of each step, by name, in order.
        print: what is kept of the picture's fingerprint (`models.print_record`), so that the
            verdict can be replayed; empty for CLEAR, and where the digests alone decided.
    """

    verdict: Verdict
    matches: tuple[Match, ...] = ()
    note: str = ""
    steps_ms: Mapping[str, float] = field(default_factory=dict)
    print: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The answer for two pictures: the second is taken as the original.

    `match` is always present, whatever its verdict, so that "not a copy" is explained too.
    """

    match: Match
    evidence_png: bytes = b""
    steps_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Provenance:
    """What an answer was computed with, enough to replay it.

    Attributes:
        snapshot: id of the index snapshot and the change-log sequence it was searched at.
        schema: fingerprint schema id.
        encoders: `name@digest` of each encoder, and `clip: off (reason)` when it is off.
        policy: `name@version` of the policy.
        model: `name@digest` of the score model.
        calibration: `calibration@digest` of the marketplace's own; empty without one.
    """

    snapshot: str
    schema: str
    encoders: tuple[str, ...]
    policy: str
    model: str
    calibration: str = ""
