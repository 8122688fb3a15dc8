"""The signals that are weighed for one listing and one original, as plain numbers.

Each is a number with a direction and a sentence. A signal that could not be measured is NaN,
never zero: the calibrated score knows the difference. The names are those of the stored
model, of `Evidence.signal` and of `scripts/evaluate.py`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from service.matching.dense import Agreement
from service.matching.geometry import Fit
from service.matching.poses import Pose

MISSING = math.nan
ONE_EXPOSURE = 0.08
"""Detail that lies nearer to its place than this, of 128 pixels, is that of one photograph: so it
does in 37 of 40 parts of photographs that were compared with the whole, saved anew."""
STEADY = 0.6
"""From this share of the detail on that one map lays on its place, parallax says nothing against a
copy. Where less of it lies there, another photograph is thought of."""
PHOTOGRAPHED_INLIERS = 12
"""From so many key points on that agree, the detail is that of a photograph of the same thing."""
MANY_INLIERS = 60
"""So many key points agree where hardly anything was done to a photograph but to its size, colours
or frame; or where most of a scene stands as it stood when it was photographed before."""

OWN_DETAIL, SIBLINGS_DETAIL = "own_detail", "siblings_detail"
"""The names of the signals that are measured among siblings; see `service.matching.among`."""

PLACED = "placed"
"""The name of the signal of what key points alone have found; see `service.matching.placing`."""


@dataclass(frozen=True, slots=True)
class Signal:
    """What one number means.

    Attributes:
        name: as in the stored model.
        direction: `up`: more speaks for a copy, never against; `down`: never for it; `free`:
            context that tells how much the others mean.
        supports_from: from here on it speaks for a copy by itself, for a reader.
        says: the sentence for a person; `{value}` is filled in.
    """

    name: str
    direction: Literal["up", "down", "free"]
    supports_from: float
    says: str


CHEAP = (
    Signal("sscd_cosine", "up", 0.75, "copy descriptor similarity {value:.2f}"),
    Signal(
        "sscd_excess",
        "up",
        0.30,
        "copy descriptor similarity {value:+.2f} against that with unrelated pictures",
    ),
    Signal("sscd_ordinary", "free", 0.0, "the original is {value:.2f} alike to unrelated pictures"),
    Signal("layout_cosine", "up", 0.60, "edges lie in the same places, {value:.2f} of 1"),
    Signal(
        "layout_excess",
        "up",
        0.30,
        "edges in the same places: {value:+.2f} against unrelated pictures",
    ),
    Signal(
        "layout_ordinary",
        "free",
        0.0,
        "edges of the original lie {value:.2f} as in unrelated pictures",
    ),
    Signal("pdq_agreement", "up", 1 - 31 / 256, "{value:.0%} of the PDQ hash agrees"),
    Signal("phash_agreement", "up", 1 - 10 / 64, "{value:.0%} of the pHash agrees"),
    Signal("clip_cosine", "up", 0.90, "CLIP similarity {value:.2f}"),
    Signal(
        "clip_excess",
        "up",
        0.25,
        "CLIP similarity {value:+.2f} against that with unrelated pictures",
    ),
)
"""Known for every candidate, from vectors alone."""

GLANCED = (
    Signal("correlation", "up", 0.60, "the compositions correlate at {value:.2f}"),
    Signal(
        "glance",
        "up",
        25.0,
        "at first look, edges fit here by {value:.0f} standard deviations better than elsewhere",
    ),
)
"""Measured for the candidates that could be copies by their vectors."""

POINTED = (
    Signal("inliers", "up", 12.0, "{value:.0f} matched points agree on one geometry"),
    Signal("inlier_share", "free", 0.4, "{value:.0%} of the matched points agree"),
)
"""Measured for the candidates that could be copies at a first look."""

CONTEXT = (
    Signal(
        "sibling_agreement",
        "down",
        0.0,
        "{value:.0%} of the PDQ hash agrees with that of another original, which is no copy of it",
    ),
)
"""Known from the vectors of the candidates among themselves: how much the other signals mean."""

VERIFIED = (
    Signal("edges", "up", 0.60, "aligned edges agree at {value:.2f}"),
    Signal("edges_all", "up", 0.50, "aligned edges agree at {value:.2f} over all of the original"),
    Signal("tight", "up", 0.50, "{value:.0%} of the shared detail agrees very closely"),
    Signal("tones", "up", 0.60, "grey values correlate at {value:.2f}"),
    Signal("covered", "free", 0.0, "{value:.0%} of the original's detail is in the listing"),
    Signal("subject_edges", "up", 0.60, "aligned edges of the subject agree at {value:.2f}"),
    Signal(
        "residual",
        "down",
        0.0,
        "half of the detail lies up to {value:.2f} of 128 pixels beside its place",
    ),
    Signal("steady", "up", 0.80, "{value:.0%} of the detail lies in its place, all moved alike"),
    Signal(
        "parallax",
        "down",
        0.0,
        "key points agree, and however one picture is laid on the other, {value:.0%} of the detail "
        "lies beside its place",
    ),
    Signal(
        "beyond",
        "down",
        0.0,
        "the scene goes on beyond the sides of the original, where both show the same up to them, "
        "without a seam in {value:.0%} of the places",
    ),
    Signal(
        "rearranged",
        "down",
        0.0,
        "many key points agree, and {value:.0%} of the detail between them is not the original's",
    ),
    Signal(
        "fit",
        "up",
        40.0,
        "edges fit in this place by {value:.0f} standard deviations better than in others",
    ),
    Signal(
        "subject_fit",
        "up",
        30.0,
        "the product's edges fit in this place by {value:.0f} standard deviations better than in "
        "others",
    ),
)
"""Measured for the candidates that are verified."""

FOUND = (
    Signal(
        PLACED,
        "down",
        1.0,
        "found by its key points, on {value:.0%} of the listing; the rest need not be of it",
    ),
)
"""Of what the vectors of a listing and of its parts do not propose: it limits likewise."""

AMONG = (
    Signal(
        OWN_DETAIL,
        "up",
        0.75,
        "where the original differs from another much like it, {value:.0%} as much agrees as "
        "elsewhere",
    ),
    Signal(
        SIBLINGS_DETAIL,
        "down",
        1.0,
        "where another original of the brand differs from this one, {value:.0%} as much agrees "
        "with that one as elsewhere",
    ),
)
"""Measured last, of an original that has siblings: they limit what all others can say."""

MANNER = (
    Signal("ground_edges", "free", 0.60, "aligned edges of the background agree at {value:.2f}"),
)
"""Measured likewise; it tells how a copy was made, not whether it is one."""

SIGNALS: Mapping[str, Signal] = {
    signal.name: signal
    for signal in (*CHEAP, *GLANCED, *POINTED, *CONTEXT, *VERIFIED, *FOUND, *AMONG, *MANNER)
}


def glanced(pose: Pose, standing: float) -> dict[str, float]:
    """The numbers of a candidate that was glanced at.

    Args:
        pose: the best pose by layout.
        standing: how far the edges stand out under the best map, see `dense.standing`.
    """
    return {"correlation": pose.correlation, "glance": standing}


def pointed(fit: Fit | None) -> dict[str, float]:
    """The numbers of a candidate whose key points were matched.

    Args:
        fit: the best geometry of key points; None when there is none.
    """
    return {
        "inliers": float(fit.inliers) if fit else 0.0,
        "inlier_share": fit.inliers / fit.matches if fit else 0.0,
    }


def share_there(tight: float, subject_edges: float) -> float:
    """How much of the detail is the original's, by the signals of these names.

    Where another ground was put behind a subject, the subject is there. It may fill the picture, or
    be too small to be measured: NaN.
    """
    return float(np.fmax(tight, subject_edges))


def off_the_map(agreement: Agreement, fit: Fit) -> bool:
    """Whether key points agree as on a photograph, and its detail lies beside the one map."""
    return fit.inliers >= PHOTOGRAPHED_INLIERS and agreement.steady < STEADY


def verified(agreement: Agreement, fit: Fit | None, beyond: float) -> dict[str, float]:
    """The numbers of a verified candidate.

    Args:
        agreement: under the map that is believed.
        fit: the best geometry of key points; None when there is none.
        beyond: see `borders.beyond`; NaN where it could not be measured.
    """
    # Where no key points agree it is drawn anew, and strokes lie beside what they stand for.
    inliers = fit.inliers if fit else 0
    there = share_there(agreement.tight, agreement.subject_edges)
    return {
        "edges": agreement.edges,
        "edges_all": agreement.edges_all,
        "tight": agreement.tight,
        "tones": agreement.tones,
        "covered": agreement.covered,
        "subject_edges": agreement.subject_edges,
        "residual": agreement.residual,
        "steady": agreement.steady,
        "parallax": 1 - agreement.steady if inliers >= PHOTOGRAPHED_INLIERS else MISSING,
        "beyond": beyond,
        "rearranged": 1 - there if inliers >= MANY_INLIERS else MISSING,
        "fit": agreement.fit,
        "subject_fit": agreement.subject_fit,
        "ground_edges": agreement.ground_edges,
    }
