"""What is stored of a sweep, and its bytes: JSON with a version, that a person can read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from index.records import RecordCorrupt
from service.matching.results import Verdict
from service.sweeps.target import Target, brand_of

_VERSION = 1


class SweepState(StrEnum):
    """Where a sweep stands."""

    PLANNING = "PLANNING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (SweepState.PLANNING, SweepState.RUNNING)


@dataclass(frozen=True, slots=True)
class SweepSpec:
    """What a sweep was asked to do.

    Attributes:
        sweep: its id, chosen by the caller; `brand/id` of one that belongs to a brand.
        display_name: for people.
        manifest: path, URL or pattern, as the caller wrote it.
        form: one of `service.sweeps.manifest.FORMS`.
        target: originals to look for.
        policy, thorough: as of a check.
        request_id: a retry with the same id gets the same sweep.
    """

    sweep: str
    manifest: str
    form: str
    display_name: str = ""
    target: Target = field(default_factory=Target)
    policy: str = ""
    thorough: bool = False
    request_id: str = ""

    @property
    def brand(self) -> str:
        """The brand that it belongs to; empty for one of the platform's own."""
        return brand_of(self.sweep)


@dataclass(frozen=True, slots=True)
class Counts:
    """How far a sweep is. All counts are of listings, but for `pictures`.

    Attributes:
        planned: in the manifest so far as it was read; all of them from RUNNING on.
        done: with a finding.
        pictures: checked.
        by_verdict: done ones by the name of their verdict.
        failed: done ones with a problem.
    """

    planned: int = 0
    done: int = 0
    pictures: int = 0
    failed: int = 0
    by_verdict: Mapping[str, int] = field(default_factory=dict)

    def with_done(self, pictures: int, failed: int, verdicts: Mapping[str, int]) -> "Counts":
        """These and some more done listings."""
        names = [each.value for each in Verdict]  # "" is of those without one
        summed = {n: self.by_verdict.get(n, 0) + verdicts.get(n, 0) for n in names}
        return Counts(
            self.planned,
            self.done + sum(verdicts.values()),
            self.pictures + pictures,
            self.failed + failed,
            {name: count for name, count in summed.items() if count},
        )


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep as it stands.

    Attributes:
        number: assigned by the store, from 1, never reused.
        spec: what was asked for.
        state: where it stands.
        counts: how far it is.
        create_time_ns, start_time_ns, end_time_ns: 0 when not yet.
        error: reason and message of why it failed.
        provenance: what the findings were computed with, by name.
    """

    number: int
    spec: SweepSpec
    state: SweepState
    create_time_ns: int
    start_time_ns: int = 0
    end_time_ns: int = 0
    error: tuple[str, str] = ("", "")
    provenance: Mapping[str, Any] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)


def encode_sweep(sweep: Sweep) -> bytes:
    """The bytes of a sweep, without its counts, which change by the second."""
    spec = sweep.spec
    return _bytes(
        {
            "number": sweep.number,
            "sweep": spec.sweep,
            "display_name": spec.display_name,
            "manifest": spec.manifest,
            "form": spec.form,
            "brands": sorted(spec.target.brands),
            "originals": sorted(spec.target.originals),
            "policy": spec.policy,
            "thorough": spec.thorough,
            "request_id": spec.request_id,
            "state": sweep.state.value,
            "create_time_ns": sweep.create_time_ns,
            "start_time_ns": sweep.start_time_ns,
            "end_time_ns": sweep.end_time_ns,
            "error": list(sweep.error),
            "provenance": dict(sweep.provenance),
        }
    )


def decode_sweep(data: bytes, counts: bytes | None) -> Sweep:
    """The sweep of these bytes. Raises RecordCorrupt."""
    plain = _plain(data)
    spec = SweepSpec(
        sweep=plain["sweep"],
        manifest=plain["manifest"],
        form=plain["form"],
        display_name=plain["display_name"],
        target=Target(frozenset(plain["brands"]), frozenset(plain["originals"])),
        policy=plain["policy"],
        thorough=plain["thorough"],
        request_id=plain["request_id"],
    )
    return Sweep(
        number=plain["number"],
        spec=spec,
        state=SweepState(plain["state"]),
        create_time_ns=plain["create_time_ns"],
        start_time_ns=plain["start_time_ns"],
        end_time_ns=plain["end_time_ns"],
        error=(plain["error"][0], plain["error"][1]),
        provenance=plain["provenance"],
        counts=decode_counts(counts),
    )


def encode_counts(counts: Counts) -> bytes:
    """The bytes of how far a sweep is."""
    return _bytes(
        {
            "planned": counts.planned,
            "done": counts.done,
            "pictures": counts.pictures,
            "failed": counts.failed,
            "by_verdict": dict(counts.by_verdict),
        }
    )


def decode_counts(data: bytes | None) -> Counts:
    """The counts of these bytes; none yet without. Raises RecordCorrupt."""
    return Counts() if data is None else replace(Counts(), **_plain(data))


def _bytes(plain: Mapping[str, Any]) -> bytes:
    words = json.dumps({"version": _VERSION, **plain}, ensure_ascii=False, separators=(",", ":"))
    return words.encode()


def _plain(data: bytes) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(data)
        version = plain.pop("version")
    except (ValueError, KeyError) as error:
        raise RecordCorrupt(f"of a sweep: {error}") from error
    if version != _VERSION:
        raise RecordCorrupt(f"of a sweep: its version {version} is unknown to this release")
    return plain
