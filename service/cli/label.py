"""`copycatch label`: what pictures' files say about AI, and the platform's mark into copies.

Works on files without a server: a label is read from the bytes alone.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from models.labels.content_credentials import (
    ManifestSigningFailed,
    SigningCertificate,
    TrustList,
)
from models.labels.embed import LabelTooLarge, LabelUnwritable
from models.labels.label import ABSENCE, AiLabel, LabelHow, LabelState
from models.labels.read import LabelSettings, read_label
from models.labels.write import (
    LabelFieldInvalid,
    LabelText,
    LabelUnsupported,
    ManifestPresent,
    Propagation,
    write_label,
)
from models.labels.xmp_merge import XmpUnmergeable
from service.cli import options, output, pictures
from service.cli.failure import EXIT_ERROR, EXIT_FOUND, CommandError
from service.wording import counted

REFUSALS = (
    LabelTooLarge,
    LabelUnsupported,
    LabelUnwritable,
    ManifestPresent,
    ManifestSigningFailed,
    XmpUnmergeable,
)
_STYLES = {
    LabelState.NONE: "green",
    LabelState.SUSPECTED: "yellow",
    LabelState.POSSIBLY: "yellow",
    LabelState.GENERATED: "bold red",
}
_WRITABLE_STATES = [state.value.lower() for state in LabelState if state is not LabelState.NONE]
_HOWS = [how.value.lower().replace("_", "-") for how in LabelHow if how is not LabelHow.UNKNOWN]


@dataclass(frozen=True, slots=True)
class Writing:
    """What `--write` puts into each copy, and where the copies go.

    Attributes:
        folder: takes the copies, under the names of the pictures.
        propagator: the platform's name or code.
        propagate_id: its number for the picture; empty makes one of the picture's SHA-256.
        label: the label itself.
        certificate: signs pictures anew that have a C2PA manifest.
    """

    folder: Path
    propagator: str
    propagate_id: str
    label: LabelText
    certificate: SigningCertificate | None

    def write(self, path: Path, data: bytes, settings: LabelSettings) -> Path:
        """Write one copy; returns where it is."""
        number = self.propagate_id or hashlib.sha256(data).hexdigest()[:32]
        mark = Propagation(self.propagator, number)
        made = write_label(data, mark, self.label, settings, certificate=self.certificate)
        target = self.folder / path.name
        with target.open("xb") as file:
            file.write(made)
        return target


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one picture.

    Attributes:
        path: its file.
        found: what the file says, before anything is written.
        written: the copy; None when there is none.
        failure: why a copy could not be written.
    """

    path: Path
    found: AiLabel
    written: Path | None
    failure: str


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("label")(label)


def label(
    paths: options.PicturesArgument,
    json: options.JsonOption = False,
    declared: Annotated[
        bool, typer.Option("--declared", help="The uploader declares that AI made them.")
    ] = False,
    trust: Annotated[
        Path | None,
        typer.Option("--trust", metavar="FILE.pem", help="Certificates that C2PA may chain to."),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write", metavar="DIR", help="Write copies with the platform's mark into DIR."
        ),
    ] = None,
    propagator: Annotated[
        str,
        typer.Option(
            "--propagator",
            help="With --write: the name or code of the platform, as in 'Our Market'.",
        ),
    ] = "",
    propagate_id: Annotated[
        str,
        typer.Option("--propagate-id", help="With --write: its number; else from the SHA-256."),
    ] = "",
    state: Annotated[
        str,
        typer.Option(
            "--state",
            help=f"With --write: the label, {', '.join(_WRITABLE_STATES)}; else the file's.",
        ),
    ] = "",
    how: Annotated[
        str,
        typer.Option("--how", help=f"With --state generated: {', '.join(_HOWS)}."),
    ] = "",
    producer: Annotated[
        str, typer.Option("--producer", help="With --write: who made the picture.")
    ] = "",
    produce_id: Annotated[
        str, typer.Option("--produce-id", help="With --write: the maker's number for it.")
    ] = "",
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--certificate", metavar="FILE.pem", help="With --write: signs C2PA pictures anew."
        ),
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE.pem", help="The certificate's key.")
    ] = None,
) -> None:
    """Read what pictures' files say about being made by AI.

    No label never means that a picture was not made by AI.

    Exit code 0: no label. 1: a label in some picture. 2: a picture could not be read or written.
    """
    anchors = trust.read_text() if trust else ""
    settings = LabelSettings(trust=TrustList(anchors_pem=anchors))
    text = _label_text(state, how, producer, produce_id)
    writing = None
    if write is not None:
        writing = _writing(write, propagator, propagate_id, text, certificate, key)
    elif propagator or propagate_id or certificate or key or text != LabelText():
        raise CommandError("there is nothing to write to", "name a folder with --write DIR")
    rows: list[Row] = []
    failed = False
    for path in pictures.find(paths):
        data = path.read_bytes()
        found = read_label(data, settings, declared=declared)
        written, failure = _written(writing, path, data, settings)
        failed = failed or bool(failure)
        rows.append(Row(path, found, written, failure))
        if json:
            output.print_json(_to_json(path, found, written, failure))
    if not json:
        _print(rows)
        if writing is not None:
            _print_written(rows, writing)
    if failed:
        raise typer.Exit(EXIT_ERROR)
    if any(row.found.state is not LabelState.NONE for row in rows):
        raise typer.Exit(EXIT_FOUND)


def _label_text(state: str, how: str, producer: str, produce_id: str) -> LabelText:
    if state and state.lower() not in _WRITABLE_STATES:
        raise CommandError(f"--state {state} is not known", f"one of {', '.join(_WRITABLE_STATES)}")
    if how and how.lower() not in _HOWS:
        raise CommandError(f"--how {how} is not known", f"one of {', '.join(_HOWS)}")
    if how and state.lower() != "generated":
        raise CommandError("--how is written with --state generated only")
    try:
        return LabelText(
            LabelState(state.upper()) if state else None,
            LabelHow(how.upper().replace("-", "_")) if how else LabelHow.UNKNOWN,
            producer or None,
            produce_id or None,
        )
    except LabelFieldInvalid as error:
        raise CommandError(f"--{error.field.replace('_', '-')} {error.rule}") from None


def _writing(
    folder: Path,
    propagator: str,
    propagate_id: str,
    text: LabelText,
    certificate: Path | None,
    key: Path | None,
) -> Writing:
    if (certificate is None) != (key is None):
        raise CommandError("--certificate and --key go together")
    if not propagator:
        raise CommandError(
            "--write marks copies as passed on by a platform, and none is named",
            "give its name or code, as in --propagator 'Our Market'",
        )
    try:
        Propagation(propagator, propagate_id or "number")
    except LabelFieldInvalid as error:
        raise CommandError(f"--{error.field.replace('_', '-')} {error.rule}") from None
    signing = None
    if certificate and key:
        signing = SigningCertificate(certificate.read_text(), key.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    return Writing(folder, propagator, propagate_id, text, signing)


def _written(
    writing: Writing | None, path: Path, data: bytes, settings: LabelSettings
) -> tuple[Path | None, str]:
    """Where the copy is, and why there is none."""
    if writing is None:
        return None, ""
    try:
        return writing.write(path, data, settings), ""
    except REFUSALS as refusal:
        return None, f"{refusal.reason}: {refusal}"
    except FileExistsError as error:
        return None, f"{error.filename} exists already"


def _to_json(path: Path, found: AiLabel, written: Path | None, failure: str) -> dict[str, Any]:
    line: dict[str, Any] = {
        "path": str(path),
        "state": found.state.value,
        "how": found.how.value,
        "note": found.note,
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
            for signal in found.signals
        ],
    }
    if written:
        line["written"] = str(written)
    if failure:
        line["error"] = failure
    return line


def _print(rows: Sequence[Row]) -> None:
    console = output.console()
    table = output.table("picture", "label", "how", "mark", "trust", "why")
    counts: dict[LabelState, int] = {}
    for row in rows:
        found = row.found
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
    words = ", ".join(f"{counts[state]} {state.value}" for state in LabelState if state in counts)
    console.print(f"{len(rows)} read: {words}", highlight=False)
    if LabelState.NONE in counts:
        console.print(ABSENCE, style="dim", highlight=False)


def _print_written(rows: Sequence[Row], writing: Writing) -> None:
    """Say which copies were written, and why the others were not: the table is of what was read."""
    console = output.console()
    table = output.table("picture", "copy")
    for row in rows:
        failure = Text.assemble(("not written", "bold magenta"), f": {row.failure}")
        table.add_row(str(row.path), str(row.written) if row.written else failure)
    console.print(table)
    copies = counted(sum(row.written is not None for row in rows), "copy", "copies")
    console.print(
        f"{copies} written to {writing.folder}, with the mark of '{writing.propagator}'",
        highlight=False,
    )
