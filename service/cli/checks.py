"""`copycatch check` and `copycatch compare`: pictures are held against originals."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer
from google.rpc import status_pb2
from rich.console import Console
from rich.text import Text

from copycatch.v1 import match_service_pb2 as match_pb2
from service.cli import local, options, output, pictures
from service.cli.client import Client
from service.cli.failure import (
    EXIT_ERROR,
    EXIT_FOUND,
    CommandError,
    describe,
    reason_of,
)
from service.cli.targets import check_file
from service.wording import counted

ALARMS = (match_pb2.COPY, match_pb2.REVIEW)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("check")(check)
    app.command("compare")(compare)


def check(
    paths: options.PicturesArgument,
    brand: Annotated[
        list[str] | None,
        typer.Option("--brand", metavar="ID", help="Look among this brand only; may be repeated."),
    ] = None,
    max_matches: Annotated[
        int, typer.Option("--max-matches", min=1, max=50, help="Matches per picture.")
    ] = 10,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Search every view of a picture; slower.")
    ] = False,
    policy: Annotated[
        str, typer.Option("--policy", help="strict, balanced or recall; empty is the server's.")
    ] = "",
    seller: Annotated[
        str, typer.Option("--seller", help="Id of the seller, whose rights then count.")
    ] = "",
    territory: Annotated[
        str,
        typer.Option("--territory", metavar="CODE", help="Where it is offered, such as DE."),
    ] = "",
    local_originals: Annotated[
        Path | None,
        typer.Option(
            "--local",
            metavar="DIR",
            help="Work without a server: DIR holds the originals' pictures.",
        ),
    ] = None,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Check pictures for copies of registered originals.

    Exit code 0: all clear. 1: a copy, or something to review. 2: a picture could not be checked, or
    an original of --local could not be loaded.
    """
    found = pictures.find(paths)
    config = match_pb2.MatchConfig(
        brands=[f"brands/{name}" for name in brand or ()],
        max_matches=max_matches,
        thorough=thorough,
        policy=policy,
    )
    results: dict[Path, match_pb2.ImageResult] = {}
    entries: dict[Path, str] = {}
    unused: list[Path] = []
    with _connect(server, timeout, local_originals, len(found), unused) as client:
        with output.progress(quiet=json) as bar:
            task = bar.add_task("checking", total=len(found))
            asked = check_pictures(client, found, config, seller, territory, entries)
            for path, result in asked:
                results[path] = result
                bar.advance(task)
                if json:
                    logged = {"audit_entry": entries[path]} if path in entries else {}
                    answer = output.to_dict(result, zeros=True)
                    output.print_json({"path": str(path), **answer, **logged})
    if not json:
        _print_results(output.console(), [(path, results[path]) for path in found])
    if unused:
        missing = counted(len(unused), "original")
        words = f"the answers are without {missing} of {local_originals} that can not be used"
        if json:
            output.remark(words)
        else:
            output.console().print(words, style="bold magenta", highlight=False)
    if unused or any(result.HasField("error") for result in results.values()):
        raise typer.Exit(EXIT_ERROR)
    if any(result.verdict in ALARMS for result in results.values()):
        raise typer.Exit(EXIT_FOUND)


def check_pictures(
    client: Client,
    paths: Sequence[Path],
    config: match_pb2.MatchConfig,
    seller: str = "",
    territory: str = "",
    entries: dict[Path, str] | None = None,
) -> Iterator[tuple[Path, match_pb2.ImageResult]]:
    """Check files over one stream; yields each with its answer, in the order of completion.

    A file that can not be read, or that the server would refuse unseen, is answered here, after
    the others.

    Args:
        entries: gets the entry of the audit log of each answer that has one, before the answer.

    Raises:
        CommandError: the call as a whole failed.
    """
    max_bytes = client.info().limits.max_image_bytes
    refused: dict[Path, match_pb2.ImageResult] = {}

    def requests() -> Iterator[match_pb2.StreamingCheckListingsRequest]:
        for number, path in enumerate(paths):
            image = pictures.read(path, max_bytes)
            if isinstance(image, status_pb2.Status):
                refused[path] = match_pb2.ImageResult(error=image)
                continue
            listing = match_pb2.Listing(
                listing_id=path.name[:200],
                seller=seller,
                territory=territory,
                images=[image],
            )
            yield match_pb2.StreamingCheckListingsRequest(
                item_id=str(number),
                request=match_pb2.CheckListingRequest(listing=listing, config=config),
            )

    for answer in client.stream(client.match.StreamingCheckListings, requests()):
        path = paths[int(answer.item_id)]
        if answer.WhichOneof("result") == "error":
            if reason_of(answer.error) in ("BRAND_NOT_FOUND", "FIELD_INVALID"):
                # Wrong for one, wrong for all.
                raise CommandError(describe(answer.error), reason=reason_of(answer.error))
            yield path, match_pb2.ImageResult(error=answer.error)
        else:
            if entries is not None and answer.response.audit_entry:
                entries[path] = answer.response.audit_entry
            yield path, answer.response.image_results[0]
    yield from refused.items()


def compare(
    listing: Annotated[Path, typer.Argument(metavar="A", help="Picture under suspicion.")],
    original: Annotated[Path, typer.Argument(metavar="B", help="Picture taken as the original.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.png", help="Write the pair with what was matched."),
    ] = None,
    without_server: Annotated[bool, typer.Option("--local", help="Work without a server.")] = False,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Compare picture A with picture B, and explain the answer.

    Exit code 0: not a copy. 1: a copy, or something to review.
    """
    for path in (listing, original):
        if not path.is_file():
            raise CommandError(f"{path} is not a file", "name two pictures")
    if out is not None:
        if out.suffix.lower() != ".png":
            raise CommandError(f"--out {out}: a PNG is written", "give it a name that ends in .png")
        check_file(out, "--out")
    connection = local.empty(timeout) if without_server else Client(server, timeout)
    with connection as client:
        comparison = _compared(client, listing, original, evidence=out is not None)
    if out is not None:
        out.write_bytes(comparison.evidence_image)
        comparison.ClearField("evidence_image")
    if json:
        answer = output.to_dict(comparison, zeros=True)
        del answer["evidence_image"]  # a file of its own
        output.print_json(answer)
    else:
        _print_match(output.console(), comparison.match)
        if out is not None:
            output.remark(f"wrote {out}")
    if comparison.match.verdict in ALARMS:
        raise typer.Exit(EXIT_FOUND)


def _compared(
    client: Client, listing: Path, original: Path, *, evidence: bool
) -> match_pb2.Comparison:
    """Ask the server about two files; an error says which of them it is about."""
    files = {"image_a": listing, "image_b": original}
    max_bytes = client.info().limits.max_image_bytes
    request = match_pb2.CompareImagesRequest(evidence_image=evidence)
    for field, path in files.items():
        image = pictures.read(path, max_bytes)
        if isinstance(image, status_pb2.Status):
            raise CommandError(f"{path}: {describe(image)} ({reason_of(image)})")
        setattr(request, field, image)
    try:
        return client.call(client.match.CompareImages, request)
    except CommandError as error:
        field = error.details.get("field", "")
        if field not in files:
            raise
        raise CommandError(f"{files[field]}: {error.thing}", error.remedy, error.reason) from error


def _connect(
    server: str, timeout: float, originals: Path | None, listings: int, unused: list[Path]
) -> AbstractContextManager[Client]:
    """Return a client of the server, or of one in this process that holds `originals`.

    Args:
        unused: gets those of `originals` that it does not hold.
    """
    if originals is None:
        return Client(server, timeout)
    return local.holding(originals, timeout, listings, unused)


def _print_results(console: Console, results: Sequence[tuple[Path, match_pb2.ImageResult]]) -> None:
    """Print the answers of a check as a table."""
    table = output.table("picture", "verdict", "kind", "original", ">score", "why", ">ms")
    for path, result in results:
        if result.HasField("error"):
            reason = f"{reason_of(result.error)}: {describe(result.error)}"
            table.add_row(str(path), output.styled("ERROR"), "", "", "", reason, "")
            continue
        best = result.matches[0] if result.matches else None
        table.add_row(
            str(path),
            output.styled(output.verdict_name(result.verdict)),
            output.kind_words(best) if best else "",
            best.original.removeprefix("brands/").replace("/originals/", "/") if best else "",
            f"{best.score:.2f}" if best else "",
            output.reason_words(result),
            f"{sum(result.steps_ms.values()):.0f}",
        )
    console.print(table)
    counts: dict[str, int] = {}
    for _, result in results:
        error = result.HasField("error")
        name = "ERROR" if error else output.verdict_name(result.verdict)
        counts[name] = counts.get(name, 0) + 1
    words = Text(", ").join(
        Text.assemble(f"{count} ", output.styled(name)) for name, count in counts.items()
    )
    console.print(Text.assemble(f"{len(results)} checked: ", words))


def _print_match(console: Console, match: match_pb2.Match) -> None:
    """Print one match in full."""
    verdict = output.styled(output.verdict_name(match.verdict))
    words = f"  {output.kind_words(match)}, score {match.score:.2f}"
    console.print(verdict + Text(words))
    if match.note:
        console.print(match.note)
    for edit in match.edits:
        warning = "  (misleads the buyer)" if edit.misleads_buyer else ""
        console.print(f"  - {edit.description}{warning}")
    console.print(output.evidence_table(match))
