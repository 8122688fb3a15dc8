"""The one door out: a picture's file with the platform's mark, and its AI label, in it.

What is written is XMP: `TC260:AIGC` (GB 45438-2025, placed as TC260-PG-20258A asks) and,
for a label that says how, `Iptc4xmpExt:DigitalSourceType`. Strict where reading is lenient.
Pure and thread-safe, except that signing may ask a timestamp authority.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from models.labels import content_credentials, embed, gb45438
from models.labels.containers import JPEG, PNG, WEBP, Container, container_of
from models.labels.content_credentials import SigningCertificate
from models.labels.digital_source import SOURCE_TYPE_NAMES
from models.labels.embed import Span
from models.labels.label import LabelHow, LabelState
from models.labels.read import DEFAULT_SETTINGS, LabelSettings, read_label, survey_of
from models.labels.source_types import uri_for
from models.labels.survey import Field, Survey
from models.labels.xmp import IPTC_EXT, TC260
from models.labels.xmp_merge import XmpUnmergeable, merge

MAX_FIELD_CHARS = 200
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_AIGC = f"{TC260} AIGC"
_SOURCE_TYPE = f"{IPTC_EXT} DigitalSourceType"


class LabelUnsupported(ValueError):
    """Labels can not be written into this container.

    Attributes:
        container: name of the container, empty when it is none that is known.
    """

    reason: ClassVar[str] = "LABEL_UNSUPPORTED"

    def __init__(self, container: str) -> None:
        what = container or "this file"
        super().__init__(f"labels are written into JPEG, PNG and WebP, not into {what}")
        self.container = container


class ManifestPresent(ValueError):
    """The picture has a C2PA manifest, which a change would break; sign anew to go on.

    Attributes:
        place: where the manifest, or the reference to it, lies.
    """

    reason: ClassVar[str] = "MANIFEST_PRESENT"

    def __init__(self, place: str) -> None:
        super().__init__(f"the picture has a C2PA manifest at {place}, which would be broken")
        self.place = place


class LabelFieldInvalid(ValueError):
    """A value can not stand in a label.

    Attributes:
        field: which one.
        rule: what is asked of it.
    """

    reason: ClassVar[str] = "LABEL_FIELD_INVALID"

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} {rule}")
        self.field = field
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Propagation:
    """The mark of the platform that passes a picture on.

    Attributes:
        propagator: its name, or its code by the coding rules, 1 to 200 characters.
        propagate_id: its number for this picture, 1 to 200 characters.
    """

    propagator: str
    propagate_id: str

    def __post_init__(self) -> None:
        _check("propagator", self.propagator, required=True)
        _check("propagate_id", self.propagate_id, required=True)


@dataclass(frozen=True, slots=True)
class LabelText:
    """The label itself.

    Attributes:
        state: what to say; None keeps what the file says by any mark that it carries. NONE is
            refused: there is no label that says "not AI".
        how: written as IPTC DigitalSourceType when `state` is GENERATED, and only then:
            that property knows no doubt.
        producer: name or code of the service that made the picture; None keeps the file's.
        produce_id: that service's number for it; None keeps the file's.
    """

    state: LabelState | None = None
    how: LabelHow = LabelHow.UNKNOWN
    producer: str | None = None
    produce_id: str | None = None

    def __post_init__(self) -> None:
        if self.state is LabelState.NONE:
            raise LabelFieldInvalid("state", "is GENERATED, POSSIBLY or SUSPECTED")
        _check("producer", self.producer or "")
        _check("produce_id", self.produce_id or "")


def _check(field: str, value: str, *, required: bool = False) -> None:
    if required and not value.strip():
        raise LabelFieldInvalid(field, "must not be empty")
    if len(value) > MAX_FIELD_CHARS:
        raise LabelFieldInvalid(field, f"has at most {MAX_FIELD_CHARS} characters")
    if _FORBIDDEN.search(value):
        raise LabelFieldInvalid(field, "has no control characters")


def write_label(
    data: bytes,
    propagation: Propagation,
    label: LabelText | None = None,
    settings: LabelSettings = DEFAULT_SETTINGS,
    *,
    certificate: SigningCertificate | None = None,
) -> bytes:
    """Write the platform's mark, and where asked the label, into a picture's file.

    A label that the file has already is carried on, with our mark in place of that of the
    platform before. Without a `label.state` and without any mark in the file the block says
    nothing about AI (`Label` is empty).

    Args:
        data: a JPEG, PNG or WebP file. Not modified.
        propagation: the platform's mark.
        label: the label; None keeps what the file says.
        settings: how the file's own marks are read.
        certificate: signs a picture anew that has a C2PA manifest; the old manifest becomes
            an ingredient of the new one.

    Returns:
        The file with the mark. Its image data are the same, byte by byte, and so is all
        metadata but the XMP packet (and the manifest, when signed anew).

    Raises:
        LabelUnsupported: another container.
        LabelUnwritable: the file is damaged.
        ManifestPresent: it has a C2PA manifest, and there is no certificate.
        XmpUnmergeable: its XMP can not be extended without loss.
        LabelTooLarge: its XMP would be larger than a JPEG segment.
        ManifestSigningFailed: the certificate or the file is refused.
    """
    container = container_of(data)
    codec = _CODECS.get(container.name) if container else None
    if container is None or codec is None:
        raise LabelUnsupported(container.name if container else "")
    survey = survey_of(data, container, settings.budget_us)
    manifest = survey.manifest_place or _remote_manifest(survey)
    if manifest and certificate is None:
        raise ManifestPresent(manifest)
    label = label or LabelText()
    properties = {_AIGC: _block(data, survey, propagation, label, settings)}
    source_uri = uri_for(label.how) if label.state is LabelState.GENERATED else None
    if source_uri:
        properties[_SOURCE_TYPE] = source_uri
    _check_extension(survey, properties)
    find, put = codec
    packet, span = find(data)
    labelled = put(data, merge(packet, properties), span)
    if manifest and certificate:
        return _signed(labelled, data, container, source_uri, certificate)
    return labelled


def _signed(
    labelled: bytes,
    parent: bytes,
    container: Container,
    source_uri: str | None,
    certificate: SigningCertificate,
) -> bytes:
    return content_credentials.sign_again(labelled, parent, container.mime, source_uri, certificate)


def _block(
    data: bytes,
    survey: Survey,
    propagation: Propagation,
    label: LabelText,
    settings: LabelSettings,
) -> str:
    """The JSON of the new `AIGC` label, its seven keys in the standard's order."""
    block = dict.fromkeys(gb45438.KEYS, "") | gb45438.label_in(survey)
    if label.state is not None:
        block["Label"] = gb45438.LABELS[label.state]
    elif block["Label"] not in gb45438.STATES:
        block["Label"] = gb45438.LABELS.get(read_label(data, settings).state, "")
    if label.producer is not None:
        block["ContentProducer"] = label.producer
    if label.produce_id is not None:
        block["ProduceID"] = label.produce_id
    block["ContentPropagator"] = propagation.propagator
    block["PropagateID"] = propagation.propagate_id
    clean = {key: _FORBIDDEN.sub(" ", value) for key, value in block.items()}
    return json.dumps(clean, ensure_ascii=False, separators=(",", ":"))


def _remote_manifest(survey: Survey) -> str:
    """Where XMP refers to a manifest that lies elsewhere; a change would break that, too."""
    for field in survey.fields:
        if field.name == "dcterms:provenance":
            return field.place
    return ""


def _check_extension(survey: Survey, properties: dict[str, str]) -> None:
    """Refuse when extended XMP, which is not rewritten, holds what is to be replaced."""
    names = {"TC260:AIGC"} | (SOURCE_TYPE_NAMES if _SOURCE_TYPE in properties else set())
    held: list[Field] = [f for f in survey.fields if "XMP extension" in f.place and f.name in names]
    if held:
        raise XmpUnmergeable(f"{held[0].name} lies in its extension")


Find = Callable[[bytes], tuple[bytes | None, Span]]
Put = Callable[[bytes, bytes, Span], bytes]
_CODECS: dict[str, tuple[Find, Put]] = {
    JPEG.name: (embed.jpeg_packet, embed.into_jpeg),
    PNG.name: (embed.png_packet, embed.into_png),
    WEBP.name: (embed.webp_packet, embed.into_webp),
}
