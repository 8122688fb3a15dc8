"""The words of an AI label: state, how, trust, and the signals that led to them."""

from dataclasses import dataclass
from enum import StrEnum

ABSENCE = "No AI label was found. That does not mean that the picture was not made by AI."


class LabelState(StrEnum):
    """What a listing must be tagged as; a later member outranks an earlier one.

    The three tags are those of article 6 of the Chinese labelling measures: the metadata
    says so (GENERATED), the uploader says so (POSSIBLY), traces suggest it (SUSPECTED).
    """

    NONE = "NONE"
    SUSPECTED = "SUSPECTED"
    POSSIBLY = "POSSIBLY"
    GENERATED = "GENERATED"

    @property
    def rank(self) -> int:
        """0 for NONE, rising with the weight of the tag."""
        return _STATE_RANK[self]


class LabelHow(StrEnum):
    """How AI took part in the picture."""

    UNKNOWN = "UNKNOWN"
    ENHANCED = "ENHANCED"
    EDITED = "EDITED"
    COMPOSITE = "COMPOSITE"
    FULLY_GENERATED = "FULLY_GENERATED"


class LabelTrust(StrEnum):
    """How far a signal can be believed; a later member outranks an earlier one.

    SIGNED_TRUSTED: a valid signature over this very picture, by a certificate that chains
        to the configured trust list.
    SIGNED: a valid signature over this very picture, by somebody.
    SELF_DECLARED: metadata made to declare it; anyone can add or remove it.
    TRACE: a by-product of a tool, or a signed claim about another state of the picture.
    """

    TRACE = "TRACE"
    SELF_DECLARED = "SELF_DECLARED"
    SIGNED = "SIGNED"
    SIGNED_TRUSTED = "SIGNED_TRUSTED"

    @property
    def rank(self) -> int:
        """0 for TRACE, rising with trust."""
        return _TRUST_RANK[self]


class Mark(StrEnum):
    """The kinds of marks that are known."""

    C2PA = "c2pa"
    IPTC_DIGITAL_SOURCE_TYPE = "iptc_digital_source_type"
    IPTC_AI = "iptc_ai"
    GB45438 = "gb45438"
    TENCENT_AIGC = "tencent_aigc"
    BYTEDANCE_AIGC = "bytedance_aigc"
    WEBUI = "webui"
    COMFYUI = "comfyui"
    INVOKEAI = "invokeai"
    NOVELAI = "novelai"
    FOOOCUS = "fooocus"
    SWARMUI = "swarmui"
    DIFFUSION_SETTINGS = "diffusion_settings"
    GENERATOR = "generator"
    XAI_SIGNATURE = "xai_signature"
    MIDJOURNEY_JOB = "midjourney_job"
    HUGGINGFACE_JOB = "huggingface_job"
    PHOTOSHOP_GENERATIVE = "photoshop_generative"
    DECLARATION = "declaration"
    UNREADABLE = "unreadable"


_STATE_RANK = {state: rank for rank, state in enumerate(LabelState)}
_TRUST_RANK = {trust: rank for rank, trust in enumerate(LabelTrust)}

MAX_VALUE_CHARS = 512
"""Longest `LabelSignal.value`; prompts are longer, and nobody's business here."""


@dataclass(frozen=True, slots=True)
class LabelSignal:
    """One mark that was found.

    Attributes:
        mark: which kind of mark.
        place: where in the file, from container to property,
            e.g. `JPEG/APP1/XMP/TC260:AIGC`.
        trust: how far it can be believed.
        value: what it says, at most `MAX_VALUE_CHARS` characters.
        note: the same in words for a person who does not know the mark.
        state: what this signal alone would lead to.
        how: what this signal alone says about how AI took part.
    """

    mark: Mark
    place: str
    trust: LabelTrust
    value: str
    note: str = ""
    state: LabelState = LabelState.NONE
    how: LabelHow = LabelHow.UNKNOWN

    @property
    def unreadable(self) -> bool:
        """Whether this says that a block could not be read, rather than what it says."""
        return self.mark is Mark.UNREADABLE


@dataclass(frozen=True, slots=True)
class AiLabel:
    """What a file says about being made by AI.

    Attributes:
        state: the strongest of its signals; NONE when there are none.
        how: how AI took part, by the most trusted signal that says so.
        signals: every mark found, strongest first, then blocks that could not be read.
    """

    state: LabelState
    how: LabelHow
    signals: tuple[LabelSignal, ...]

    @property
    def note(self) -> str:
        """The answer in one sentence; for NONE, what absence does not mean."""
        if self.state is LabelState.NONE:
            return ABSENCE
        return self.signals[0].note


def clipped(text: str) -> str:
    """Text fit for `LabelSignal.value`: printable, on one line, not too long."""
    flat = " ".join(text[: MAX_VALUE_CHARS * 4].split())
    flat = "".join(c if c.isprintable() else "�" for c in flat)
    return flat if len(flat) <= MAX_VALUE_CHARS else flat[: MAX_VALUE_CHARS - 1] + "…"
