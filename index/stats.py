"""What a catalogue says about itself: sizes, devices, measured recall, freshness."""

from dataclasses import dataclass
from typing import Literal

from index.live import LiveIndex
from index.snapshot import SnapshotInfo
from index.spaces import Kind


@dataclass(frozen=True, slots=True)
class PieceStats:
    """One sealed piece.

    Attributes:
        kind: see `VectorIndex.kind`.
        recall: recall@10 measured against exact search; None when exact.
        probes: lists visited per search; 0 when exact.
    """

    kind: str
    device: str
    rows: int
    dead_rows: int
    recall: float | None
    probes: int


@dataclass(frozen=True, slots=True)
class SpaceStats:
    """One space: `rows` can be found, `delta_rows` of them are not sealed yet."""

    name: str
    kind: Kind
    dimension: int
    rows: int
    delta_rows: int
    pieces: tuple[PieceStats, ...]


@dataclass(frozen=True, slots=True)
class CatalogueStats:
    """A catalogue as a whole.

    Attributes:
        open_disputes: disputes that wait for a decision.
        sequence: the last change that searches see.
        snapshot: the newest one, None when there is none.
        snapshot_age_s: seconds since it was written.
        opened_from, opened_because, opened_s: how the indexes came to be at start.
        map_bytes: memory map of the store. disk_bytes: what the store takes on disk.
        maintenance_failure: empty, or why the last background run failed.
        behind: empty, or why the index misses changes until a restart.
    """

    schema: str
    brands: int
    originals: int
    open_disputes: int
    sequence: int
    spaces: tuple[SpaceStats, ...]
    snapshot: SnapshotInfo | None
    snapshot_age_s: float | None
    opened_from: Literal["snapshot", "store"]
    opened_because: str
    opened_s: float
    map_bytes: int
    disk_bytes: int
    maintenance_failure: str
    behind: str


def space_stats(index: LiveIndex) -> SpaceStats:
    """The figures of one live index, as one search would see it."""
    state, space = index.state, index.space
    pieces = tuple(
        PieceStats(
            kind=piece.index.kind,
            device=piece.index.device,
            rows=piece.size,
            dead_rows=piece.dead_count,
            recall=piece.index.recall,
            probes=piece.index.probes,
        )
        for piece in state.sealed
    )
    return SpaceStats(space.name, space.kind, space.dimension, state.size, state.delta.size, pieces)
