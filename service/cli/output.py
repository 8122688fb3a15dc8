"""Prints answers: tables for people, one JSON object a line for scripts.

Answers go to stdout; progress, remarks and errors go to stderr, so that a pipe gets
nothing but answers.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from copycatch.v1 import match_service_pb2 as match_pb2
from copycatch.v1 import sweep_service_pb2 as sweep_pb2

PLAIN_WIDTH = 160
"""Columns where there is no terminal to ask, as in a file or a log."""

NARROW = 90
"""Columns of a terminal below which a table that does not fit is printed row below row."""

VERDICT_STYLES = {
    "CLEAR": "green",
    "REVIEW": "yellow",
    "COPY": "bold red",
    "AUTHORISED": "cyan",
    "ERROR": "bold magenta",
}


def console() -> Console:
    """Return a console on stdout, made anew since tests and pipes exchange stdout.

    It takes no markup: names of pictures, sellers and brands are others' words, and are printed as
    they are. Colour comes as `rich.text.Text`.
    """
    plain = not sys.stdout.isatty()
    width = PLAIN_WIDTH if plain else None
    return Console(width=width, soft_wrap=False, markup=False, emoji=False)


def error_console() -> Console:
    """Return a console on stderr, likewise without markup."""
    return Console(stderr=True, soft_wrap=True, markup=False, emoji=False)


def remark(text: str) -> None:
    """Say something that is not an answer."""
    error_console().print(text, style="dim", highlight=False)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on one line."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def to_dict(message: Message, *, zeros: bool = False) -> dict[str, Any]:
    """Return a message as JSON-ready values under the names of the protos.

    Args:
        zeros: keep what is zero, false or empty, as in what was measured. Elsewhere a field that
            is left out may be one that a key is not told, or a picture that answers never carry.
    """
    return dict(
        MessageToDict(
            message,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=zeros,
        )
    )


def when(time: Timestamp) -> str:
    """Return a time in UTC as people read it; empty when it is not set."""
    return f"{time.ToDatetime():%Y-%m-%d %H:%M:%S} UTC" if time.seconds else ""


def progress(*, quiet: bool = False) -> Progress:
    """Return a progress bar on stderr that disappears when it is done."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=error_console(),
        transient=True,
        disable=quiet or not sys.stderr.isatty(),
    )


def verdict_name(verdict: "match_pb2.Verdict.ValueType") -> str:
    """Return the name of a verdict as people read it."""
    return match_pb2.Verdict.Name(verdict)


def styled(verdict: str) -> Text:
    """Return a verdict in its colour."""
    return Text(verdict, VERDICT_STYLES.get(verdict, ""))


def kind_words(match: match_pb2.Match | sweep_pb2.FoundMatch) -> str:
    """Return a match's kind in lower case with spaces, as in `near duplicate`.

    What is CLEAR is a copy of no kind, whichever it would have been.
    """
    if match.verdict == match_pb2.CLEAR:
        return "no copy"
    return match_pb2.MatchKind.Name(match.kind).lower().replace("_", " ")


def edit_words(match: match_pb2.Match) -> str:
    """Return what was done to the original, in words."""
    return ", ".join(edit.description for edit in match.edits)


def reason_words(result: match_pb2.ImageResult) -> str:
    """Return why a picture got its verdict: the edits, or the note."""
    if not result.matches:
        return result.note or "copies no registered original"
    best = result.matches[0]
    # The table has a column of its own for the original, and one for the score.
    note = best.note.replace(best.original, "the original").replace(
        f" (score {best.score:.2f})", ""
    )
    edits = edit_words(best)
    if edits and best.verdict == match_pb2.AUTHORISED:
        return f"{best.licence or 'own seller'}: {edits}"
    return edits or note or result.note  # a note says itself by which right


class Rows(Table):
    """A table, printed row below row where the terminal is too narrow for it.

    Many columns in few letters break words and make a row of ten lines. Two columns never do:
    the second takes what the first leaves.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, or a block for each of its rows."""
        free = options.update(width=10 * PLAIN_WIDTH)
        needed = Measurement.get(console, free, self).maximum
        if options.max_width >= min(NARROW, needed) or len(self.columns) <= 2:
            yield from super().__rich_console__(console, options)
        else:
            yield from self._blocks()

    def _blocks(self) -> Iterator[Text | Padding]:
        """The first cell of a row as its head, and below it the others that say something."""
        if self.title:
            yield Text(str(self.title), "italic")
        names = [str(column.header) for column in self.columns[1:]]
        for head, *cells in zip(*(column.cells for column in self.columns), strict=True):
            if str(head):  # without one, the row goes on with what is above
                yield Text(str(head), "bold", overflow="fold")
            said = [
                Text.assemble((f"{name} ", "dim"), cell if isinstance(cell, Text) else str(cell))
                for name, cell in zip(names, cells, strict=True)
                if str(cell)
            ]
            yield Padding(Text(" · ", overflow="fold").join(said), (0, 0, 0, 2))


def table(*columns: str, title: str | None = None) -> Table:
    """Return an empty table in the house style; a column named `>x` is right-aligned."""
    made = Rows(title=title, title_justify="left", header_style="bold", expand=False)
    for name in columns:
        right = name.startswith(">")
        made.add_column(name.lstrip(">"), justify="right" if right else "left", overflow="fold")
    return made


def print_rows(rows: Table, none: str) -> None:
    """Print a table, or where it has no row the sentence that says so."""
    if rows.row_count:
        console().print(rows)
    else:
        console().print(none, highlight=False)


def evidence_table(match: match_pb2.Match) -> Table:
    """Return the signals that were weighed, as a table; context without a threshold, last."""
    made = table("signal", ">value", ">speaks from", "speaks for a copy", "in words")
    for item in sorted(match.evidence, key=lambda each: each.context):
        made.add_row(
            item.signal,
            f"{item.value:.3g}",
            "" if item.context else f"{item.threshold:.3g}",
            "context" if item.context else "yes" if item.supports else "no",
            item.note,
        )
    return made
