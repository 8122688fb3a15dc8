"""What GetServerInfo answers: what runs here, and within which limits."""

from importlib.metadata import version

from copycatch.v1 import match_service_pb2 as pb
from index.stats import CatalogueStats
from models.images import Limits
from service.access.roles import Caller
from service.engine import Engine
from service.limits import MAX_IMAGES, MAX_REQUEST_BYTES
from service.readings import recall_of
from service.rpc import answers, convert
from service.rpc.gate import Gate


def server_info(gate: Gate, started_ns: int, caller: Caller) -> pb.ServerInfo:
    """Return what runs; blocks for a short read of the store.

    An owner is not told how much is registered: watching it grow tells what rivals do.
    """
    limits = Limits()
    info = pb.ServerInfo(
        version=version("copycatch"),
        ready=gate.ready,
        start_time=answers.timestamp(started_ns),
        policies=convert.POLICIES,
        limits=pb.ServerInfo.Limits(
            max_image_bytes=limits.max_bytes,
            max_request_bytes=MAX_REQUEST_BYTES,
            max_pixels=limits.max_pixels,
            max_side_px=limits.max_side_px,
            min_side_px=limits.min_side_px,
            max_images=MAX_IMAGES,
        ),
    )
    if gate.loaded is not None:
        _describe(info, gate.loaded)
        if not caller.confined:
            _count(info, gate.loaded.catalogue.stats())
    return info


def _describe(info: pb.ServerInfo, engine: Engine) -> None:
    provenance = engine.matcher.provenance()
    info.schema = provenance.schema
    info.policy = provenance.policy
    info.model = provenance.model
    info.calibration = provenance.calibration
    claims = engine.matcher.policies.claims
    for name, begins in engine.matcher.policies.thresholds.items():
        info.policy_details.add(
            name=name,
            min_copy_score=begins["copy"],
            min_review_score=begins["review"],
            copy_precision=claims[name].precision if name in claims else 0.0,
        )
    info.clip = engine.clip
    for encoder in engine.encoders:
        info.encoders.add(
            name=encoder.name,
            dimension=encoder.dimension,
            weights_sha256=encoder.weights_sha256,
            device=encoder.device,
            input=encoder.input,
        )


def _count(info: pb.ServerInfo, stats: CatalogueStats) -> None:
    info.original_count, info.brand_count = stats.originals, stats.brands
    info.sequence, info.store_byte_count = stats.sequence, stats.disk_bytes
    info.loaded_from = ": ".join(filter(None, (stats.opened_from, stats.opened_because)))
    info.warnings.extend(filter(None, (stats.behind, stats.maintenance_failure)))
    for space in stats.spaces:
        info.indexes.add(
            space=space.name,
            type=", ".join(sorted({piece.kind for piece in space.pieces})) or "unsealed",
            device=", ".join(sorted({piece.device for piece in space.pieces})) or "cpu",
            size=space.rows,
            recall=recall_of(space),
            unsealed_count=space.delta_rows,
        )
    if stats.snapshot is not None and stats.snapshot_age_s is not None:
        info.snapshot.id, info.snapshot.sequence = stats.snapshot.id, stats.snapshot.sequence
        info.snapshot.age.FromNanoseconds(int(stats.snapshot_age_s * 1e9))
