"""ListingsService: what is remembered of listings that were checked."""

from typing import override

from google.protobuf import empty_pb2

from copycatch.v1 import listings_service_pb2 as pb
from copycatch.v1 import listings_service_pb2_grpc
from index.memory import ListingNotFound, MemoryOff
from service.remembering import Remembering
from service.rpc import answers
from service.rpc.calls import Server, deadline_of
from service.rpc.fields import Violations
from service.rpc.front import Context


class ListingsServicer(listings_service_pb2_grpc.ListingsServiceServicer):
    """Answers the calls of ListingsService."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @override
    async def GetListing(
        self, request: pb.GetListingRequest, context: Context
    ) -> pb.RememberedListing:
        listing_id, remembering = _id(request.listing_id), self._remembering()

        def get() -> pb.RememberedListing:
            remembering.flush()  # what was answered before this call is seen by it
            entry, byte_count = remembering.memory.described(listing_id)
            return pb.RememberedListing(
                listing_id=entry.listing_id,
                seller=entry.seller,
                create_time=answers.timestamp(entry.time_ns),
                image_sha256s=[sha256.hex() for sha256, _ in entry.digests],
                byte_count=byte_count,
            )

        return await self._server.read(get, deadline_of(context))

    @override
    async def DeleteListing(
        self, request: pb.DeleteListingRequest, context: Context
    ) -> empty_pb2.Empty:
        listing_id, remembering = _id(request.listing_id), self._remembering()
        forget = remembering.forget
        gone = await self._server.read(lambda: forget(listing_id), deadline_of(context))
        if not gone and not request.allow_missing:
            raise ListingNotFound(listing_id)
        if gone:
            audit = self._server.engine.catalogue.audit
            details = {"listing_id": listing_id}
            await self._server.logged(lambda: audit.record("listing.forget", details))
        return empty_pb2.Empty()

    def _remembering(self) -> Remembering:
        remembering = self._server.engine.remembering
        if remembering is None:
            raise MemoryOff
        return remembering


def _id(listing_id: str) -> str:
    found = Violations()
    found.text("listing_id", listing_id, 200, required=True)
    found.check()
    return listing_id
