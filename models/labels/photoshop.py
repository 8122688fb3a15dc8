"""Family: steps of generative editing in the histories that Adobe's programs write.

`photoshop:History` is the history log (in the language of the user), `xmpMM:History` the
list of save events, and `crs:` the retouching steps of Camera Raw and Lightroom.
"""

import re
from collections.abc import Iterator

from models.labels.label import LabelHow, LabelSignal, LabelState, LabelTrust, Mark, clipped
from models.labels.survey import Layer, Survey

HISTORY_FIELDS = {
    "photoshop:History",
    "stEvt:action",
    "stEvt:parameters",
    "stEvt:softwareAgent",
    "crs:SpotType",
    "crs:Method",
}
_STEP = re.compile(
    r"generative (?:fill|expand|remove|upscale|layer|workspace|recolou?r|background)"
    r"|generate (?:image|background|similar)|\bfirefly\b"
    r"|生成式(?:填充|扩展|移除)|生成塗りつぶし|生成拡張|생성형 (?:채우기|확장)"
    r"|generative füllung|generatives (?:füllen|erweitern)|remplissage génératif"
    r"|extension générative"
    r"|relleno generativo|riempimento generativo|preenchimento generativo",
    re.IGNORECASE,
)
_WINDOW = 1 << 16


def read(survey: Survey) -> Iterator[LabelSignal]:
    """Signals of generative steps; at most one for each kind of history."""
    seen: set[str] = set()
    for field in survey.fields:
        if field.layer is not Layer.XMP or field.name not in HISTORY_FIELDS or field.name in seen:
            continue
        match = _STEP.search(field.text, 0, _WINDOW)
        if match:
            seen.add(field.name)
            start = max(0, match.start() - 40)
            yield LabelSignal(
                Mark.PHOTOSHOP_GENERATIVE,
                field.place,
                LabelTrust.TRACE,
                clipped(field.text[start : match.end() + 80]),
                f"The editing history has a step of generative AI: {match[0]}.",
                LabelState.SUSPECTED,
                LabelHow.EDITED,
            )
