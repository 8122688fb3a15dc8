"""The one door in: the bytes of a picture's file -> its AI label.

Pure and thread-safe; called from worker threads. Never raises for what a file contains.
"""

from dataclasses import dataclass

from models.labels import content_credentials
from models.labels.budget import BUDGET_US, BlockUnreadable, Budget
from models.labels.containers import Container, container_of
from models.labels.content_credentials import TrustList
from models.labels.decide import decide
from models.labels.label import (
    AiLabel,
    LabelHow,
    LabelSignal,
    LabelState,
    LabelTrust,
    Mark,
    clipped,
)
from models.labels.registry import FAMILIES
from models.labels.survey import Survey


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """How labels are read.

    Attributes:
        trust: whose C2PA signatures are trusted.
        budget_us: work that the metadata of one picture may cost, in microseconds of a slow
            core; C2PA, which is bounded by `max_manifest_bytes`, not counted.
        max_manifest_bytes: a larger C2PA manifest store is not opened.
        max_manifests: nor one of more manifests, each of which has a signature to check.
    """

    trust: TrustList = TrustList()
    budget_us: float = BUDGET_US
    max_manifest_bytes: int = 8 << 20
    max_manifests: int = 64


_WALKING_SHARE = 0.5
_SIGNATURE_BOX = b"c2cs\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71"
_BOXES_A_MANIFEST = 64
DEFAULT_SETTINGS = LabelSettings()


def read_label(
    data: bytes, settings: LabelSettings = DEFAULT_SETTINGS, *, declared: bool = False
) -> AiLabel:
    """Read what a picture's file says about being made by AI.

    Args:
        data: the file as it was sent, before anything re-encoded it. Not modified. Anything
            else than an image file has no marks.
        settings: trust list and bounds.
        declared: whether the uploader has declared it to be made by AI; that alone leads to
            POSSIBLY.

    Returns:
        The label. State NONE does not mean that the picture was not made by AI.
    """
    signals: list[LabelSignal] = []
    container = container_of(data)
    if container is not None:
        survey = survey_of(data, container, settings.budget_us)
        if survey.manifest_bytes:
            signals += _credentials(data, container, survey, settings)
        signals += _families(survey, settings.budget_us)
        signals += _problems(survey)
    if declared:
        signals.append(
            LabelSignal(
                Mark.DECLARATION,
                "declaration",
                LabelTrust.SELF_DECLARED,
                "declared",
                "The uploader declares that AI made it.",
                LabelState.POSSIBLY,
                LabelHow.UNKNOWN,
            )
        )
    return decide(signals)


def survey_of(data: bytes, container: Container, budget_us: float = BUDGET_US) -> Survey:
    """Everything a file's metadata holds that a mark may stand in."""
    survey = Survey(Budget(budget_us * _WALKING_SHARE))
    try:
        container.walk(data, survey)
    except BlockUnreadable as refusal:
        survey.problem(container.name, refusal.note)
    return survey


def _families(survey: Survey, budget_us: float) -> list[LabelSignal]:
    """The signals of every family; each has its own share of the work, so none starves."""
    signals: list[LabelSignal] = []
    for name, family in FAMILIES.items():
        survey.budget = Budget(budget_us * (1 - _WALKING_SHARE) / len(FAMILIES))
        try:
            signals.extend(family(survey))
        except BlockUnreadable as refusal:
            survey.problem(name, refusal.note)
    return signals


def _credentials(
    data: bytes, container: Container, survey: Survey, settings: LabelSettings
) -> list[LabelSignal]:
    place = survey.manifest_place
    if survey.manifest_bytes > settings.max_manifest_bytes:
        note = f"the C2PA manifest store has {survey.manifest_bytes} bytes; it is not opened"
        survey.problem(place, note)
        return []
    store = b"".join(survey.manifest_pieces)
    manifests, boxes = store.count(_SIGNATURE_BOX), store.count(b"jumb")
    if manifests > settings.max_manifests or boxes > settings.max_manifests * _BOXES_A_MANIFEST:
        note = f"the C2PA manifest store has {manifests} signatures and {boxes} boxes"
        survey.problem(place, f"{note}; it is not opened")
        return []
    return content_credentials.read(data, container.mime, place, settings.trust)


def _problems(survey: Survey) -> list[LabelSignal]:
    signals = [
        LabelSignal(Mark.UNREADABLE, p.place, LabelTrust.TRACE, "", clipped(p.note))
        for p in survey.problems
    ]
    if survey.hidden_problems:
        note = f"{survey.hidden_problems} further blocks could not be read"
        signals.append(LabelSignal(Mark.UNREADABLE, "file", LabelTrust.TRACE, "", note))
    return signals
