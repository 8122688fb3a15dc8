"""`copycatch licences`: which sellers may use which originals of a brand."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from copycatch.v1 import brands_service_pb2 as pb
from service.cli import options, output
from service.cli.changing import YesOption, ask, tell
from service.cli.client import Client
from service.cli.failure import CommandError
from service.cli.names import full_name, name_within, short_name
from service.wording import counted

PAGE_SIZE = 500

LicenceArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="brand/licence, or the full resource name.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    licences = typer.Typer(no_args_is_help=True, help="Grant, list and revoke licences.")
    licences.command("create")(create)
    licences.command("list")(list_)
    licences.command("show")(show)
    licences.command("revoke")(revoke)
    app.add_typer(licences, name="licences")


def create(
    brand: options.BrandOption,
    licence: Annotated[
        str, typer.Option("--id", metavar="ID", help="Id of the licence; the server makes up one.")
    ] = "",
    display_name: Annotated[str, typer.Option("--display-name", help="Name for people.")] = "",
    seller: Annotated[
        list[str] | None,
        typer.Option("--seller", metavar="ID", help="Who is licensed; may be repeated."),
    ] = None,
    programme: Annotated[
        list[str] | None,
        typer.Option(
            "--programme", metavar="NAME", help="Programme whose sellers are licensed, likewise."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Grant all originals, also later ones.")
    ] = False,
    original: Annotated[
        list[str] | None,
        typer.Option(
            "--original",
            metavar="NAME",
            help="Grant this original, ID or BRAND/ID; may be repeated.",
        ),
    ] = None,
    tag: Annotated[
        str, typer.Option("--tag", metavar="KEY=VALUE", help="Grant originals annotated so.")
    ] = "",
    territory: Annotated[
        list[str] | None,
        typer.Option(
            "--territory", metavar="CODE", help="ISO 3166 code such as DE; everywhere without."
        ),
    ] = None,
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="2026-07-01 or 2026-07-01T12:00, UTC.")
    ] = "",
    end: Annotated[
        str, typer.Option("--until", metavar="TIME", help="Counts no more from then on, UTC.")
    ] = "",
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Grant sellers the use of a brand's originals: --all, --original or --tag.

    The terms of a licence do not change: revoke it and create another one.
    """
    if sum((everything, bool(original), bool(tag))) != 1:
        raise CommandError(
            "it is not clear what is granted", "give one of --all, --original, --tag"
        )
    if not seller and not programme:
        raise CommandError("nobody is licensed", "name a --seller or a --programme")
    made = pb.Licence(
        display_name=display_name,
        sellers=seller or (),
        programmes=[name_within(brand, one, "programmes") for one in programme or ()],
        territories=territory or (),
    )
    if everything:
        made.all_originals = True
    elif tag:
        key, equals, value = tag.partition("=")
        if not equals:
            raise CommandError(f"'{tag}' is no tag", "write KEY=VALUE")
        made.tag.key, made.tag.value = key, value
    else:
        made.originals.names.extend(name_within(brand, one, "originals") for one in original or ())
    if start:
        made.start_time.FromDatetime(_time("--from", start))
    if end:
        made.end_time.FromDatetime(_time("--until", end))
    request = pb.CreateLicenceRequest(parent=f"brands/{brand}", licence=made, licence_id=licence)
    with Client(server, timeout) as client:
        answer = client.call(client.brands.CreateLicence, request)
    state = pb.Licence.State.Name(answer.state)
    tell("created", f"{answer.name}, {state}", json, output.to_dict(answer))


def list_(
    brand: options.BrandOption,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """List the licences of a brand, whatever their state."""
    table = output.table("name", "state", "who", "what", "where", "from", "until")
    count = 0
    with Client(server, timeout) as client:
        for licence in _licences(client, brand):
            count += 1
            if json:
                output.print_json(output.to_dict(licence))
                continue
            table.add_row(
                short_name(licence.name),
                pb.Licence.State.Name(licence.state),
                _some([*licence.sellers, *map(_programme_words, licence.programmes)]),
                _what(licence),
                _some(licence.territories) or "everywhere",
                output.when(licence.start_time),
                output.when(licence.end_time),
            )
    if not json:
        if count:
            output.console().print(table)
        output.console().print(f"{counted(count, 'licence')} of {brand}")


def show(
    name: LicenceArgument,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Show one licence."""
    request = pb.GetLicenceRequest(name=full_name(name, "licences"))
    with Client(server, timeout) as client:
        licence = client.call(client.brands.GetLicence, request)
    if json:
        output.print_json(output.to_dict(licence))
        return
    table = output.table("field", "value")
    rows = [
        ("name", licence.name),
        ("display name", licence.display_name),
        ("state", pb.Licence.State.Name(licence.state)),
        ("sellers", _some(licence.sellers, 1000)),
        ("programmes", ", ".join(map(short_name, licence.programmes))),
        ("grants", _what(licence, at_most=1000)),
        ("territories", ", ".join(licence.territories) or "everywhere"),
        ("from", output.when(licence.start_time)),
        ("until", output.when(licence.end_time) or "no end"),
        ("created", output.when(licence.create_time)),
        ("revoked", output.when(licence.revoke_time)),
        ("etag", licence.etag),
    ]
    for field, value in rows:
        if value:
            table.add_row(field, value)
    output.console().print(table)


def revoke(
    names: Annotated[
        list[str], typer.Argument(metavar="NAMES", help="brand/licence, or resource names.")
    ],
    yes: YesOption = False,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """End licences at once and for good."""
    full = [full_name(name, "licences") for name in names]
    ask(f"Revoke {', '.join(full)}?", yes, "revoked")
    with Client(server, timeout) as client:
        for name in full:
            request = pb.RevokeLicenceRequest(name=name)
            revoked = client.call(client.brands.RevokeLicence, request)
            tell("revoked", name, json, output.to_dict(revoked))


def _licences(client: Client, brand: str) -> Iterator[pb.Licence]:
    request = pb.ListLicencesRequest(parent=f"brands/{brand}", page_size=PAGE_SIZE)
    while True:
        page = client.call(client.brands.ListLicences, request)
        yield from page.licences
        request.page_token = page.next_page_token
        if not request.page_token:
            return


def _programme_words(name: str) -> str:
    return f"programme {name.rpartition('/')[2]}"


def _what(licence: pb.Licence, at_most: int = 3) -> str:
    """Return in words what a licence grants."""
    which = licence.WhichOneof("scope")
    if which == "tag":
        return f"{licence.tag.key}={licence.tag.value}"
    if which == "originals":
        return _some([one.rpartition("/")[2] for one in licence.originals.names], at_most)
    return "all originals"


def _some(words: Sequence[str], at_most: int = 3) -> str:
    more = len(words) - at_most
    return ", ".join(words[:at_most]) + (f" and {more:,} more" if more > 0 else "")


def _time(option: str, text: str) -> datetime:
    """Return a moment; in UTC where the text names no zone."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(
            f"{option} {text} is no time", "write 2026-07-01 or 2026-07-01T12:00, in UTC"
        ) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
