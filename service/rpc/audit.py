"""AuditService: shows the audit log, and replays its verdicts."""

import re
from typing import override

from copycatch.v1 import audit_service_pb2 as pb
from copycatch.v1 import audit_service_pb2_grpc, match_service_pb2
from index.chain import Link
from service.limits import MAX_IMAGES
from service.matching.results import Verdict
from service.replayed import Replayed, ReplayedPicture
from service.rpc import answers
from service.rpc.calls import Server, deadline_of
from service.rpc.fields import Violations
from service.rpc.front import Context
from service.rpc.paging import PageTokenInvalid, after_token, page_token

# A page ends early rather than outgrow the 4 MiB that a client receives by default.
_PAGE_BYTES = 3 << 20
_NAME = re.compile(r"auditEntries/([1-9][0-9]{0,17})")


class AuditServicer(audit_service_pb2_grpc.AuditServiceServicer):
    """Answers the calls of AuditService."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @override
    async def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, context: Context
    ) -> pb.ListAuditEntriesResponse:
        violations = Violations()
        size = violations.page_size("page_size", request.page_size)
        brand = violations.brand("brand", request.brand) if request.brand else ""
        request_id = violations.request_id("request_id", request.request_id)
        if brand and request_id:
            violations.add("brand", "can not stand together with request_id")
        start = entry_sequence(violations, "after", request.after) if request.after else 0
        violations.check()
        bound = ("ListAuditEntries", request.brand, request_id, request.after)
        token = after_token(request.page_token, *bound)
        if token and not token.isdecimal():
            raise PageTokenInvalid
        after = int(token or start)
        log = self._server.engine.catalogue.audit
        page = await self._server.read(
            lambda: log.page(after, size + 1, request_id=request_id, brand=brand),
            deadline_of(context),
        )
        response, room = pb.ListAuditEntriesResponse(), _PAGE_BYTES
        for link in page[:size]:
            room -= len(link.body) + 200
            if room < 0 and response.audit_entries:
                break
            response.audit_entries.append(_entry(link))
        shown = len(response.audit_entries)
        if shown < len(page):
            response.next_page_token = page_token(str(page[shown - 1].sequence), *bound)
        return response

    @override
    async def GetAuditHead(self, request: pb.GetAuditHeadRequest, context: Context) -> pb.AuditHead:
        log = self._server.engine.catalogue.audit
        ends = await self._server.read(lambda: log.ends, deadline_of(context))
        return pb.AuditHead(
            sequence=ends.last,
            hash=ends.hash,
            oldest_sequence=ends.dropped + 1,
            entry_byte_count=ends.entry_bytes,
            fingerprint_byte_count=ends.print_bytes,
        )

    @override
    async def ReplayAuditEntry(
        self, request: pb.ReplayAuditEntryRequest, context: Context
    ) -> pb.Replay:
        violations = Violations()
        sequence = entry_sequence(violations, "name", request.name)
        if len(request.images) > MAX_IMAGES:
            violations.add("images", f"at most {MAX_IMAGES} are allowed")
        violations.check()
        replayer, deadline = self._server.engine.replayer, deadline_of(context)
        images = tuple(request.images)
        with self._server.admit(1) as place:
            found = await place.run(lambda: replayer.replay(sequence, images, deadline), deadline)
        return _replay(request.name, found)


def entry_sequence(violations: Violations, field: str, name: str) -> int:
    """Return the sequence in `auditEntries/{sequence}`."""
    found = _NAME.fullmatch(name)
    if found is None:
        violations.add(field, f"must be auditEntries/{{sequence}}, got {name[:200]!r}")
        return 0
    return int(found[1])


def _entry(link: Link) -> pb.AuditEntry:
    entry = link.entry
    return pb.AuditEntry(
        name=f"auditEntries/{link.sequence}",
        create_time=answers.timestamp(entry["time_ns"]),
        principal=entry["principal"],
        request_id=entry["request_id"],
        method=entry["method"],
        action=entry["action"],
        body=link.body.decode(),
        previous_hash=link.previous,
        hash=link.hash,
    )


def _replay(name: str, found: Replayed) -> pb.Replay:
    return pb.Replay(
        name=name,
        differs=found.differs,
        certain=found.certain,
        logged_verdict=answers.verdict(found.logged),
        verdict=answers.verdict(found.today),
        pictures=[_picture(one) for one in found.pictures],
        logged_provenance=answers.provenance(found.logged_provenance),
        provenance=answers.provenance(found.provenance),
    )


def _picture(one: ReplayedPicture) -> pb.Replay.Picture:
    return pb.Replay.Picture(
        position=one.position,
        logged_verdict=_verdict(one.logged),
        verdict=_verdict(one.today),
        complete=one.complete,
        reasons=[
            pb.Replay.Reason(
                cause=pb.Replay.Cause.Value(reason.cause.value),
                description=reason.words,
                original=reason.original,
            )
            for reason in one.reasons
        ],
        originals=[
            pb.Replay.Compared(
                original=each.original,
                logged_verdict=_verdict(each.logged_verdict),
                verdict=_verdict(each.verdict),
                logged_score=each.logged_score,
                score=each.score,
            )
            for each in one.originals
        ],
    )


def _verdict(value: Verdict | None) -> match_service_pb2.Verdict.ValueType:
    """Return a verdict as the number of the message, that of none for None."""
    return match_service_pb2.VERDICT_UNSPECIFIED if value is None else answers.verdict(value)
