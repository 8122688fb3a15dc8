"""`copycatch register` and `copycatch import`: pictures become originals."""

import csv
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from service.cli import options, output, pictures
from service.cli.client import Client
from service.cli.failure import EXIT_FOUND, PASSING, CommandError, Interrupted
from service.cli.ingest import Done, Ingest, Tally
from service.cli.sources import Broken, Item, count_items, from_file, read_source
from service.cli.targets import check_file

CreateOption = Annotated[
    bool, typer.Option(help="Create a brand that does not exist yet.", show_default=True)
]
FAILURES_SHOWN = 50


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("register")(register)
    app.command("import")(import_)


def register(
    paths: options.PicturesArgument,
    brand: options.BrandOption,
    original_id: Annotated[
        str, typer.Option("--id", metavar="ID", help="Id of the original, for a single picture.")
    ] = "",
    create_brand: CreateOption = False,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Register pictures as originals of a brand; the id comes from the file name.

    Running it again is safe: a picture that is there already is left as it is.
    """
    found = pictures.find(paths)
    if original_id and len(found) != 1:
        raise CommandError(f"--id names one original, and there are {len(found)} pictures")
    names = [str(path) for path in found]
    ids = [original_id] if original_id else pictures.make_ids(names)
    items = [
        from_file(path, name, brand, made, path.name)
        for path, name, made in zip(found, names, ids, strict=True)
    ]
    tally = Tally()
    with Client(server, timeout) as client:
        _ingest(client, items, len(items), create_brand, json, "registering", tally, each=True)
    _finish(tally, json)


def import_(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="Folder, CSV file or tar archive of pictures.")
    ],
    brand: Annotated[
        str | None,
        typer.Option(
            "--brand",
            metavar="ID",
            help="Brand of all pictures; otherwise the CSV's column `brand`, or the first folder.",
        ),
    ] = None,
    create_brand: CreateOption = False,
    failures: Annotated[
        Path | None,
        typer.Option("--failures", metavar="FILE", help="Write all failures to this CSV file."),
    ] = None,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Import a folder, a CSV file or a tar archive of originals.

    A CSV has a column `path` (relative to the file), optionally `brand`, `id` and
    `display_name`; other columns become annotations. An import that broke off goes on where
    it stopped when it is run again: what the server has is not sent a second time.
    """
    total = count_items(source)
    if failures is not None:
        check_file(failures, "--failures")
    tally = Tally()
    with Client(server, timeout) as client:
        items = read_source(source, brand)
        try:
            _ingest(client, items, total, create_brand, json, f"importing {source.name}", tally)
        except CommandError as error:
            raise _broken_off(error, tally) from error
        except KeyboardInterrupt:
            raise Interrupted("run the same command again to go on") from None
    if failures is not None:
        _write_failures(failures, tally.failures)
    _finish(tally, json)


def _ingest(
    client: Client,
    items: Iterable[Item | Broken],
    total: int | None,
    create_brands: bool,
    json: bool,
    title: str,
    tally: Tally,
    *,
    each: bool = False,
) -> None:
    """Run an import under a progress bar.

    Args:
        tally: counts each picture, also those before a failure.
        each: print a line for each picture, not only for failures.
    """

    def created(brand: str) -> None:
        output.remark(f"created the brand {brand}")

    ingest = Ingest(client, create_brands=create_brands, on_brand=created)
    console = output.console()
    with output.progress(quiet=json or each) as bar:
        task = bar.add_task(title, total=total)
        for done in ingest.run(items):
            tally.add(done)
            bar.advance(task)
            if json:
                output.print_json({name: value for name, value in asdict(done).items() if value})
            elif each and done.outcome != "FAILED":
                word = "registered" if done.outcome == "CREATED" else "there already"
                word += "" if done.state in ("", "ACTIVE") else f", {done.state}"
                console.print(f"{done.original}  {word}", highlight=False)


def _broken_off(error: CommandError, tally: Tally) -> CommandError:
    """Return the error that ended an import, with what it leaves and whether it can go on."""
    there = tally.created + tally.present
    if not there:
        return error
    thing = f"{error} ({there:,} registered so far)"
    again = "run the same command again to go on" if error.reason in PASSING else ""
    return CommandError(thing, again, error.reason)


def _finish(tally: Tally, json: bool) -> None:
    """Print the sums and the failures, and end with their exit code."""
    if not json:
        console = output.console()
        parts = [f"{tally.created:,} registered"]
        if tally.present:
            parts.append(f"{tally.present:,} there already")
        parts.append(f"{len(tally.failures):,} failed")
        if tally.failures:
            table = output.table("picture", "reason", "what to do", title="Failures")
            for done in tally.failures[:FAILURES_SHOWN]:
                table.add_row(done.name, done.reason, done.message)
            console.print(table)
            more = len(tally.failures) - FAILURES_SHOWN
            if more > 0:
                console.print(f"and {more:,} more; --failures FILE writes all of them")
        console.print(", ".join(parts))
        if tally.disputed:
            words = (
                "1 is DISPUTED: it copies an earlier original of another brand and flags"
                if tally.disputed == 1
                else f"{tally.disputed:,} are DISPUTED: they copy earlier originals of other "
                "brands and flag"
            )
            output.remark(f"{words} nobody until somebody decides; see `copycatch disputes list`")
    if tally.failures:
        raise typer.Exit(EXIT_FOUND)


def _write_failures(target: Path, failures: list[Done]) -> None:
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "reason", "message"])
        writer.writerows([done.name, done.reason, done.message] for done in failures)
