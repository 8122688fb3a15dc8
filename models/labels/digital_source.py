"""Family: IPTC `DigitalSourceType`, and the AI fields of IPTC 2025.1."""

from collections.abc import Iterator

from models.labels.label import LabelHow, LabelSignal, LabelState, LabelTrust, Mark, clipped
from models.labels.source_types import source_type
from models.labels.survey import Layer, Survey

SOURCE_TYPE_NAMES = {
    "Iptc4xmpExt:DigitalSourceType",
    "Iptc4xmpExt:DigitalSourcefileType",  # the name of 2008
    "Iptc4xmpExt:DigitalSourceFileType",
}
AI_FIELDS = {
    "Iptc4xmpExt:AISystemUsed": "names the AI system that was used",
    "Iptc4xmpExt:AISystemVersionUsed": "names the version of the AI system that was used",
    "Iptc4xmpExt:AIPromptInformation": "holds the prompt that was given to an AI system",
    "Iptc4xmpExt:AIPromptWriterName": "names who wrote the prompt for an AI system",
}


def read(survey: Survey) -> Iterator[LabelSignal]:
    """Signals of the IPTC properties in XMP."""
    for field in survey.fields:
        if field.layer is not Layer.XMP:
            continue
        if field.name in SOURCE_TYPE_NAMES:
            kind = source_type(field.text)
            if kind:
                yield LabelSignal(
                    Mark.IPTC_DIGITAL_SOURCE_TYPE,
                    field.place,
                    LabelTrust.SELF_DECLARED,
                    clipped(field.text),
                    f"IPTC metadata says: {kind.words}.",
                    kind.state,
                    kind.how,
                )
        elif field.name in AI_FIELDS:
            yield LabelSignal(
                Mark.IPTC_AI,
                field.place,
                LabelTrust.SELF_DECLARED,
                clipped(field.text),
                f"IPTC metadata {AI_FIELDS[field.name]}.",
                LabelState.GENERATED,
                LabelHow.UNKNOWN,
            )
