"""Family: the implicit label of GB 45438-2025 (key `AIGC`), wherever writers put it.

The official place is the XMP property `TC260:AIGC` (TC260-PG-20258A). Seen as well: a PNG
text chunk `AIGC`, EXIF `UserComment` and `ImageDescription`, a bare `AIGC{...}` in a JPEG
segment, a comment; and two relatives, the label of Tencent Cloud with keys of its own and
the export note of ByteDance's editors. Reading is lenient, and says what it forgave.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from models.labels.bounded_json import find_object, inner_object, work_us
from models.labels.budget import US_PER_SEARCHED_CHAR, BlockUnreadable
from models.labels.label import LabelSignal, LabelState, LabelTrust, Mark, clipped
from models.labels.survey import Field, Layer, Survey

KEYS = (
    "Label",
    "ContentProducer",
    "ProduceID",
    "ReservedCode1",
    "ContentPropagator",
    "PropagateID",
    "ReservedCode2",
)
_BY_LOWER = {key.lower(): key for key in KEYS}
_DISTINCT = {"contentproducer", "produceid", "contentpropagator", "propagateid"}
_TENCENT = {"ServiceProvider", "ServiceUser", "ContentId"}
STATES = {"1": LabelState.GENERATED, "2": LabelState.POSSIBLY, "3": LabelState.SUSPECTED}
LABELS = {state: label for label, state in STATES.items()}

_CODE = re.compile(r"(\d{3})(\d)([0-9A-HJ-NPQRTUWXY]{18})([0-9A-Z]{5})")
_BYTEDANCE = re.compile(r'\\?"aigc_(?:label_)?type\\?"\s*:\s*\\?"?([0-9]+)')
_MARKER = re.compile(r"AIGC")
_USCC_CHARS = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def read(survey: Survey) -> Iterator[LabelSignal]:
    """Signals of every GB 45438 label, Tencent label and ByteDance note."""
    loose: list[Field] = []
    for field in survey.fields:
        if (
            field.layer is Layer.XMP
            and field.name.startswith("TC260:")
            and field.name[6:] != "AIGC"
        ):
            loose.append(field)
            continue
        try:
            yield from _field(field, survey)
        except BlockUnreadable as refusal:
            if survey.budget.spent:
                raise
            survey.problem(field.place, f"AIGC label: {refusal.note}")
    if loose:  # the seven keys as properties of their own
        block = {field.name[6:]: field.text for field in reversed(loose)}
        yield label_signal(block, loose[0].place)


def _field(field: Field, survey: Survey) -> Iterator[LabelSignal]:
    text = field.text
    if _named(field):
        survey.budget.charge(work_us(text))
        yield from _block(_aigc(text, 0), field, certain=True)
        return
    survey.budget.charge(US_PER_SEARCHED_CHAR * len(text))
    for count, match in enumerate(_MARKER.finditer(text) if "AIGC" in text else ()):
        if count == 8:
            break
        between = text[match.end() : match.end() + 24]
        if "{" not in between.replace("&quot;", '"'):
            continue
        survey.budget.charge(work_us(text, match.end()))
        signals = list(_block(_aigc(text, match.end()), field, certain=False))
        if signals:
            yield from signals
            return
    if "ServiceProvider" in text:
        survey.budget.charge(work_us(text))
        yield from _block(find_object(text), field, certain=False)
    elif "aigc_" in text:
        yield from _bytedance(field)


def _named(field: Field) -> bool:
    """Whether the field is the label itself, and not a text that holds one."""
    return field.name.upper() == "AIGC" or field.name.endswith((":AIGC", "}AIGC"))


def _aigc(text: str, start: int) -> dict[str, Any] | None:
    """The label's object, out of the wrapper `{"AIGC": {...}}` where it has one."""
    found = find_object(text, start)
    if found is not None and "AIGC" in found:
        return inner_object(found["AIGC"])
    return found


def _block(found: dict[str, Any] | None, field: Field, *, certain: bool) -> Iterator[LabelSignal]:
    if found is None:
        if certain:
            raise BlockUnreadable("there is no JSON object in it")
        return
    lower = {str(key).lower(): value for key, value in found.items()}
    if len(_TENCENT & set(found)) >= 2:
        yield _tencent_signal(found, field.place)
    elif _DISTINCT & set(lower) or (certain and "label" in lower):
        block = {_BY_LOWER[key]: value for key, value in lower.items() if key in _BY_LOWER}
        yield label_signal(block, field.place)
    elif certain:
        raise BlockUnreadable("it has none of the standard's keys")


def label_signal(block: dict[str, Any], place: str) -> LabelSignal:
    """What one label says; `block` maps the standard's keys to values of any type."""
    text = {key: _text(block[key]) for key in KEYS if key in block}
    label = text.get("Label", "").strip()
    producer = text.get("ContentProducer", "")
    notes = []
    if label in STATES:
        state = STATES[label]
        words = {"1": "made by AI", "2": "possibly made by AI", "3": "suspected to be made by AI"}
        notes.append(f"The GB 45438 label says: {words[label]}.")
    elif label:
        state = LabelState.NONE
        notes.append(
            f"The GB 45438 label has the value {clipped(label)[:20]!r}, which is none of 1, 2, 3."
        )
    elif producer or text.get("ProduceID"):
        state = LabelState.POSSIBLY
        notes.append("A GB 45438 label names a producer, but leaves out what it says.")
    else:
        state = LabelState.NONE
        notes.append("A platform's propagation block, which says nothing about AI.")
    if producer:
        notes.append(_provider(producer))
    missing = [key for key in KEYS if key not in text]
    if missing:
        notes.append(f"Without {', '.join(missing)}.")
    return LabelSignal(
        Mark.GB45438,
        place,
        LabelTrust.SELF_DECLARED,
        clipped(json.dumps(text, ensure_ascii=False)),
        " ".join(notes),
        state,
    )


def label_in(survey: Survey) -> dict[str, str]:
    """The keys of the file's own label, for carrying them on; empty when it has none.

    Of several the first in XMP counts, then the first anywhere.
    """
    fields = sorted(survey.fields, key=lambda field: field.layer is not Layer.XMP)
    for field in fields:
        if "AIGC" not in field.name and "AIGC" not in field.text:
            continue
        start = 0 if _named(field) else field.text.find("AIGC") + 4
        try:
            found = _aigc(field.text, start)
        except BlockUnreadable:
            continue  # read_label reports it; there is nothing in it to carry on
        lower = {str(key).lower(): value for key, value in (found or {}).items()}
        if _DISTINCT & set(lower):
            return {key: _text(lower[key.lower()]) for key in KEYS if key.lower() in lower}
    return {}


def _tencent_signal(found: dict[str, Any], place: str) -> LabelSignal:
    provider = _text(found.get("ServiceProvider", ""))
    return LabelSignal(
        Mark.TENCENT_AIGC,
        place,
        LabelTrust.SELF_DECLARED,
        clipped(json.dumps({k: _text(v) for k, v in list(found.items())[:16]}, ensure_ascii=False)),
        f"An AIGC label of the service {clipped(provider)[:60]!r} says: made by AI.",
        LabelState.GENERATED,
    )


def _bytedance(field: Field) -> Iterator[LabelSignal]:
    match = _BYTEDANCE.search(field.text[: 1 << 16])
    if match and match[1] in ("1", "2"):
        yield LabelSignal(
            Mark.BYTEDANCE_AIGC,
            field.place,
            LabelTrust.SELF_DECLARED,
            clipped(match[0].replace("\\", "")),
            "The export note of a ByteDance app discloses that AI made or changed it.",
            LabelState.GENERATED,
        )


def _text(value: object) -> str:
    if isinstance(value, str):
        return value[:1024]
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)[:1024]
    return "" if value is None else str(value)[:64]


def _provider(producer: str) -> str:
    """What kind of name `ContentProducer` is: a code of the coding rules, or a bare name."""
    match = _CODE.fullmatch(producer.strip())
    if match is None:
        return f"Producer: {clipped(producer)[:60]}."
    check = "" if uscc_holds(match[3]) else " (its check character is wrong)"
    return f"Producer: the entity with social credit code {match[3]}{check}."


def uscc_holds(code: str) -> bool:
    """Whether the check character of a unified social credit code (18) is right (GB 32100)."""
    total = sum(_USCC_CHARS.index(c) * pow(3, i, 31) for i, c in enumerate(code[:17]))
    return _USCC_CHARS[(31 - total % 31) % 31] == code[17]
