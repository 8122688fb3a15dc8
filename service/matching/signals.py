"""The signals that are weighed for one listing and one original, as plain numbers.

Each is a number with a direction and a sentence. A signal that could not be measured is NaN,
never zero: the calibrated score knows the difference. The names are those of the stored
model, of `Evidence.signal` and of `scripts/evaluate.py`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from service.matching.dense import Agreement
from service.matching.geometry import Fit
from service.matching.poses import Pose

MISSING = math.nan


@dataclass(frozen=True, slots=True)
class Signal:
    """What one number means.

    Attributes:
        name: as in the stored model.
        direction: `up`: more speaks for a copy, never against; `free`: context that tells how
            much the others mean.
        supports_from: from here on it speaks for a copy by itself, for a reader.
        says: the sentence for a person; `{value}` is filled in.
    """

    name: str
    direction: Literal["up", "free"]
    supports_from: float
    says: str


CHEAP = (
    Signal("sscd_cosine", "up", 0.75, "copy descriptor similarity {value:.2f}"),
    Signal(
        "sscd_excess",
        "up",
        0.30,
        "{value:.2f} more alike than the listing is to unrelated pictures",
    ),
    Signal("sscd_ordinary", "free", 0.0, "the original is {value:.2f} alike to unrelated pictures"),
    Signal("layout_cosine", "up", 0.60, "edges lie in the same places: {value:.2f}"),
    Signal(
        "layout_excess",
        "up",
        0.30,
        "edges lie alike by {value:.2f} more than in unrelated pictures",
    ),
    Signal("pdq_agreement", "up", 1 - 31 / 256, "{value:.0%} of the PDQ hash agrees"),
    Signal("phash_agreement", "up", 1 - 10 / 64, "{value:.0%} of the pHash agrees"),
    Signal("clip_cosine", "up", 0.90, "CLIP similarity {value:.2f}"),
    Signal(
        "clip_excess",
        "up",
        0.25,
        "{value:.2f} more CLIP-alike than the listing is to unrelated pictures",
    ),
)
"""Known for every candidate, from vectors alone."""

VERIFIED = (
    Signal("correlation", "up", 0.60, "the compositions correlate at {value:.2f}"),
    Signal(
        "sharpness",
        "up",
        12.0,
        "the compositions fit at one place only, {value:.0f} deviations above all others",
    ),
    Signal("inliers", "up", 12.0, "{value:.0f} matched points agree on one geometry"),
    Signal("inlier_share", "up", 0.4, "{value:.0%} of the matched points agree"),
    Signal("edges", "up", 0.60, "aligned edges agree at {value:.2f}"),
    Signal("edges_all", "up", 0.50, "aligned edges agree at {value:.2f} over all of the original"),
    Signal("close", "up", 0.70, "{value:.0%} of the shared detail agrees closely"),
    Signal("tight", "up", 0.50, "{value:.0%} of the shared detail agrees very closely"),
    Signal("signed", "up", 0.60, "light and dark sides of edges agree at {value:.2f}"),
    Signal(
        "signed_close",
        "up",
        0.70,
        "light and dark sides agree closely on {value:.0%} of the shared detail",
    ),
    Signal("tones", "up", 0.60, "grey values correlate at {value:.2f}"),
    Signal("gain", "up", 0.40, "aligned edges agree {value:.2f} better here than a few pixels off"),
    Signal("covered", "free", 0.0, "{value:.0%} of the original's detail is in the listing"),
    Signal("subject_edges", "up", 0.60, "aligned edges of the subject agree at {value:.2f}"),
    Signal("ground_edges", "free", 0.60, "aligned edges of the background agree at {value:.2f}"),
)
"""Measured for the candidates that are verified."""

SIGNALS: Mapping[str, Signal] = {signal.name: signal for signal in (*CHEAP, *VERIFIED)}


def verified(pose: Pose, fit: Fit | None, agreement: Agreement) -> dict[str, float]:
    """The numbers of a verified candidate.

    Args:
        pose: the best pose by layout.
        fit: the best geometry of key points; None when there is none.
        agreement: under the better of the two maps.
    """
    return {
        "correlation": pose.correlation,
        "sharpness": pose.sharpness,
        "inliers": float(fit.inliers) if fit else 0.0,
        "inlier_share": fit.inliers / fit.matches if fit else 0.0,
        "edges": agreement.edges,
        "edges_all": agreement.edges_all,
        "close": agreement.close,
        "tight": agreement.tight,
        "signed": agreement.signed,
        "signed_close": agreement.signed_close,
        "tones": agreement.tones,
        "gain": agreement.edges - agreement.chance,
        "covered": agreement.covered,
        "subject_edges": agreement.subject_edges,
        "ground_edges": agreement.ground_edges,
    }
