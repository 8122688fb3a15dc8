"""MatchService: listings are checked, pictures compared, labels read and written."""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import override

from copycatch.v1 import match_service_pb2 as pb
from copycatch.v1 import match_service_pb2_grpc
from models.images import decode
from models.labels.label import AiLabel
from models.labels.read import read_label
from models.labels.write import write_label
from models.sketch import Kept
from service.auditing import Judged, record_comparison, record_listing
from service.matching.results import Comparison, ImageVerdict, Verdict
from service.rights import Offer
from service.rpc import answers, convert, errors
from service.rpc.calls import Server, deadline_of, together
from service.rpc.convert import Check
from service.rpc.front import Context
from service.rpc.info import server_info
from service.rpc.streams import answers as stream_answers
from service.workers import PictureTimedOut, Places


@dataclass(frozen=True, slots=True)
class _Looked:
    """What looking at one picture has led to.

    Attributes:
        found: an error is this picture's alone.
        kept: what may be remembered of it.
    """

    label: AiLabel | None
    found: ImageVerdict | Exception
    sha256: bytes
    kept: Kept | None = None


class MatchServicer(match_service_pb2_grpc.MatchServiceServicer):
    """Answers the calls of MatchService."""

    def __init__(self, server: Server, started_ns: int) -> None:
        self._server, self._started_ns = server, started_ns

    @override
    async def CheckListing(
        self, request: pb.CheckListingRequest, context: Context
    ) -> pb.CheckListingResponse:
        check, deadline = convert.check(request), deadline_of(context)
        with self._server.admit(len(check.images)) as places:
            return await self._check(check, places, deadline)

    @override
    async def StreamingCheckListings(
        self, request_iterator: AsyncIterator[pb.StreamingCheckListingsRequest], context: Context
    ) -> AsyncIterator[pb.StreamingCheckListingsResponse]:
        deadline = deadline_of(context)

        async def one(
            item: pb.StreamingCheckListingsRequest,
        ) -> pb.StreamingCheckListingsResponse:
            try:
                convert.item_id(item.item_id)
                check = convert.check(item.request, at="request.")
                with await self._server.wait_for_room(len(check.images)) as places:
                    response = await self._check(check, places, deadline)
            except Exception as error:
                return pb.StreamingCheckListingsResponse(
                    item_id=item.item_id[:1024], error=self._server.item_status(error)
                )
            return pb.StreamingCheckListingsResponse(item_id=item.item_id, response=response)

        window, closing = self._server.stream_window, self._server.gate.closing
        async for response in stream_answers(request_iterator, one, window, closing):
            yield response

    @override
    async def CompareImages(
        self, request: pb.CompareImagesRequest, context: Context
    ) -> pb.Comparison:
        image_a, image_b = convert.pair(request)
        deadline = deadline_of(context)
        matcher = self._server.engine.matcher

        def compare() -> tuple[Comparison, list[bytes]]:
            try:
                found = matcher.compare(image_a, image_b, evidence_png=request.evidence_image)
                return found, [sha256(image).digest() for image in (image_a, image_b)]
            except Exception as error:
                _name_the_picture(error, {"image_a": image_a, "image_b": image_b})
                raise

        with self._server.admit(1) as place:
            found, digests = await place.run(compare, deadline)
        self._server.note_steps(found.steps_ms)
        provenance = matcher.provenance()
        if found.match.verdict is not Verdict.CLEAR:
            audit = self._server.engine.catalogue.audit
            await self._server.logged(lambda: record_comparison(audit, digests, found, provenance))
        return pb.Comparison(
            match=answers.match(found.match),
            evidence_image=found.evidence_png,
            steps_ms=found.steps_ms,
            provenance=answers.provenance(provenance),
        )

    @override
    async def LabelImages(
        self, request: pb.LabelImagesRequest, context: Context
    ) -> pb.LabelImagesResponse:
        images, deadline = convert.labelled(request), deadline_of(context)
        settings, declared = self._server.engine.labels, request.ai_declared

        def read(image: bytes) -> Callable[[], AiLabel]:
            return lambda: read_label(image, settings, declared=declared)

        with self._server.admit(len(images)) as places:
            labels = await together(places.run(read(image), deadline) for image in images)
        for label in labels:
            self._server.metrics.labelled(label.state.value)
        return pb.LabelImagesResponse(ai_labels=[answers.ai_label(label) for label in labels])

    @override
    async def WriteLabel(
        self, request: pb.WriteLabelRequest, context: Context
    ) -> pb.WriteLabelResponse:
        propagation, text = convert.mark(request)
        deadline, engine = deadline_of(context), self._server.engine
        settings, certificate = engine.labels, engine.certificate

        def write() -> tuple[bytes, AiLabel]:
            image = write_label(request.image, propagation, text, settings, certificate=certificate)
            return image, read_label(image, settings)

        with self._server.admit(1) as place:
            image, label = await place.run(write, deadline)
        return pb.WriteLabelResponse(image=image, ai_label=answers.ai_label(label))

    @override
    async def GetServerInfo(
        self, request: pb.GetServerInfoRequest, context: Context
    ) -> pb.ServerInfo:
        gate, started_ns, caller = self._server.gate, self._started_ns, self._server.caller
        return await self._server.read(
            lambda: server_info(gate, started_ns, caller), deadline_of(context)
        )

    async def _check(
        self, check: Check, places: Places, deadline: float | None
    ) -> pb.CheckListingResponse:
        engine = self._server.engine
        if check.options.brands:
            await self._server.read(lambda: self._know(check.options.brands), deadline)
        offer = engine.rights.offer(check.seller, check.territory)
        looked = await together(
            self._look(image, self._looking(image, check, offer, deadline), places, deadline)
            for image in check.images
        )
        results = [self._result(one) for one in looked]
        if engine.remembering is not None:
            kept = [one.kept for one in looked if one.kept is not None]
            engine.remembering.offer(
                check.listing_id, check.seller, kept, territory=check.territory
            )
        verdicts = [one.found if isinstance(one.found, ImageVerdict) else None for one in looked]
        verdict = answers.listing_verdict(verdicts)
        provenance = engine.matcher.provenance(check.options.policy)
        entry = ""
        if verdict is not Verdict.CLEAR:
            entry = await self._server.logged(
                lambda: record_listing(
                    engine.catalogue.audit,
                    check.listing_id,
                    check.seller,
                    verdict,
                    _not_clear(looked),
                    check.options,
                    provenance,
                    {"territory": check.territory},
                )
            )
        return pb.CheckListingResponse(
            listing_id=check.listing_id,
            verdict=answers.verdict(verdict),
            image_results=results,
            provenance=answers.provenance(provenance),
            audit_entry=entry,
        )

    async def _look(
        self,
        image: bytes,
        look: Callable[[], _Looked],
        places: Places,
        deadline: float | None,
    ) -> _Looked:
        """Look at one picture; one that takes too long costs the others of its listing nothing."""
        try:
            return await places.run(look, deadline)
        except PictureTimedOut as error:
            digest = await self._server.read(lambda: sha256(image).digest(), None)
            return _Looked(None, error, digest)

    def _looking(
        self, image: bytes, check: Check, offer: Offer, deadline: float | None
    ) -> Callable[[], _Looked]:
        """Return the work on one picture, for a worker thread."""
        engine = self._server.engine
        rights, settings, remembering = engine.rights, engine.labels, engine.remembering

        kept: list[Kept] = []
        keep = kept.append if remembering is not None and check.listing_id else None

        def look() -> _Looked:
            began = time.perf_counter()
            label = read_label(image, settings, declared=check.ai_declared)
            self._server.metrics.stepped({"ai_label": (time.perf_counter() - began) * 1000})
            try:
                found: ImageVerdict | Exception = rights.check(
                    image, check.options, offer, deadline, keep
                )
            except Exception as error:
                if errors.code_of(error) not in errors.OF_ONE_PICTURE:
                    raise
                found = error
            clear = isinstance(found, ImageVerdict) and found.verdict is Verdict.CLEAR
            digest = b"" if clear else sha256(image).digest()
            return _Looked(label, found, digest, kept[0] if kept else None)

        return look

    def _result(self, looked: _Looked) -> pb.ImageResult:
        label, found = looked.label, looked.found
        if label is not None:
            self._server.metrics.labelled(label.state.value)
        if isinstance(found, Exception) or label is None:
            error = found if isinstance(found, Exception) else AssertionError("no label")
            result = pb.ImageResult(error=self._server.item_status(error))
        else:
            self._server.note_steps(found.steps_ms)
            self._server.metrics.judged(
                found.verdict.value,
                [match.kind.value for match in found.matches if match.verdict is not Verdict.CLEAR],
                label.state.value,
            )
            result = answers.image_result(found)
            answers.join(result, label)
        if label is not None:
            result.ai_label.CopyFrom(answers.ai_label(label))
        return result

    def _know(self, brands: frozenset[str]) -> None:
        for brand in sorted(brands):
            self._server.engine.catalogue.get_brand(brand)


def _not_clear(looked: Sequence[_Looked]) -> list[Judged]:
    """Return the pictures of a listing that the audit log speaks of."""
    judged = []
    for position, one in enumerate(looked):
        if isinstance(one.found, Exception):
            judged.append(Judged(position, one.sha256, None, errors.reason_of(one.found)))
        elif one.found.verdict is not Verdict.CLEAR:
            judged.append(Judged(position, one.sha256, one.found))
    return judged


def _name_the_picture(error: Exception, images: Mapping[str, bytes]) -> None:
    """Put into an error which of the pictures it is about, as its attribute `field`."""
    for field, image in images.items():
        try:
            decode(image)
        except type(error):
            vars(error)["field"] = field
            return
        except Exception:
            continue
