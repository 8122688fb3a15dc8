"""`copycatch audit export` and `verify`: the audit log, taken away and held against itself.

Both read from a server, or with --data-dir straight from a store, whether a server has it open
or not. `verify` also reads an exported file. It trusts nothing but the hashes.
"""

import json as json_
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.text import Text

from copycatch.v1 import audit_service_pb2 as audit_pb2
from index.chain import Anchor, AuditBroken, Link, Verified, verify
from service.cli import options, output
from service.cli.client import Client
from service.cli.failure import EXIT_FOUND, CommandError
from service.cli.targets import OverwriteOption, check_new_file
from service.wording import counted

FORMAT = "copycatch-audit-1"

DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Read the store in this folder instead of asking a server; it may be in use.",
    ),
]


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the log is read from.

    Attributes:
        name: for people.
        links: its entries, the oldest first.
        head: what it says its newest entry is; None when it says nothing.
        whole: whether these are all entries that are kept.
    """

    name: str
    links: Iterator[Link]
    head: Anchor | None
    whole: bool = True


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    audit = typer.Typer(no_args_is_help=True, help="Export and verify the audit log.")
    audit.command("export")(export)
    audit.command("verify")(verify_)
    app.add_typer(audit, name="audit")


def export(
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write to this file instead of stdout."),
    ] = None,
    overwrite: OverwriteOption = False,
    after: Annotated[
        int, typer.Option("--after", min=0, metavar="N", help="Only what follows entry N.")
    ] = 0,
    data_dir: DataDirOption = None,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Write the audit log as JSON lines: one entry a line, the head of the log last.

    The head goes to stderr too. Keep it away from the server: it vouches for all entries so far.
    """
    if out is not None:
        check_new_file(out, "--out", overwrite=overwrite)
    with _opened(None, data_dir, server, timeout, after) as source:
        if out is None:
            head, _ = _write(sys.stdout, source)
        else:
            with out.open("w" if overwrite else "x", encoding="utf-8") as file:
                head, count = _write(file, source)
            entries = counted(count, "entry", "entries")
            output.console().print(f"wrote {entries} to {out}", highlight=False)
    words = f"head {head} (keep it elsewhere: `copycatch audit verify --anchor {head}`)"
    output.remark(words if head else "the audit log is empty")


def verify_(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="An exported log.", show_default=False)
    ] = None,
    anchor: Annotated[
        list[str] | None,
        typer.Option(
            "--anchor",
            metavar="SEQUENCE:HASH",
            help="A head that was kept elsewhere; may be given several times.",
        ),
    ] = None,
    data_dir: DataDirOption = None,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Verify the audit log; exit code 1 and the first broken link when it does not hold."""
    try:
        anchors = [Anchor.parse(text) for text in anchor or ()]
    except ValueError as error:
        raise CommandError(str(error), "copy it as `copycatch audit export` prints it") from error
    with _opened(file, data_dir, server, timeout, 0) as source:
        try:
            found = verify(source.links, anchors=anchors, head=source.head, whole=source.whole)
        except AuditBroken as error:
            if json:
                output.print_json({"broken": error.sequence, "why": error.why})
            else:
                broken = Text.assemble(("broken", "bold red"), f" {source.name}: {error}")
                output.console().print(broken, soft_wrap=True)
            raise typer.Exit(EXIT_FOUND) from error
    if json:
        output.print_json(
            {
                "first": found.first,
                "last": found.last,
                "head": str(found.head) if found.head else None,
                "vouched_for": found.anchored,
                "clock_jumps": list(found.clock_jumps),
            }
        )
        return
    _say(found, source.name)


def _say(found: Verified, name: str) -> None:
    console = output.console()
    if found.head is None:
        console.print(f"{name}: the audit log is empty")
        return
    count = found.last - found.first + 1
    entries = counted(count, "entry", "entries")
    words = f" {name}: {entries}, {found.first} to {found.last}"
    console.print(Text.assemble(("whole", "green"), words))
    console.print(f"head {found.head}", soft_wrap=True)
    if found.first > 1:
        console.print(
            f"entries before {found.first} are not in it: dropped for age, or not exported"
        )
    if found.clock_jumps:
        jumps = ", ".join(map(str, found.clock_jumps[:10]))
        console.print(f"the server's clock was set back before entries {jumps}; their order holds")
    if found.anchored:
        rest = found.last - found.anchored
        console.print(f"the anchor vouches for entries up to {found.anchored}")
        if rest:
            console.print(f"nothing outside of this log vouches for the {rest:,} after it")
    else:
        console.print(
            "no anchor was given: somebody who can write to the store could have written all "
            "of it anew; give a head that was kept elsewhere with --anchor",
            soft_wrap=True,
        )


def _write(file: TextIO, source: _Source) -> tuple[Anchor | None, int]:
    """Write the log; returns its newest entry, and how many there are."""
    head, count = None, 0
    for link in source.links:
        file.write(link.to_line() + "\n")
        head = link.anchor
        count += 1
    anchor = str(head or source.head or "")
    file.write(json_.dumps({"format": FORMAT, "head": anchor}) + "\n")
    return head, count


@contextmanager
def _opened(
    file: Path | None, data_dir: Path | None, server: str, timeout: float, after: int
) -> Iterator[_Source]:
    if file is not None:
        with file.open(encoding="utf-8") as lines:
            links, head = _from_file(file, lines.read().splitlines())
            yield _Source(str(file), links, head, whole=False)
    elif data_dir is not None:
        from index.audit_log import AuditLog
        from index.reader import open_view

        with open_view(data_dir) as view:
            log = AuditLog(view)
            head = log.ends.head
            yield _Source(str(data_dir), _until(log.links(after), head), head)
    else:
        with Client(server, timeout) as client:
            ends = client.call(client.audit.GetAuditHead, audit_pb2.GetAuditHeadRequest())
            head = Anchor(ends.sequence, ends.hash)
            yield _Source(server, _until(_from_server(client, after), head), head)


def _until(links: Iterator[Link], head: Anchor) -> Iterator[Link]:
    """The links up to the head: a log that is in use goes on growing."""
    for link in links:
        yield link
        if link.sequence >= head.sequence:
            return


def _from_server(client: Client, after: int) -> Iterator[Link]:
    name = f"auditEntries/{after}" if after else ""
    request = audit_pb2.ListAuditEntriesRequest(page_size=500, after=name)
    while True:
        page = client.call(client.audit.ListAuditEntries, request)
        for entry in page.audit_entries:
            sequence = int(entry.name.rpartition("/")[2])
            yield Link(sequence, entry.previous_hash, entry.hash, entry.body.encode())
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def _from_file(file: Path, lines: list[str]) -> tuple[Iterator[Link], Anchor | None]:
    """The links of an exported file, and the head in its last line."""
    try:
        last = json_.loads(lines[-1]) if lines else {}
        whole = isinstance(last, dict) and last.get("format") == FORMAT
        head = Anchor.parse(last["head"]) if whole and last["head"] else None
    except ValueError:
        whole = False
    if not whole:
        raise CommandError(
            f"{file} has no head in its last line", "it was cut off, or is no exported audit log"
        )

    def links() -> Iterator[Link]:
        for number, line in enumerate(lines[:-1], 1):
            try:
                yield Link.from_line(line)
            except (ValueError, KeyError, TypeError) as error:
                raise CommandError(f"{file} line {number} is no entry: {error}") from error

    return links(), head
