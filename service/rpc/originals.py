"""OriginalsService: originals are registered, shown, changed and withdrawn."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import override

from google.protobuf import empty_pb2

from copycatch.v1 import originals_service_pb2 as pb
from copycatch.v1 import originals_service_pb2_grpc
from index.dispute_rows import RivalAppeared
from index.ledger import OriginalExists
from index.records import NewOriginal, OriginalRecord
from service.registry import GroupCommit, Submission, identified
from service.rpc import answers, convert
from service.rpc.calls import Server, deadline_of
from service.rpc.fields import Violations, brand_name
from service.rpc.front import Context
from service.rpc.paging import after_token, page_token
from service.rpc.streams import answers as stream_answers
from service.workers import Places

# A page ends early rather than outgrow the 4 MiB that a client receives by default.
_PAGE_BYTES = 3 << 20

_IMPORT = "copycatch.v1.OriginalsService/ImportOriginals"
_Outcome = pb.ImportOriginalsResponse.Outcome


class OriginalsServicer(originals_service_pb2_grpc.OriginalsServiceServicer):
    """Answers the calls of OriginalsService."""

    def __init__(self, server: Server, commits: GroupCommit) -> None:
        self._server, self._commits = server, commits
        self._again = asyncio.Lock()

    @override
    async def CreateOriginal(
        self, request: pb.CreateOriginalRequest, context: Context
    ) -> pb.Original:
        submission, deadline = convert.submission(request), deadline_of(context)
        with self._server.admit(1) as place:
            record, _ = await self._create(submission, deadline, place)
        return answers.original(record)

    @override
    async def BatchCreateOriginals(
        self, request: pb.BatchCreateOriginalsRequest, context: Context
    ) -> pb.BatchCreateOriginalsResponse:
        requests = convert.batch(request)
        deadline = deadline_of(context)
        await self._brand_exists(request.parent, deadline)
        response = pb.BatchCreateOriginalsResponse()
        created: dict[int, OriginalRecord] = {}

        async def one(position: int) -> None:
            at = f"requests[{position}]."
            try:
                submission = convert.submission(requests[position], at=at, parent=request.parent)
                created[position], _ = await self._create(submission, deadline)
            except Exception as error:
                status = self._server.item_status(error)
                response.failed_requests[position].CopyFrom(status)

        with self._server.admit(1):
            pass  # a full server says so before it begins; what is begun waits for its places
        async with asyncio.TaskGroup() as group:
            for position in range(len(requests)):
                group.create_task(one(position))
        response.originals.extend(answers.original(created[i]) for i in sorted(created))
        return response

    @override
    async def ImportOriginals(
        self, request_iterator: AsyncIterator[pb.ImportOriginalsRequest], context: Context
    ) -> AsyncIterator[pb.ImportOriginalsResponse]:
        deadline = deadline_of(context)

        async def one(item: pb.ImportOriginalsRequest) -> pb.ImportOriginalsResponse:
            try:
                convert.item_id(item.item_id)
                self._server.keep_to_own(_IMPORT, item)
                submission = convert.submission(item.request, at="request.")
                record, new = await self._create(submission, deadline)
                return pb.ImportOriginalsResponse(
                    item_id=item.item_id,
                    outcome=_Outcome.CREATED if new else _Outcome.ALREADY_PRESENT,
                    original=answers.original(record),
                )
            except Exception as error:
                return pb.ImportOriginalsResponse(
                    item_id=item.item_id[:1024],
                    outcome=_Outcome.FAILED,
                    error=self._server.item_status(error),
                )

        window, closing = self._server.stream_window, self._server.gate.closing
        async for response in stream_answers(request_iterator, one, window, closing):
            yield response

    @override
    async def GetOriginal(self, request: pb.GetOriginalRequest, context: Context) -> pb.Original:
        brand, original = self._named(request.name)
        get = self._server.engine.catalogue.get
        record = await self._server.read(lambda: get(brand, original), deadline_of(context))
        return answers.original(record)

    @override
    async def ListOriginals(
        self, request: pb.ListOriginalsRequest, context: Context
    ) -> pb.ListOriginalsResponse:
        found = Violations()
        brand = found.brand("parent", request.parent)
        size = found.page_size("page_size", request.page_size)
        found.check()
        bound = ("ListOriginals", request.parent)
        after = after_token(request.page_token, *bound)
        deadline = deadline_of(context)
        await self._brand_exists(request.parent, deadline)
        listing = self._server.engine.catalogue.list
        page = await self._server.read(
            lambda: listing(brand, page_size=size + 1, after=after), deadline
        )
        response, room = pb.ListOriginalsResponse(), _PAGE_BYTES
        for record in page[:size]:
            message = answers.original(record)
            room -= message.ByteSize()
            if room < 0 and response.originals:
                break
            response.originals.append(message)
        shown = len(response.originals)
        if shown < len(page):
            response.next_page_token = page_token(page[shown - 1].original, *bound)
        return response

    @override
    async def UpdateOriginal(
        self, request: pb.UpdateOriginalRequest, context: Context
    ) -> pb.Original:
        change = convert.change(request)
        update = self._server.engine.catalogue.update
        record = await self._server.read(
            lambda: update(
                change.brand,
                change.original,
                display_name=change.display_name,
                annotations=change.annotations,
                etag=change.etag or None,
            ),
            deadline_of(context),
        )
        return answers.original(record)

    @override
    async def DeleteOriginal(
        self, request: pb.DeleteOriginalRequest, context: Context
    ) -> empty_pb2.Empty:
        brand, original = self._named(request.name)
        withdraw = self._server.engine.catalogue.withdraw
        await self._server.read(
            lambda: withdraw(brand, original, etag=request.etag or None), deadline_of(context)
        )
        return empty_pb2.Empty()

    @override
    async def GetOriginalPreview(
        self, request: pb.GetOriginalPreviewRequest, context: Context
    ) -> pb.GetOriginalPreviewResponse:
        brand, original = self._named(request.name)
        catalogue = self._server.engine.catalogue

        def preview() -> bytes:
            return catalogue.preview(catalogue.get(brand, original).key)

        image = await self._server.read(preview, deadline_of(context))
        return pb.GetOriginalPreviewResponse(image=image, media_type="image/webp")

    async def _create(
        self, submission: Submission, deadline: float | None, place: Places | None = None
    ) -> tuple[OriginalRecord, bool]:
        """Return the original, and whether it is new; a brand has a picture once.

        Args:
            place: a place for the work; None waits for one.
        """
        engine = self._server.engine

        def look() -> tuple[Submission, OriginalRecord | None]:
            named = identified(submission)
            # A request id stands for what it made, or for nothing yet: the store knows.
            return named, None if named.request_id else engine.registry.present(named)

        named, present = await self._server.read(look, deadline)
        if present is not None:
            return present, False
        if named.request_id:
            brand = named.brand
            await self._server.read(lambda: engine.catalogue.get_brand(brand), deadline)
        try:
            return await self._register(named, deadline, place), True
        except OriginalExists as error:
            if not error.same_picture:
                raise
            get, there = engine.catalogue.get, error.original
            return await self._server.read(lambda: get(named.brand, there), deadline), False

    async def _register(
        self, submission: Submission, deadline: float | None, place: Places | None
    ) -> OriginalRecord:
        registry = self._server.engine.registry
        new, steps_ms = await self._work(
            lambda: registry.prepare(submission, deadline), deadline, place
        )
        try:
            record = await self._commits.commit(new)
        except RivalAppeared:
            record = await self._register_again(new, submission, deadline)
        self._server.note_steps(steps_ms)
        self._server.metrics.registered(record.state)
        return record

    async def _register_again(
        self, new: NewOriginal, submission: Submission, deadline: float | None
    ) -> OriginalRecord:
        """Compare with what has come meanwhile, and keep it, until nothing has.

        One at a time: of many that are alike and compared at once, the first to be kept would
        send all others back, and each of them would be compared as often as there are others.
        """
        registry = self._server.engine.registry
        async with self._again:
            while True:
                again = partial(registry.screened, new, submission, deadline)
                new = await self._work(again, deadline)
                with contextlib.suppress(RivalAppeared):
                    return await self._commits.commit(new)

    async def _work[T](
        self, work: Callable[[], T], deadline: float | None, place: Places | None = None
    ) -> T:
        """Run work on a picture in the place that is given, or as soon as there is room."""
        if place is not None:
            return await place.run(work, deadline)
        with await self._server.wait_for_room(1) as found:
            return await found.run(work, deadline)

    async def _brand_exists(self, parent: str, deadline: float | None) -> None:
        get = self._server.engine.catalogue.get_brand
        brand = parent.removeprefix(brand_name(""))
        await self._server.read(lambda: get(brand), deadline)

    def _named(self, name: str) -> tuple[str, str]:
        found = Violations()
        ids = found.original("name", name)
        found.check()
        return ids
