"""DisputesService: conflicts between originals, in the view of whoever asks, and decisions."""

from typing import override

from copycatch.v1 import disputes_service_pb2 as pb
from copycatch.v1 import disputes_service_pb2_grpc, originals_service_pb2
from index.catalogue import Catalogue
from index.dispute_rows import Decision, Dispute
from index.ledger import BrandNotFound
from service.conflicts import match_of, provenance_of
from service.rpc import answers
from service.rpc.calls import Server, deadline_of
from service.rpc.fields import Violations, brand_name, original_name
from service.rpc.front import Context
from service.rpc.paging import after_token, page_token

ALL = "brands/-"
_PAGE_BYTES = 3 << 20
_DECISIONS: dict[int, Decision] = {
    pb.Dispute.UPHOLD_NEWCOMER: "UPHOLD_NEWCOMER",
    pb.Dispute.REJECT_NEWCOMER: "REJECT_NEWCOMER",
    pb.Dispute.ACCEPT_BOTH: "ACCEPT_BOTH",
}


class DisputesServicer(disputes_service_pb2_grpc.DisputesServiceServicer):
    """Answers the calls of DisputesService."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @override
    async def GetDispute(self, request: pb.GetDisputeRequest, context: Context) -> pb.Dispute:
        found = Violations()
        brand, dispute = found.dispute("name", request.name)
        found.check()
        catalogue = self._server.engine.catalogue
        return await self._server.read(
            lambda: view(catalogue, catalogue.disputes.get(dispute, brand), brand),
            deadline_of(context),
        )

    @override
    async def ListDisputes(
        self, request: pb.ListDisputesRequest, context: Context
    ) -> pb.ListDisputesResponse:
        found = Violations()
        brand = "" if request.parent == ALL else found.brand("parent", request.parent)
        size = found.page_size("page_size", request.page_size)
        if request.state not in pb.Dispute.State.values():
            found.add("state", "is a state that this server does not know")
        found.check()
        state = pb.Dispute.State.Name(request.state) if request.state else ""
        bound = ("ListDisputes", request.parent, state)
        after = int(after_token(request.page_token, *bound) or 0)
        catalogue = self._server.engine.catalogue

        def read() -> pb.ListDisputesResponse:
            page = catalogue.disputes.list(brand, state, size + 1, after)
            response, room = pb.ListDisputesResponse(), _PAGE_BYTES
            for dispute in page[:size]:
                message = view(catalogue, dispute, brand)
                room -= message.ByteSize()
                if room < 0 and response.disputes:
                    break
                response.disputes.append(message)
            shown = len(response.disputes)
            if shown < len(page):
                response.next_page_token = page_token(str(page[shown - 1].number), *bound)
            return response

        return await self._server.read(read, deadline_of(context))

    @override
    async def ResolveDispute(
        self, request: pb.ResolveDisputeRequest, context: Context
    ) -> pb.Dispute:
        found = Violations()
        brand, dispute = found.dispute("name", request.name)
        if request.decision not in _DECISIONS:
            found.add("decision", f"must be one of {', '.join(_DECISIONS.values())}")
        reason = found.text("reason", request.reason, 2000)
        found.check()
        engine, etag = self._server.engine, request.etag or None
        catalogue = engine.catalogue

        def resolve() -> pb.Dispute:
            catalogue.disputes.get(dispute, brand)
            decision = _DECISIONS[request.decision]
            resolved = catalogue.disputes.resolve(dispute, decision, reason, engine.clock(), etag)
            return view(catalogue, resolved, brand)

        return await self._server.read(resolve, deadline_of(context))


def view(catalogue: Catalogue, dispute: Dispute, brand: str) -> pb.Dispute:
    """Return a dispute as one of its parties may see it, or with an empty brand all of it."""
    match = answers.match(match_of(dispute.match))
    match.note = (
        f"The original of {brand_name(dispute.newcomer_brand)} is found to copy an earlier one of "
        f"{brand_name(dispute.earlier_brand)} (score {match.score:.2f})."
    )
    if brand == dispute.newcomer_brand:
        match.original = ""
    message = pb.Dispute(
        name=f"{brand_name(brand or '-')}/disputes/{dispute.id}",
        state=pb.Dispute.State.Value(dispute.state),
        newcomer=_party(
            catalogue,
            dispute.newcomer_brand,
            dispute.newcomer_original,
            dispute.newcomer_key,
            brand in ("", dispute.newcomer_brand),
        ),
        earlier=_party(
            catalogue,
            dispute.earlier_brand,
            dispute.earlier_original,
            dispute.earlier_key,
            brand in ("", dispute.earlier_brand),
        ),
        match=match,
        provenance=answers.provenance(provenance_of(dispute.provenance)),
        reason=dispute.reason,
        create_time=answers.timestamp(dispute.create_time_ns),
        etag=dispute.etag,
    )
    if dispute.decision:
        message.decision = pb.Dispute.Decision.Value(dispute.decision)
    if dispute.resolve_time_ns is not None:
        message.resolve_time.CopyFrom(answers.timestamp(dispute.resolve_time_ns))
    return message


def _party(
    catalogue: Catalogue, brand: str, original: str, key: int, named: bool
) -> pb.Dispute.Party:
    """Return one side; `named` tells which original it is about."""
    message = pb.Dispute.Party(brand=brand_name(brand))
    try:
        message.brand_display_name = catalogue.get_brand(brand).display_name
    except BrandNotFound:
        pass  # the brand is gone, and the dispute still says whose the original was
    if named:
        message.original = original_name(brand, original)
    (record,) = catalogue.by_key([key])
    if record is not None:
        message.original_state = originals_service_pb2.Original.State.Value(record.state)
        message.register_time.CopyFrom(answers.timestamp(record.create_time_ns))
    return message
