"""The gauges of a server that are read when somebody asks: queues, indexes, snapshot."""

from collections.abc import Iterator

from index.stats import CatalogueStats, SpaceStats
from models.pixel_budget import DECODING
from service.helpers.pool import Helpers
from service.registry import GroupCommit
from service.remembering import Remembering
from service.telemetry import Reading
from service.workers import Workers


def readings(
    stats: CatalogueStats,
    pictures: Workers,
    commits: GroupCommit,
    remembering: Remembering | None,
    helpers: Helpers | None,
) -> Iterator[Reading]:
    """Yield each gauge as it is now."""
    depth = "Pieces of work that run or wait, by queue."
    yield Reading("queue_depth", depth, pictures.taken, {"queue": pictures.name})
    yield Reading("queue_depth", depth, commits.waiting, {"queue": "commit"})
    if remembering is not None:
        yield Reading("queue_depth", depth, remembering.waiting, {"queue": "memory"})
    yield from _memory(remembering)
    yield Reading(
        "queue_limit",
        "Most pieces of work that are admitted, by queue.",
        pictures.places,
        {"queue": pictures.name},
    )
    yield Reading(
        "threads_hanging", "Threads that work on a picture that was given up.", pictures.hanging
    )
    yield Reading(
        "decode_bytes", "Bytes that pictures take that are being decoded.", DECODING.taken
    )
    yield Reading(
        "matching_processes",
        "Processes that look at pictures and are alive; 0 when threads do. One that died while it "
        "waited is replaced at the next picture that it is given.",
        helpers.alive if helpers is not None else 0,
    )
    yield Reading(
        "matching_processes_lost",
        "Processes that died or hung and were replaced, since the start.",
        helpers.lost if helpers is not None else 0,
    )
    yield Reading("originals", "Originals that are registered.", stats.originals)
    yield Reading("brands", "Brands that are registered.", stats.brands)
    yield Reading("open_disputes", "Disputes that wait for a decision.", stats.open_disputes)
    yield Reading("change_sequence", "Number of the last change in the store.", stats.sequence)
    if stats.snapshot_age_s is not None:
        yield Reading(
            "snapshot_age_seconds", "Seconds since the last snapshot.", stats.snapshot_age_s
        )
    yield Reading("store_bytes", "Bytes of the store on disk.", stats.disk_bytes)
    yield Reading(
        "index_behind",
        "1 when changes are not searchable until a restart, 0 otherwise.",
        1 if stats.behind else 0,
    )
    for space in stats.spaces:
        labels = {"space": space.name}
        yield Reading("index_size", "Originals in an index, by space.", space.rows, labels)
        yield Reading(
            "index_recall",
            "Recall at 10 against exact search, by space; 1 when exact.",
            recall_of(space),
            labels,
        )


def _memory(remembering: Remembering | None) -> Iterator[Reading]:
    """The gauges of the memory of listings, all 0 when there is none."""
    stats = remembering.memory.stats() if remembering is not None else None
    yield Reading(
        "memory_listings", "Listings that are remembered.", stats.listings if stats else 0
    )
    yield Reading(
        "memory_bytes",
        "Bytes of the remembered listings on disk.",
        stats.disk_bytes if stats else 0,
    )


def recall_of(space: SpaceStats) -> float:
    """Return the lowest measured recall of an index's parts, 1 when all are exact."""
    return min((p.recall for p in space.pieces if p.recall is not None), default=1.0)
