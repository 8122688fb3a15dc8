"""The digital source types of IPTC and C2PA that speak of AI, old and new names.

One vocabulary for two marks: XMP `Iptc4xmpExt:DigitalSourceType` and the actions of a C2PA
manifest use the same URIs.
"""

import re
from dataclasses import dataclass

from models.labels.label import LabelHow, LabelState

IPTC_BASE = "http://cv.iptc.org/newscodes/digitalsourcetype/"

_URI = re.compile(
    r"(?:https?://(?:cv\.iptc\.org/newscodes|c2pa\.org)/(?:digitalsourcetype|digsrctype)/"
    r"|(?:digsrctype|digitalsourcetype):)?([A-Za-z]{4,60})/?$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class SourceType:
    """What one digital source type means for a label.

    `compositeSynthetic` and the two `algorithmic` types are POSSIBLY: their definitions cover
    computer graphics and plain algorithms as well as AI.
    """

    term: str
    state: LabelState
    how: LabelHow
    words: str


_TYPES = {
    kind.term.lower(): kind
    for kind in (
        SourceType(
            "trainedAlgorithmicMedia",
            LabelState.GENERATED,
            LabelHow.FULLY_GENERATED,
            "made by a generative AI model",
        ),
        SourceType(
            "compositeWithTrainedAlgorithmicMedia",
            LabelState.GENERATED,
            LabelHow.COMPOSITE,
            "edited with generative AI, or composed with parts made by it",
        ),
        SourceType(
            "trainedAlgorithmicData",
            LabelState.GENERATED,
            LabelHow.FULLY_GENERATED,
            "data made by a generative AI model",
        ),
        SourceType(
            "compositeSynthetic",
            LabelState.POSSIBLY,
            LabelHow.COMPOSITE,
            "composed with synthetic parts, AI or computer graphics",
        ),
        SourceType(
            "algorithmicMedia",
            LabelState.POSSIBLY,
            LabelHow.FULLY_GENERATED,
            "made by an algorithm, trained or not",
        ),
        SourceType(
            "algorithmicallyEnhanced",
            LabelState.POSSIBLY,
            LabelHow.ENHANCED,
            "enhanced by an algorithm, trained or not",
        ),
    )
}


def source_type(value: str) -> SourceType | None:
    """The AI meaning of a digital source type, or None when it has none.

    Args:
        value: a URI of IPTC or C2PA (http or https), a `digsrctype:` code, or the bare term.
    """
    match = _URI.match(value.strip()[:200])
    return _TYPES.get(match[1].lower()) if match else None


def uri_for(how: LabelHow) -> str | None:
    """The URI to write for how AI took part; None when that is not known."""
    term = {
        LabelHow.FULLY_GENERATED: "trainedAlgorithmicMedia",
        LabelHow.COMPOSITE: "compositeWithTrainedAlgorithmicMedia",
        LabelHow.EDITED: "compositeWithTrainedAlgorithmicMedia",
        LabelHow.ENHANCED: "algorithmicallyEnhanced",
    }.get(how)
    return IPTC_BASE + term if term else None
