"""`copycatch label`: what pictures' files say about AI, and the platform's mark into copies.

Works on files without a server: a label is read from the bytes alone.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from models.containers import read_container
from models.labels.containers import container_of
from models.labels.content_credentials import (
    ManifestSigningFailed,
    SigningCertificate,
    TrustList,
)
from models.labels.embed import LabelTooLarge, LabelUnwritable
from models.labels.label import LabelHow, LabelState
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
from models.refusals import ImageEmpty, ImageTruncated, ImageUndecodable
from service.cli import options, output, pictures
from service.cli.failure import (
    EXIT_ERROR,
    EXIT_FOUND,
    CommandError,
    describe,
    reason_of,
    unreadable,
)
from service.cli.label_output import Row, print_read, print_written, to_json

REFUSALS = (
    LabelTooLarge,
    LabelUnsupported,
    LabelUnwritable,
    ManifestPresent,
    ManifestSigningFailed,
    XmpUnmergeable,
)
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
            try:
                file.write(made)
                file.flush()
            except OSError:
                target.unlink()  # half a picture is none
                raise
        return target


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
    for path in pictures.find(paths):
        rows.append(_labelled(path, settings, declared, writing))
        if json:
            output.print_json(to_json(rows[-1]))
    if not json:
        print_read(rows)
        if writing is not None:
            print_written(rows, writing.folder, writing.propagator)
    if any(row.failure for row in rows):
        raise typer.Exit(EXIT_ERROR)
    if any(row.found and row.found.state is not LabelState.NONE for row in rows):
        raise typer.Exit(EXIT_FOUND)


def _labelled(path: Path, settings: LabelSettings, declared: bool, writing: Writing | None) -> Row:
    """Read one picture's label and write its copy; what is wrong with one stops no other."""
    try:
        data = path.read_bytes()
        _see_picture(data)
    except OSError as error:
        status = unreadable(error)
        return Row(path, None, None, f"{reason_of(status)}: {describe(status)}")
    except (ImageEmpty, ImageUndecodable, ImageTruncated) as refusal:
        return Row(path, None, None, f"{refusal.reason}: {refusal}")
    found = read_label(data, settings, declared=declared)
    written, failure = _written(writing, path, data, settings)
    return Row(path, found, written, failure)


def _see_picture(data: bytes) -> None:
    """See that a file is a picture, of a kind that is checked or that labels are read of (HEIC).

    Raises:
        ImageEmpty, ImageUndecodable, ImageTruncated: it is none, so that no label means nothing.
    """
    if not data:
        raise ImageEmpty
    if container_of(data) is None:
        read_container(data)


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
        return None, f"{error.filename} exists already: name another folder with --write"
    except OSError as error:
        return None, f"{writing.folder / path.name} can not be written: {error.strerror or error}"
