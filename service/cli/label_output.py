"""What `copycatch label` prints: lines for scripts, and tables for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from models.labels.label import ABSENCE, AiLabel, LabelHow, LabelState
from service.cli import output
from service.wording import counted

_STYLES = {
    LabelState.NONE: "green",
    LabelState.SUSPECTED: "yellow",
    LabelState.POSSIBLY: "yellow",
    LabelState.GENERATED: "bold red",
}


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one picture.

    Attributes:
        path: its file.
        found: what the file says, before anything is written; None when it could not be read.
        written: the copy; None when there is none.
        failure: why the file could not be read, or a copy not be written; empty otherwise.
    """

    path: Path
    found: AiLabel | None
    written: Path | None
    failure: str


def to_json(row: Row) -> dict[str, Any]:
    """The line of a picture."""
    line: dict[str, Any] = {"path": str(row.path)}
    if row.found is not None:
        line |= {
            "state": row.found.state.value,
            "how": row.found.how.value,
            "note": row.found.note,
            "signals": [
                {
                    "mark": signal.mark.value,
                    "place": signal.place,
                    "trust": signal.trust.value,
                    "value": signal.value,
                    "note": signal.note,
                    "state": signal.state.value,
                    "how": signal.how.value,
                }
                for signal in row.found.signals
            ],
        }
    if row.written:
        line["written"] = str(row.written)
    if row.failure:
        line["error"] = row.failure
    return line


def print_read(rows: Sequence[Row]) -> None:
    """Print what the files say, and which could not be read."""
    console = output.console()
    table = output.table("picture", "label", "how", "mark", "trust", "why")
    counts: dict[LabelState, int] = {}
    for row in rows:
        found = row.found
        if found is None:
            table.add_row(str(row.path), output.styled("ERROR"), "", "", "", row.failure)
            continue
        counts[found.state] = counts.get(found.state, 0) + 1
        state = Text(found.state.value, _STYLES[found.state])
        how = "" if found.how is LabelHow.UNKNOWN else found.how.value.lower().replace("_", " ")
        if not found.signals:
            table.add_row(str(row.path), state, how, "", "", "")
        for number, signal in enumerate(found.signals):
            first = number == 0
            table.add_row(
                str(row.path) if first else "",
                state if first else "",
                how if first else "",
                signal.mark.value,
                "" if signal.unreadable else signal.trust.value.lower().replace("_", " "),
                f"{signal.note} ({signal.place})",
            )
    console.print(table)
    read = sum(counts.values())
    words = ", ".join(f"{counts[state]} {state.value}" for state in LabelState if state in counts)
    failed = f"; {len(rows) - read} could not be" if read < len(rows) else ""
    console.print(f"{read} read{': ' if words else ''}{words}{failed}", highlight=False)
    if LabelState.NONE in counts:
        console.print(ABSENCE, style="dim", highlight=False)


def print_written(rows: Sequence[Row], folder: Path, propagator: str) -> None:
    """Say which copies were written, and why the others were not: the table is of what was read."""
    console = output.console()
    table = output.table("picture", "copy")
    for row in rows:
        failure = Text.assemble(("not written", "bold magenta"), f": {row.failure}")
        table.add_row(str(row.path), str(row.written) if row.written else failure)
    console.print(table)
    copies = counted(sum(row.written is not None for row in rows), "copy", "copies")
    console.print(
        f"{copies} written to {folder}, with the mark of '{propagator}'",
        highlight=False,
    )
