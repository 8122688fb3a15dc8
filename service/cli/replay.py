"""`copycatch replay`: would a verdict of the audit log be another one today, and why?"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from copycatch.v1 import audit_service_pb2 as audit_pb2
from copycatch.v1 import match_service_pb2 as match_pb2
from service.cli import options, output
from service.cli.client import Client
from service.cli.failure import EXIT_FOUND, CommandError

JUDGE = "listing.judge"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(replay)


def replay(
    request_id: Annotated[
        str,
        typer.Argument(
            metavar="REQUEST_ID",
            help="`x-request-id` of the call, or auditEntries/N as the answer named it.",
        ),
    ],
    image: Annotated[
        list[Path] | None,
        typer.Option(
            "--image",
            metavar="FILE",
            help="A picture of the listing, the very file that was checked: it is then checked in "
            "full. May be given several times.",
        ),
    ] = None,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Judge the pictures of a logged verdict once more, by what the server knows today.

    Exit code 0: the verdict would be the same. 1: it would differ, or that is not certain.
    """
    images = [path.read_bytes() for path in image or ()]
    same = True
    with Client(server, timeout) as client:
        for name in _entries(client, request_id):
            request = audit_pb2.ReplayAuditEntryRequest(name=name, images=images)
            found = client.call(client.audit.ReplayAuditEntry, request)
            same = same and found.certain and not found.differs
            if json:
                output.print_json(output.to_dict(found, zeros=True))
            else:
                _print(found)
    if not same:
        raise typer.Exit(EXIT_FOUND)


def _entries(client: Client, wanted: str) -> Iterator[str]:
    """The names of the verdicts of a request, or the one that is named."""
    if wanted.startswith("auditEntries/"):
        yield wanted
        return
    request = audit_pb2.ListAuditEntriesRequest(request_id=wanted, page_size=500)
    count = 0
    while True:
        page = client.call(client.audit.ListAuditEntries, request)
        for entry in page.audit_entries:
            if entry.action == JUDGE:
                count += 1
                yield entry.name
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    if not count:
        raise CommandError(
            f"the audit log has no verdict of request {wanted}",
            "only verdicts other than CLEAR are in it; the id is the call's x-request-id",
        )


def _print(found: audit_pb2.Replay) -> None:
    console = output.console()
    logged, today = (output.verdict_name(v) for v in (found.logged_verdict, found.verdict))
    words = "would differ" if found.differs else "would be the same"
    doubt = "" if found.certain else ", as far as can be told"
    told = (output.styled(logged), " then, ", output.styled(today), " today: ")
    verdict = Text.assemble(f"{found.name}: ", *told, f"the verdict {words}{doubt}")
    console.print(verdict, soft_wrap=True)
    table = output.table("picture", "original", "then", ">score", "today", ">score")
    for picture in found.pictures:
        for each in picture.originals:
            table.add_row(
                str(picture.position + 1),
                each.original,
                _verdict(each.logged_verdict),
                f"{each.logged_score:.3f}" if each.HasField("logged_score") else "",
                _verdict(each.verdict),
                f"{each.score:.3f}" if each.HasField("score") else "",
            )
    console.print(table)
    for picture in found.pictures:
        how = "checked in full" if picture.complete else "from its fingerprint"
        for reason in picture.reasons:
            cause = audit_pb2.Replay.Cause.Name(reason.cause)
            line = f"picture {picture.position + 1} ({how}): {cause}: {reason.description}"
            console.print(line, soft_wrap=True, highlight=False)
    if not found.certain:
        output.remark("hand in the pictures with --image to know for certain")


def _verdict(value: "match_pb2.Verdict.ValueType") -> str | Text:
    return output.styled(output.verdict_name(value)) if value else ""
