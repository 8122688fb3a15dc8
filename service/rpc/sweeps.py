"""SweepService: sweeps are created, watched, ended, and their findings read.

An owner gets to the sweeps of its brands alone (`service.rpc.permissions`), and these look for
originals of their brand alone. Of remembered listings, which are the marketplace's, an owner is
shown those that copy its originals and no other.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import override

from copycatch.v1 import sweep_service_pb2 as pb
from copycatch.v1 import sweep_service_pb2_grpc
from service.rpc import sweep_answers, sweep_requests
from service.rpc.calls import Server, deadline_of
from service.rpc.fields import Violations
from service.rpc.front import Context
from service.rpc.paging import PageTokenInvalid, after_token, page_token
from service.sweeps.book import FindingNotFound, Page, SweepBook
from service.sweeps.filters import FindingFilter
from service.sweeps.findings import Finding
from service.sweeps.groups import GroupBy
from service.sweeps.recall import FORM as REMEMBERED
from service.sweeps.records import Sweep
from service.sweeps.runner import Sweeps

# A page ends early rather than outgrow the 4 MiB that a client receives by default.
_PAGE_BYTES = 3 << 20


class SweepServicer(sweep_service_pb2_grpc.SweepServiceServicer):
    """Answers the calls of SweepService."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @override
    async def CreateSweep(self, request: pb.CreateSweepRequest, context: Context) -> pb.Sweep:
        spec = sweep_requests.new_sweep(request, self._server.caller.confined)
        sweeps = self._sweeps
        # Looking at a manifest may take as long as a disk or an object store likes.
        made = await asyncio.to_thread(sweeps.create, spec)
        await self._log("sweep.create", made)
        return self._answer(made)

    @override
    async def GetSweep(self, request: pb.GetSweepRequest, context: Context) -> pb.Sweep:
        sweep = self._named("name", request.name)
        return self._answer(await self._read(lambda book: book.get(sweep), context))

    @override
    async def ListSweeps(
        self, request: pb.ListSweepsRequest, context: Context
    ) -> pb.ListSweepsResponse:
        found = Violations()
        size = found.page_size("page_size", request.page_size)
        parent = found.brand("parent", request.parent) if request.parent else ""
        found.check()
        bound = ("ListSweeps", request.parent)
        after = after_token(request.page_token, *bound)
        own = [parent]
        if not parent and self._server.caller.confined:
            own = sorted(self._server.caller.brands)

        def listing(book: SweepBook) -> list[Sweep]:
            if parent:
                self._server.engine.catalogue.get_brand(parent)
            page: list[Sweep] = []
            for brand in own:
                page += book.page(size + 1 - len(page), after, brand)
            return page

        page = await self._read(listing, context)
        more = len(page) > size
        return pb.ListSweepsResponse(
            sweeps=[self._answer(one) for one in page[:size]],
            next_page_token=page_token(page[size - 1].spec.sweep, *bound) if more else "",
        )

    @override
    async def CancelSweep(self, request: pb.CancelSweepRequest, context: Context) -> pb.Sweep:
        sweep, sweeps = self._named("name", request.name), self._sweeps
        ended = await self._read(lambda book: sweeps.cancel(sweep), context)
        await self._log("sweep.cancel", ended)
        return self._answer(ended)

    @override
    async def GetFinding(self, request: pb.GetFindingRequest, context: Context) -> pb.Finding:
        sweep, position = sweep_requests.finding(request.name)
        shown = self._shown(FindingFilter())

        def look(book: SweepBook) -> Finding:
            found = book.finding(sweep, position)
            if not shown(book, sweep).fits(found):
                raise FindingNotFound(sweep, str(position))
            return found

        return sweep_answers.finding(sweep, position, await self._read(look, context))

    @override
    async def ListFindings(
        self, request: pb.ListFindingsRequest, context: Context
    ) -> pb.ListFindingsResponse:
        sweep, size = self._page_of(request.parent, request.page_size)
        shown = self._shown(sweep_requests.filtered(request.filter))
        bound = (
            "ListFindings",
            request.parent,
            request.filter.SerializeToString(deterministic=True).hex(),
        )
        start = _number(after_token(request.page_token, *bound))
        listing_id = request.filter.listing_id

        def look(book: SweepBook) -> Page:
            wanted = shown(book, sweep)
            if not listing_id:
                return book.findings(sweep, size, start, wanted)
            place = book.place(sweep, listing_id)
            if place is None:
                return Page([], -1)
            page = book.findings(sweep, 1, place, wanted)
            return Page([each for each in page.findings if each[0] == place], -1)

        page = await self._read(look, context)
        response, room = pb.ListFindingsResponse(), _PAGE_BYTES
        following = page.next
        for position, found in page.findings:
            message = sweep_answers.finding(sweep, position, found)
            room -= message.ByteSize()
            if room < 0 and response.findings:
                following = position
                break
            response.findings.append(message)
        if following >= 0:
            response.next_page_token = page_token(str(following), *bound)
        return response

    @override
    async def ListFindingGroups(
        self, request: pb.ListFindingGroupsRequest, context: Context
    ) -> pb.ListFindingGroupsResponse:
        sweep, size = self._page_of(request.parent, request.page_size)
        by: GroupBy = "FAMILY" if request.group_by == request.FAMILY else "SELLER"
        bound = ("ListFindingGroups", request.parent, by)
        start = _number(after_token(request.page_token, *bound))
        groups = await self._read(lambda book: book.groups(sweep, by), context)
        more = len(groups) > start + size
        return pb.ListFindingGroupsResponse(
            groups=sweep_answers.groups(groups[start : start + size]),
            next_page_token=page_token(str(start + size), *bound) if more else "",
            total_size=len(groups),
        )

    @property
    def _sweeps(self) -> Sweeps:
        return self._server.engine.sweeps

    def _shown(self, wanted: FindingFilter) -> Callable[[SweepBook, str], FindingFilter]:
        """Make a filter, in the store, one that lets through what this caller may be shown."""
        confined = self._server.caller.confined

        def shown(book: SweepBook, sweep: str) -> FindingFilter:
            if confined and book.get(sweep).spec.form == REMEMBERED:
                return replace(wanted, matched=True)
            return wanted

        return shown

    async def _read[T](self, work: Callable[[SweepBook], T], context: Context) -> T:
        book = self._sweeps.book
        return await self._server.read(lambda: work(book), deadline_of(context))

    async def _log(self, action: str, sweep: Sweep) -> None:
        """Note in the audit log who began or ended a sweep, and of what."""
        spec, audit = sweep.spec, self._server.engine.catalogue.audit
        details = {
            "sweep": spec.sweep,
            "manifest": spec.manifest,
            "brands": sorted(spec.target.brands),
            "originals": sorted(spec.target.originals),
            "policy": spec.policy,
            "done": sweep.counts.done,
        }
        await self._server.logged(lambda: audit.record(action, details, brands=spec.target.brands))

    def _answer(self, sweep: Sweep) -> pb.Sweep:
        message = sweep_answers.sweep(sweep, self._sweeps.listings_per_s(sweep))
        if self._server.caller.confined:
            message.provenance.ClearField("snapshot")  # it counts the changes of all brands
        return message

    def _named(self, field: str, name: str) -> str:
        found = Violations()
        sweep = found.sweep(field, name)
        found.check()
        return sweep

    def _page_of(self, parent: str, page_size: int) -> tuple[str, int]:
        found = Violations()
        sweep = found.sweep("parent", parent)
        size = found.page_size("page_size", page_size)
        found.check()
        return sweep, size


def _number(after: str) -> int:
    """The place to go on from. Raises PageTokenInvalid."""
    if after and not after.isdecimal():
        raise PageTokenInvalid
    return int(after or 0)
