"""BrandsService, the part about rights: licences, programmes and sellers."""

from typing import override

from google.protobuf import empty_pb2

from copycatch.v1 import brands_service_pb2 as pb
from copycatch.v1 import brands_service_pb2_grpc
from service.rpc import terms
from service.rpc.calls import Server, deadline_of
from service.rpc.fields import Violations
from service.rpc.front import Context
from service.rpc.paging import after_token, page_token

# A page ends early rather than outgrow the 4 MiB that a client receives by default.
_PAGE_BYTES = 3 << 20


class RightsMethods(brands_service_pb2_grpc.BrandsServiceServicer):
    """Answers the calls about who may use a brand's originals."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @override
    async def CreateLicence(self, request: pb.CreateLicenceRequest, context: Context) -> pb.Licence:
        engine = self._server.engine
        new = terms.new_licence(request, engine.clock())
        made = await self._server.read(
            lambda: engine.catalogue.licences.create(new), deadline_of(context)
        )
        return terms.licence(made, engine.clock())

    @override
    async def GetLicence(self, request: pb.GetLicenceRequest, context: Context) -> pb.Licence:
        found = Violations()
        brand, licence = found.licence("name", request.name)
        found.check()
        engine = self._server.engine
        value = await self._server.read(
            lambda: engine.catalogue.licences.get(brand, licence), deadline_of(context)
        )
        return terms.licence(value, engine.clock())

    @override
    async def ListLicences(
        self, request: pb.ListLicencesRequest, context: Context
    ) -> pb.ListLicencesResponse:
        found = Violations()
        brand = found.brand("parent", request.parent)
        size = found.page_size("page_size", request.page_size)
        found.check()
        bound = ("ListLicences", request.parent)
        after = after_token(request.page_token, *bound)
        engine = self._server.engine
        page = await self._server.read(
            lambda: engine.catalogue.licences.list(brand, size + 1, after), deadline_of(context)
        )
        response, room = pb.ListLicencesResponse(), _PAGE_BYTES
        for value in page[:size]:
            message = terms.licence(value, engine.clock())
            room -= message.ByteSize()
            if room < 0 and response.licences:
                break
            response.licences.append(message)
        shown = len(response.licences)
        if shown < len(page):
            response.next_page_token = page_token(page[shown - 1].licence, *bound)
        return response

    @override
    async def RevokeLicence(self, request: pb.RevokeLicenceRequest, context: Context) -> pb.Licence:
        found = Violations()
        brand, licence = found.licence("name", request.name)
        found.check()
        engine, etag = self._server.engine, request.etag or None
        value = await self._server.read(
            lambda: engine.catalogue.licences.revoke(brand, licence, engine.clock(), etag),
            deadline_of(context),
        )
        return terms.licence(value, engine.clock())

    @override
    async def CreateProgramme(
        self, request: pb.CreateProgrammeRequest, context: Context
    ) -> pb.Programme:
        brand, programme, display_name = terms.new_programme(request)
        engine = self._server.engine
        made = await self._server.read(
            lambda: engine.catalogue.licences.create_programme(
                brand, programme, display_name, engine.clock()
            ),
            deadline_of(context),
        )
        return terms.programme(made)

    @override
    async def GetProgramme(self, request: pb.GetProgrammeRequest, context: Context) -> pb.Programme:
        brand, programme = self._programme(request.name)
        get = self._server.engine.catalogue.licences.get_programme
        return terms.programme(
            await self._server.read(lambda: get(brand, programme), deadline_of(context))
        )

    @override
    async def ListProgrammes(
        self, request: pb.ListProgrammesRequest, context: Context
    ) -> pb.ListProgrammesResponse:
        found = Violations()
        brand = found.brand("parent", request.parent)
        size = found.page_size("page_size", request.page_size)
        found.check()
        bound = ("ListProgrammes", request.parent)
        after = after_token(request.page_token, *bound)
        listing = self._server.engine.catalogue.licences.list_programmes
        page = await self._server.read(
            lambda: listing(brand, size + 1, after), deadline_of(context)
        )
        more = len(page) > size
        return pb.ListProgrammesResponse(
            programmes=[terms.programme(one) for one in page[:size]],
            next_page_token=page_token(page[size - 1].programme, *bound) if more else "",
        )

    @override
    async def DeleteProgramme(
        self, request: pb.DeleteProgrammeRequest, context: Context
    ) -> empty_pb2.Empty:
        brand, programme = self._programme(request.name)
        engine = self._server.engine
        await self._server.read(
            lambda: engine.catalogue.licences.delete_programme(brand, programme, engine.clock()),
            deadline_of(context),
        )
        return empty_pb2.Empty()

    @override
    async def AddSellers(
        self, request: pb.AddSellersRequest, context: Context
    ) -> pb.AddSellersResponse:
        brand, programme, sellers = terms.sellers(request)
        engine = self._server.engine
        count = await self._server.read(
            lambda: engine.catalogue.licences.add_sellers(
                brand, programme, sellers, engine.clock()
            ),
            deadline_of(context),
        )
        return pb.AddSellersResponse(added_count=count)

    @override
    async def RemoveSellers(
        self, request: pb.RemoveSellersRequest, context: Context
    ) -> pb.RemoveSellersResponse:
        brand, programme, sellers = terms.sellers(request)
        engine = self._server.engine
        count = await self._server.read(
            lambda: engine.catalogue.licences.remove_sellers(
                brand, programme, sellers, engine.clock()
            ),
            deadline_of(context),
        )
        return pb.RemoveSellersResponse(removed_count=count)

    @override
    async def ListSellers(
        self, request: pb.ListSellersRequest, context: Context
    ) -> pb.ListSellersResponse:
        found = Violations()
        brand, programme = found.group("parent", request.parent)
        size = found.page_size("page_size", request.page_size)
        found.check()
        bound = ("ListSellers", request.parent)
        after = after_token(request.page_token, *bound)
        listing = self._server.engine.catalogue.licences.list_sellers
        page = await self._server.read(
            lambda: listing(brand, programme, size + 1, after), deadline_of(context)
        )
        more = len(page) > size
        return pb.ListSellersResponse(
            sellers=page[:size], next_page_token=page_token(page[size - 1], *bound) if more else ""
        )

    def _programme(self, name: str) -> tuple[str, str]:
        found = Violations()
        ids = found.programme("name", name)
        found.check()
        return ids
