"""What a server's messages say, as the values that are measured."""

from typing import Any

from copycatch.v1 import match_service_pb2 as pb
from service.evaluation.answers import Answer


def answer_of(match: pb.Match, original: str) -> Answer:
    """Return one match of an answer.

    Args:
        original: what the original is called where it is measured.
    """
    return Answer(
        original=original,
        score=match.score,
        verdict=pb.Verdict.Name(match.verdict),
        kind=pb.MatchKind.Name(match.kind),
        edits=tuple(pb.Edit.Type.Name(edit.type) for edit in match.edits),
        # What was not laid over the original was not verified.
        verified=match.HasField("alignment"),
    )


def policies_of(info: pb.ServerInfo) -> dict[str, dict[str, float]]:
    """Return by policy the scores from which `copy` and `review` hold."""
    return {
        detail.name: {"copy": detail.min_copy_score, "review": detail.min_review_score}
        for detail in info.policy_details
    }


def described(info: pb.ServerInfo, policy: str) -> dict[str, Any]:
    """Return what a server runs, for a report.

    Args:
        policy: that answers were asked for by; empty is the server's.
    """
    return {
        "version": info.version,
        "schema": info.schema,
        "encoders": [f"{e.name}@{e.weights_sha256[:8]} on {e.device}" for e in info.encoders],
        "clip": info.clip,
        "policy": policy or info.policy,
        "model": info.model,
        "calibration": info.calibration,
        "thresholds": policies_of(info),
    }
