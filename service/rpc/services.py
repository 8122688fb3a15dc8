"""The services that a server offers, and what is asked of the transport."""

import time

import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from copycatch.v1 import (
    audit_service_pb2,
    audit_service_pb2_grpc,
    brands_service_pb2,
    brands_service_pb2_grpc,
    disputes_service_pb2,
    disputes_service_pb2_grpc,
    listings_service_pb2,
    listings_service_pb2_grpc,
    match_service_pb2,
    match_service_pb2_grpc,
    originals_service_pb2,
    originals_service_pb2_grpc,
    sweep_service_pb2,
    sweep_service_pb2_grpc,
)
from service.limits import MAX_REQUEST_BYTES
from service.registry import GroupCommit
from service.rpc.audit import AuditServicer
from service.rpc.brands import BrandsServicer
from service.rpc.calls import Server
from service.rpc.disputes import DisputesServicer
from service.rpc.front import Front
from service.rpc.listings import ListingsServicer
from service.rpc.match import MatchServicer
from service.rpc.originals import OriginalsServicer
from service.rpc.sweeps import SweepServicer

NAMES = tuple(
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in (
        (brands_service_pb2, "BrandsService"),
        (originals_service_pb2, "OriginalsService"),
        (match_service_pb2, "MatchService"),
        (audit_service_pb2, "AuditService"),
        (sweep_service_pb2, "SweepService"),
        (listings_service_pb2, "ListingsService"),
        (disputes_service_pb2, "DisputesService"),
    )
)
_CONNECTIONS = (
    # A peer that has gone without a word is noticed, and its calls end.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Clients may ping as often as every 10 s, also without a call; more often is abuse.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.max_connection_idle_ms", 600_000),
    ("grpc.server_handshake_timeout_ms", 20_000),
    # Calls of one connection; more of them wait at the client. The gate refuses much sooner.
    ("grpc.max_concurrent_streams", 1024),
)
"""What is asked of the transport, apart from the limits of each call."""


def create(
    parts: Server,
    commits: GroupCommit,
    healthy: health.aio.HealthServicer,
    front: Front,
) -> grpc.aio.Server:
    """Return a server with all services, to be bound to a port.

    Args:
        parts: what the servicers need.
        commits: commits originals together.
        healthy: answers how the server is.
        front: surrounds every call.
    """
    server = grpc.aio.server(
        interceptors=[front],
        options=[
            *_CONNECTIONS,
            ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
            ("grpc.max_send_message_length", -1),
            # Otherwise two servers on one port share its calls without a word.
            ("grpc.so_reuseport", 0),
        ],
    )
    brands_service_pb2_grpc.add_BrandsServiceServicer_to_server(BrandsServicer(parts), server)
    originals_service_pb2_grpc.add_OriginalsServiceServicer_to_server(
        OriginalsServicer(parts, commits), server
    )
    match_service_pb2_grpc.add_MatchServiceServicer_to_server(
        MatchServicer(parts, time.time_ns()), server
    )
    audit_service_pb2_grpc.add_AuditServiceServicer_to_server(AuditServicer(parts), server)
    sweep_service_pb2_grpc.add_SweepServiceServicer_to_server(SweepServicer(parts), server)
    listings_service_pb2_grpc.add_ListingsServiceServicer_to_server(ListingsServicer(parts), server)
    disputes_service_pb2_grpc.add_DisputesServiceServicer_to_server(DisputesServicer(parts), server)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    reflection.enable_server_reflection(
        (*NAMES, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    return server
