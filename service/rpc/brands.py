"""BrandsService: the brands whose originals are kept; `RightsMethods` has who may use them."""

from collections.abc import Collection, Sequence
from typing import override

from google.protobuf import empty_pb2

from copycatch.v1 import brands_service_pb2 as pb
from index.catalogue import Catalogue
from index.ledger import BrandNotFound
from index.records import Brand
from service.rpc import answers, convert
from service.rpc.calls import deadline_of
from service.rpc.fields import Violations
from service.rpc.front import Context
from service.rpc.licences import RightsMethods
from service.rpc.paging import after_token, page_token


class BrandsServicer(RightsMethods):
    """Answers the calls of BrandsService."""

    @override
    async def CreateBrand(self, request: pb.CreateBrandRequest, context: Context) -> pb.Brand:
        brand, display_name = convert.new_brand(request)
        create = self._server.engine.catalogue.create_brand
        made = await self._server.read(
            lambda: create(brand, display_name=display_name), deadline_of(context)
        )
        return answers.brand(made)

    @override
    async def GetBrand(self, request: pb.GetBrandRequest, context: Context) -> pb.Brand:
        found = Violations()
        brand = found.brand("name", request.name)
        found.check()
        get = self._server.engine.catalogue.get_brand
        return answers.brand(await self._server.read(lambda: get(brand), deadline_of(context)))

    @override
    async def ListBrands(
        self, request: pb.ListBrandsRequest, context: Context
    ) -> pb.ListBrandsResponse:
        found = Violations()
        size = found.page_size("page_size", request.page_size)
        found.check()
        after = after_token(request.page_token, "ListBrands")
        catalogue, caller = self._server.engine.catalogue, self._server.caller

        def listing() -> Sequence[Brand]:
            if caller.confined:
                return _own_brands(catalogue, caller.brands, size + 1, after)
            return catalogue.list_brands(page_size=size + 1, after=after)

        page = await self._server.read(listing, deadline_of(context))
        more = len(page) > size
        return pb.ListBrandsResponse(
            brands=[answers.brand(one) for one in page[:size]],
            next_page_token=page_token(page[size - 1].brand, "ListBrands") if more else "",
        )

    @override
    async def DeleteBrand(
        self, request: pb.DeleteBrandRequest, context: Context
    ) -> empty_pb2.Empty:
        found = Violations()
        brand = found.brand("name", request.name)
        found.check()
        engine = self._server.engine

        def delete() -> None:
            etag = request.etag or None
            engine.catalogue.delete_brand(brand, etag=etag, force=request.force)
            engine.sweeps.forget(brand)

        await self._server.read(delete, deadline_of(context))
        return empty_pb2.Empty()


def _own_brands(
    catalogue: Catalogue, own: Collection[str], page_size: int, after: str
) -> Sequence[Brand]:
    """Return a page of the brands that an owner is bound to and that exist."""
    page: list[Brand] = []
    for brand in sorted(own):
        if brand <= after or len(page) == page_size:
            continue
        try:
            page.append(catalogue.get_brand(brand))
        except BrandNotFound:
            continue  # bound before it is created
    return page
