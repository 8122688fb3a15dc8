"""`copycatch sellers` and `programmes`: a brand's own sellers, and sets of licensed ones."""

from collections.abc import Callable, Sequence
from pathlib import Path
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
SELLERS_AT_ONCE = 1000

ProgrammeArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="brand/programme, or the full resource name.")
]
ProgrammeOption = Annotated[
    str,
    typer.Option(
        "--programme", metavar="ID", help="Programme of the brand; otherwise its own sellers."
    ),
]
SellersArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="SELLERS", help="Ids of sellers, as listings carry them."),
]
FileOption = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="Text file with the id of a seller in each line."),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    programmes = typer.Typer(
        no_args_is_help=True, help="Sets of sellers that licences can name together."
    )
    programmes.command("create")(create_programme)
    programmes.command("list")(list_programmes)
    programmes.command("delete")(delete_programme)
    app.add_typer(programmes, name="programmes")
    sellers = typer.Typer(
        no_args_is_help=True, help="A brand's own sellers, and those of its programmes."
    )
    sellers.command("add")(add_sellers)
    sellers.command("remove")(remove_sellers)
    sellers.command("list")(list_sellers)
    app.add_typer(sellers, name="sellers")


def create_programme(
    name: ProgrammeArgument,
    display_name: Annotated[str, typer.Option("--display-name", help="Name for people.")] = "",
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Create a programme; then add its sellers with `copycatch sellers add`."""
    parent, _, programme = full_name(name, "programmes").rpartition("/programmes/")
    request = pb.CreateProgrammeRequest(
        parent=parent, programme=pb.Programme(display_name=display_name), programme_id=programme
    )
    with Client(server, timeout) as client:
        made = client.call(client.brands.CreateProgramme, request)
    tell("created", made.name, json, output.to_dict(made))


def list_programmes(
    brand: options.BrandOption,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """List the programmes of a brand."""
    table = output.table("name", "display name", "created")
    request = pb.ListProgrammesRequest(parent=f"brands/{brand}", page_size=PAGE_SIZE)
    with Client(server, timeout) as client:
        while True:
            page = client.call(client.brands.ListProgrammes, request)
            for one in page.programmes:
                if json:
                    output.print_json(output.to_dict(one))
                else:
                    created = output.when(one.create_time)
                    table.add_row(short_name(one.name), one.display_name, created)
            request.page_token = page.next_page_token
            if not request.page_token:
                break
    if not json:
        make = f"`copycatch programmes create {brand}/ID` makes one"
        output.print_rows(table, f"{brand} has no programme yet; {make}")


def delete_programme(
    name: ProgrammeArgument,
    yes: YesOption = False,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Delete a programme with its list of sellers."""
    full = full_name(name, "programmes")
    ask(f"Delete {full}?", yes)
    with Client(server, timeout) as client:
        client.call(client.brands.DeleteProgramme, pb.DeleteProgrammeRequest(name=full))
    tell("deleted", full, json)


def add_sellers(
    brand: options.BrandOption,
    sellers: SellersArgument = None,
    programme: ProgrammeOption = "",
    file: FileOption = None,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Add sellers to a programme, or to a brand's own; those that are there stay."""
    parent = _group(brand, programme)
    with Client(server, timeout) as client:

        def add(some: Sequence[str]) -> int:
            request = pb.AddSellersRequest(parent=parent, sellers=some)
            return client.call(client.brands.AddSellers, request).added_count

        _change(_given(sellers, file), add, "added", parent, json)


def remove_sellers(
    brand: options.BrandOption,
    sellers: SellersArgument = None,
    programme: ProgrammeOption = "",
    file: FileOption = None,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Remove sellers from a programme, or from a brand's own."""
    parent = _group(brand, programme)
    with Client(server, timeout) as client:

        def remove(some: Sequence[str]) -> int:
            request = pb.RemoveSellersRequest(parent=parent, sellers=some)
            return client.call(client.brands.RemoveSellers, request).removed_count

        _change(_given(sellers, file), remove, "removed", parent, json)


def list_sellers(
    brand: options.BrandOption,
    programme: ProgrammeOption = "",
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """List the sellers of a programme, or a brand's own, one in each line."""
    request = pb.ListSellersRequest(parent=_group(brand, programme), page_size=PAGE_SIZE)
    count = 0
    with Client(server, timeout) as client:
        while True:
            page = client.call(client.brands.ListSellers, request)
            count += len(page.sellers)
            for seller in page.sellers:
                if json:
                    output.print_json({"seller": seller})
                else:
                    typer.echo(seller)
            request.page_token = page.next_page_token
            if not request.page_token:
                break
    if not count:
        output.remark(f"no seller in {request.parent}")


def _given(sellers: list[str] | None, file: Path | None) -> list[str]:
    """Return the sellers of the command line and of the file."""
    found = list(sellers or ())
    if file is not None:
        lines = file.read_text(encoding="utf-8").splitlines()
        found += [line for line in lines if line.strip()]
    if not found:
        raise CommandError("no seller is named", "name some, or a --file with one in each line")
    return found


def _change(
    sellers: Sequence[str],
    change: Callable[[Sequence[str]], int],
    done: str,
    parent: str,
    json: bool,
) -> None:
    starts = range(0, len(sellers), SELLERS_AT_ONCE)
    count = sum(change(sellers[start : start + SELLERS_AT_ONCE]) for start in starts)
    if json:
        output.print_json({"parent": parent, done: count})
    else:
        words = f"{counted(count, 'seller')} {done}, {parent}"
        output.console().print(words, highlight=False)


def _group(brand: str, programme: str) -> str:
    return name_within(brand, programme, "programmes") if programme else f"brands/{brand}"
