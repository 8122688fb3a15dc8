"""The way back for SweepService, as `service.rpc.answers` is for the others."""

import time
from collections.abc import Sequence

from copycatch.v1 import match_service_pb2, sweep_service_pb2
from service.matching.results import Provenance
from service.rpc import answers
from service.sweeps.findings import Finding, FoundMatch
from service.sweeps.groups import Group
from service.sweeps.recall import FORM as REMEMBERED
from service.sweeps.records import Counts, Sweep, SweepState


def sweep_name(sweep: str) -> str:
    """Return `sweeps/{sweep}`, or `brands/{brand}/sweeps/{sweep}` of one that is a brand's."""
    brand, slash, own = sweep.partition("/")
    return f"brands/{brand}/sweeps/{own}" if slash else f"sweeps/{sweep}"


def sweep(value: Sweep, listings_per_s: float) -> sweep_service_pb2.Sweep:
    """Return a sweep as a message."""
    spec = value.spec
    message = sweep_service_pb2.Sweep(
        name=sweep_name(spec.sweep),
        display_name=spec.display_name,
        target=sweep_service_pb2.Target(
            brands=sorted(f"brands/{brand}" for brand in spec.target.brands),
            originals=sorted(spec.target.originals),
        ),
        policy=spec.policy,
        thorough=spec.thorough,
        state=sweep_service_pb2.Sweep.State.Value(value.state.value),
        counts=_counts(value.counts),
        create_time=answers.timestamp(value.create_time_ns),
        error_reason=value.error[0],
        error_message=value.error[1],
    )
    if spec.form == REMEMBERED:
        message.retroactive.SetInParent()
    else:
        message.forward.manifest = spec.manifest
        message.forward.form = sweep_service_pb2.ForwardSource.Form.Value(spec.form)
    if value.start_time_ns:
        message.start_time.CopyFrom(answers.timestamp(value.start_time_ns))
    if value.end_time_ns:
        message.end_time.CopyFrom(answers.timestamp(value.end_time_ns))
    if value.provenance:
        made = {**value.provenance, "encoders": tuple(value.provenance["encoders"])}
        message.provenance.CopyFrom(answers.provenance(Provenance(**made)))
    if value.state is SweepState.RUNNING and listings_per_s > 0:
        message.listings_per_second = listings_per_s
        left = value.counts.planned - value.counts.done
        end_ns = time.time_ns() + int(left / listings_per_s * 1e9)
        message.estimated_end_time.CopyFrom(answers.timestamp(end_ns))
    return message


def finding(sweep_id: str, position: int, value: Finding) -> sweep_service_pb2.Finding:
    """Return a finding as a message."""
    return sweep_service_pb2.Finding(
        name=f"{sweep_name(sweep_id)}/findings/{position}",
        listing_id=value.listing_id,
        seller=value.seller,
        verdict=answers.verdict(value.verdict)
        if value.verdict
        else match_service_pb2.VERDICT_UNSPECIFIED,
        picture_count=value.pictures,
        matches=[_match(match) for match in value.matches],
        errors=[
            sweep_service_pb2.FoundError(
                reason=problem.reason, message=problem.message, picture=problem.picture
            )
            for problem in value.problems
        ],
    )


def groups(values: Sequence[Group]) -> list[sweep_service_pb2.FindingGroup]:
    """Return groups as messages."""
    return [
        sweep_service_pb2.FindingGroup(
            name=value.name,
            listing_count=value.listings,
            part_count=value.others,
            review_count=value.by_verdict.get("REVIEW", 0),
            copy_count=value.by_verdict.get("COPY", 0),
            authorised_count=value.by_verdict.get("AUTHORISED", 0),
            largest_parts=[
                sweep_service_pb2.FindingGroup.Part(name=name, listing_count=count)
                for name, count in value.largest
            ],
        )
        for value in values
    ]


def _match(value: FoundMatch) -> sweep_service_pb2.FoundMatch:
    return sweep_service_pb2.FoundMatch(
        original=value.original,
        family=value.family,
        kind=match_service_pb2.MatchKind.Value(value.kind.value),
        verdict=answers.verdict(value.verdict),
        score=value.score,
        picture=value.picture,
        note=value.note,
        edits=value.edits,
        licence=value.licence,
    )


def _counts(value: Counts) -> sweep_service_pb2.Counts:
    return sweep_service_pb2.Counts(
        planned_count=value.planned,
        done_count=value.done,
        picture_count=value.pictures,
        failed_count=value.failed,
        clear_count=value.by_verdict.get("CLEAR", 0),
        review_count=value.by_verdict.get("REVIEW", 0),
        copy_count=value.by_verdict.get("COPY", 0),
        authorised_count=value.by_verdict.get("AUTHORISED", 0),
    )
