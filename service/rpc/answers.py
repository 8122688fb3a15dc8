"""The way back: plain values become messages, and nothing is decided here."""

from collections.abc import Mapping

from google.protobuf import timestamp_pb2

from copycatch.v1 import (
    ai_label_pb2,
    brands_service_pb2,
    match_service_pb2,
    originals_service_pb2,
)
from index.records import Brand, OriginalRecord
from models.labels.label import AiLabel, LabelHow, LabelState
from service.matching.results import (
    Alignment,
    Box,
    Edit,
    Evidence,
    ImageVerdict,
    Match,
    Provenance,
    Quad,
    Verdict,
)
from service.rights import GRAVEST
from service.rpc.fields import brand_name, original_name


def brand(value: Brand) -> brands_service_pb2.Brand:
    """Return a brand as a message."""
    return brands_service_pb2.Brand(
        name=brand_name(value.brand),
        display_name=value.display_name,
        create_time=timestamp(value.create_time_ns),
        etag=value.etag,
    )


def original(record: OriginalRecord) -> originals_service_pb2.Original:
    """Return an original as a message, without its picture."""
    return originals_service_pb2.Original(
        name=original_name(record.brand, record.original),
        display_name=record.display_name,
        annotations=record.annotations,
        state=originals_service_pb2.Original.State.Value(record.state),
        create_time=timestamp(record.create_time_ns),
        update_time=timestamp(record.update_time_ns),
        etag=record.etag,
        width_px=record.width_px,
        height_px=record.height_px,
        format=record.format,
        byte_count=record.byte_count,
        sha256=record.sha256.hex(),
        pixel_sha256=record.pixel_sha256.hex(),
        schema=record.schema,
    )


def image_result(value: ImageVerdict) -> match_service_pb2.ImageResult:
    """Return the answer for one picture as a message."""
    return match_service_pb2.ImageResult(
        verdict=verdict(value.verdict),
        matches=[match(one) for one in value.matches],
        note=value.note,
        steps_ms=value.steps_ms,
    )


def join(result: match_service_pb2.ImageResult, label: AiLabel) -> None:
    """Say in the note of each copy that its file carries an AI label as well.

    The two together are the strongest sign of a laundered original, and neither says it alone.
    """
    if label.state is LabelState.NONE:
        return
    for one in result.matches:
        if one.verdict in (match_service_pb2.COPY, match_service_pb2.REVIEW):
            also = f"The file also carries an AI label ({label.state.value}): {label.note}"
            one.note = f"{one.note} {also}".strip()


def match(value: Match) -> match_service_pb2.Match:
    """Return a match as a message."""
    return match_service_pb2.Match(
        original=value.original,
        kind=match_service_pb2.MatchKind.Value(value.kind.value),
        score=value.score,
        evidence=[_evidence(one) for one in value.evidence],
        alignment=_alignment(value.alignment) if value.alignment else None,
        edits=[_edit(one) for one in value.edits],
        verdict=verdict(value.verdict),
        note=value.note,
        licence=value.licence,
    )


def provenance(value: Provenance) -> match_service_pb2.Provenance:
    """Return what an answer was computed with as a message."""
    return match_service_pb2.Provenance(
        snapshot=value.snapshot,
        schema=value.schema,
        encoders=value.encoders,
        policy=value.policy,
        model=value.model,
        calibration=value.calibration,
    )


def verdict(value: Verdict) -> match_service_pb2.Verdict.ValueType:
    """Return a verdict as the number of the message."""
    return match_service_pb2.Verdict.Value(value.value)


def listing_verdict(results: list[ImageVerdict | None]) -> Verdict:
    """Return the verdict of a listing.

    Args:
        results: of its pictures; None for one that could not be checked, which is not
            cleared: somebody has to look.
    """
    found = [Verdict.REVIEW if result is None else result.verdict for result in results]
    return min(found, key=GRAVEST.index)


def ai_label(value: AiLabel) -> ai_label_pb2.AiLabel:
    """Return an AI label as a message."""
    return ai_label_pb2.AiLabel(
        state=ai_label_pb2.AiLabel.State.Value(value.state.value),
        how=_how(value.how),
        signals=[
            ai_label_pb2.AiLabel.Signal(
                mark=signal.mark.value,
                place=signal.place,
                trust=ai_label_pb2.AiLabel.Trust.Value(signal.trust.value),
                value=signal.value,
                note=signal.note,
                state=ai_label_pb2.AiLabel.State.Value(signal.state.value),
                how=_how(signal.how),
            )
            for signal in value.signals
        ],
        note=value.note,
    )


def timestamp(time_ns: int) -> timestamp_pb2.Timestamp:
    """Return nanoseconds since 1970 as a message."""
    result = timestamp_pb2.Timestamp()
    result.FromNanoseconds(time_ns)
    return result


_HOW: Mapping[LabelHow, ai_label_pb2.AiLabel.How.ValueType] = {
    LabelHow.UNKNOWN: ai_label_pb2.AiLabel.HOW_UNSPECIFIED,
    LabelHow.ENHANCED: ai_label_pb2.AiLabel.ENHANCED,
    LabelHow.EDITED: ai_label_pb2.AiLabel.EDITED,
    LabelHow.COMPOSITE: ai_label_pb2.AiLabel.COMPOSITE,
    LabelHow.FULLY_GENERATED: ai_label_pb2.AiLabel.FULLY_GENERATED,
}


def _how(value: LabelHow) -> ai_label_pb2.AiLabel.How.ValueType:
    return _HOW[value]


def _evidence(value: Evidence) -> match_service_pb2.Evidence:
    return match_service_pb2.Evidence(
        signal=value.signal,
        value=value.value,
        threshold=value.threshold,
        supports=value.supports,
        note=value.note,
        context=value.context,
    )


def _alignment(value: Alignment) -> match_service_pb2.Alignment:
    return match_service_pb2.Alignment(
        homography=value.homography,
        original_overlap=value.original_overlap,
        listing_overlap=value.listing_overlap,
        mirrored=value.mirrored,
        rotation_deg=value.rotation_deg,
        listing_region=_points(value.listing_region),
        original_region=_points(value.original_region),
    )


def _points(quad: Quad) -> list[match_service_pb2.Point]:
    return [match_service_pb2.Point(x=x, y=y) for x, y in quad]


def _edit(value: Edit) -> match_service_pb2.Edit:
    return match_service_pb2.Edit(
        type=match_service_pb2.Edit.Type.Value(value.type.value),
        amount=value.amount,
        description=value.description,
        region=_box(value.region) if value.region else None,
        misleads_buyer=value.misleads_buyer,
    )


def _box(value: Box) -> match_service_pb2.Box:
    return match_service_pb2.Box(
        left=value.left, top=value.top, width=value.width, height=value.height
    )
