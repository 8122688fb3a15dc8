"""`copycatch disputes`: originals that were found to copy those of another brand."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from copycatch.v1 import disputes_service_pb2 as pb
from copycatch.v1 import originals_service_pb2 as originals_pb2
from service.cli import changing, options, output
from service.cli.client import Client
from service.cli.failure import CommandError
from service.cli.names import short_name
from service.cli.targets import check_folder
from service.wording import counted

PAGE_SIZE = 500
ALL = "brands/-"

BrandOption = Annotated[
    str, typer.Option("--brand", metavar="ID", help="In the view of this brand; otherwise all.")
]
DisputeArgument = Annotated[
    str,
    typer.Argument(
        metavar="DISPUTE", help="Its id, such as d-17, as `list` prints it, or its name."
    ),
]
_DECISIONS = {
    "newcomer": pb.Dispute.UPHOLD_NEWCOMER,
    "earlier": pb.Dispute.REJECT_NEWCOMER,
    "both": pb.Dispute.ACCEPT_BOTH,
}


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    disputes = typer.Typer(
        no_args_is_help=True, help="Conflicts between originals of different brands."
    )
    disputes.command("list")(list_)
    disputes.command("show")(show)
    disputes.command("resolve")(resolve)
    app.add_typer(disputes, name="disputes")


def list_(
    brand: BrandOption = "",
    every: Annotated[
        bool, typer.Option("--all", help="Also those that were decided or withdrawn.")
    ] = False,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """List the disputes that wait for a decision, the oldest first."""
    table = output.table("id", "state", "newcomer", "earlier", "kind", ">score", "found")
    count = 0
    request = pb.ListDisputesRequest(
        parent=f"brands/{brand}" if brand else ALL,
        state=pb.Dispute.STATE_UNSPECIFIED if every else pb.Dispute.OPEN,
        page_size=PAGE_SIZE,
    )
    with Client(server, timeout) as client:
        while True:
            page = _page(client, request)
            for dispute in page.disputes:
                count += 1
                if json:
                    output.print_json(output.to_dict(dispute))
                    continue
                table.add_row(
                    _id(dispute.name),
                    _state_words(dispute),
                    _party_words(dispute.newcomer),
                    _party_words(dispute.earlier),
                    output.kind_words(dispute.match),
                    f"{dispute.match.score:.2f}",
                    output.when(dispute.create_time),
                )
            request.page_token = page.next_page_token
            if not request.page_token:
                break
    if not json:
        if count:
            output.console().print(table)
        waiting = "waits" if count == 1 else "wait"
        more = "" if every else f" {waiting} for a decision"
        output.console().print(f"{counted(count, 'dispute')}{more}", highlight=False)


def show(
    dispute: DisputeArgument,
    brand: BrandOption = "",
    pictures: Annotated[
        Path | None,
        typer.Option("--pictures", metavar="DIR", help="Write the pictures of both there."),
    ] = None,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Show one dispute with its evidence."""
    written: list[Path] = []
    name = _name(dispute, brand)
    if pictures is not None:
        check_folder(pictures, "--pictures")
    with Client(server, timeout) as client:
        found = client.call(client.disputes.GetDispute, pb.GetDisputeRequest(name=name))
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            for role, party in (("newcomer", found.newcomer), ("earlier", found.earlier)):
                if party.original and party.original_state:
                    asked = originals_pb2.GetOriginalPreviewRequest(name=party.original)
                    answer = client.call(client.originals.GetOriginalPreview, asked)
                    written.append(pictures / f"{_id(name)}-{role}.webp")
                    written[-1].write_bytes(answer.image)
    if json:
        output.print_json(output.to_dict(found))
        return
    console = output.console()
    table = output.table("field", "value")
    rows = [
        ("name", found.name),
        ("state", _state_words(found)),
        ("newcomer", _party_words(found.newcomer, full=True)),
        ("earlier", _party_words(found.earlier, full=True)),
        ("found", output.when(found.create_time)),
        ("kind", f"{output.kind_words(found.match)}, score {found.match.score:.2f}"),
        ("edits", output.edit_words(found.match)),
        ("policy", found.provenance.policy),
        ("decided", output.when(found.resolve_time)),
        ("reason", found.reason),
        ("etag", found.etag),
    ]
    for field, value in rows:
        if value:
            table.add_row(field, value)
    console.print(table)
    console.print(output.evidence_table(found.match))
    for path in written:
        output.remark(f"wrote {path}")


def resolve(
    dispute: DisputeArgument,
    favour: Annotated[
        Literal["newcomer", "earlier", "both"],
        typer.Option("--for", help="Whose original counts from now on; the other one's does not."),
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why; both parties read it.")] = "",
    yes: changing.YesOption = False,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Decide a dispute, or decide it anew; both originals follow at once."""
    name = _name(dispute, "")
    whose = "both" if favour == "both" else f"the {favour}"
    changing.ask(f"Decide {_id(name)} for {whose}?", yes, "decided")
    request = pb.ResolveDisputeRequest(name=name, decision=_DECISIONS[favour], reason=reason)
    with Client(server, timeout) as client:
        resolved = client.call(client.disputes.ResolveDispute, request)
    if json:
        output.print_json(output.to_dict(resolved))
        return
    console = output.console()
    console.print(f"{_id(name)} decided: {_state_words(resolved)}", highlight=False)
    for party in (resolved.newcomer, resolved.earlier):
        console.print(f"  {_party_words(party, full=True)}", highlight=False)


def _page(client: Client, request: pb.ListDisputesRequest) -> pb.ListDisputesResponse:
    try:
        return client.call(client.disputes.ListDisputes, request)
    except CommandError as error:
        if request.parent != ALL or error.reason != "BRAND_NOT_FOUND":
            raise
        # To an owner there are no brands but its own, and so no view of all of them.
        raise CommandError(
            "an owner's key sees the disputes of its own brands alone",
            "name one of them with --brand ID",
            error.reason,
        ) from error


def _name(dispute: str, brand: str) -> str:
    """Return the resource name of `d-17`, or of what is one already."""
    parts = dispute.split("/")
    if len(parts) == 4 and parts[0] == "brands" and parts[2] == "disputes":
        return dispute
    if not dispute or "/" in dispute:
        raise CommandError(f"'{dispute}' is no id of a dispute", "write d-17, as `list` prints it")
    return f"brands/{brand or '-'}/disputes/{dispute}"


def _id(name: str) -> str:
    return name.rpartition("/")[2]


def _state_words(dispute: pb.Dispute) -> str:
    if dispute.decision:
        return pb.Dispute.Decision.Name(dispute.decision)
    return pb.Dispute.State.Name(dispute.state)


def _party_words(party: pb.Dispute.Party, *, full: bool = False) -> str:
    """Return whose original it is, and which where that may be told."""
    words = short_name(party.original) if party.original else f"brand {party.brand[7:]}"
    if not full:
        return words
    state = originals_pb2.Original.State.Name(party.original_state)
    if not party.original_state:
        return f"{words}, deleted"
    return f"{words}, {state}, registered {output.when(party.register_time)}"
