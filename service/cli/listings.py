"""`copycatch listings`: what a server remembers of listings that it has checked."""

from typing import Annotated

import typer

from copycatch.v1 import listings_service_pb2 as listings_pb2
from service.cli import options, output
from service.cli.changing import YesOption, ask, tell
from service.cli.client import Client
from service.wording import counted


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    listings = typer.Typer(
        no_args_is_help=True, help="Show and delete what is remembered of checked listings."
    )
    listings.command("show")(show)
    listings.command("delete")(delete)
    app.add_typer(listings, name="listings")


def show(
    listing: Annotated[
        str, typer.Argument(metavar="ID", help="Id of the listing, as it was checked.")
    ],
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Show what is remembered of a listing."""
    with Client(server, timeout) as client:
        request = listings_pb2.GetListingRequest(listing_id=listing)
        found = client.call(client.listings.GetListing, request)
    if json:
        output.print_json(output.to_dict(found))
        return
    pictures = counted(len(found.image_sha256s), "picture")
    table = output.table("field", "value")
    for field, value in (
        ("listing", found.listing_id),
        ("seller", found.seller),
        ("first checked", f"{found.create_time.ToDatetime():%Y-%m-%d %H:%M:%S} UTC"),
        ("kept", f"{counted(found.byte_count, 'byte')} of {pictures}"),
        *(("sha256 of a picture", digest) for digest in found.image_sha256s),
    ):
        table.add_row(field, value)
    output.console().print(table)


def delete(
    listings: Annotated[
        list[str], typer.Argument(metavar="IDS", help="Ids of listings, as they were checked.")
    ],
    yes: YesOption = False,
    missing: Annotated[
        bool, typer.Option("--allow-missing", help="Go on when one is not remembered.")
    ] = False,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Delete everything that is remembered of listings."""
    ask(f"Delete what is remembered of {', '.join(listings)}?", yes)
    with Client(server, timeout) as client:
        for listing in listings:
            client.call(
                client.listings.DeleteListing,
                listings_pb2.DeleteListingRequest(listing_id=listing, allow_missing=missing),
            )
            tell("deleted", listing, json)
