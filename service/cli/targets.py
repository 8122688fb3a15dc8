"""Looks, before the work, whether what comes of it can be written where it is wanted.

It is a look and no promise: a disk may still fill meanwhile.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from service.cli.failure import CommandError

_REMEDY = "name another place, or give this one to your user"


def check_file(file: Path, option: str) -> None:
    """See that a file can be written, in a folder that is there.

    Args:
        option: that names it, such as `--out`.

    Raises:
        CommandError: it can not.
    """
    if file.is_dir():
        raise CommandError(f"{option} {file} is a folder", "name a file")
    if not file.parent.is_dir():
        raise CommandError(
            f"{option} {file}: there is no folder {file.parent}", "make it, or name another place"
        )
    # A file that is there is written in place.
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise CommandError(f"{option} {file} can not be written by your user", _REMEDY)


OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Write the file anew where it is there already.")
]


def check_new_file(file: Path, option: str, *, overwrite: bool) -> None:
    """See that a file can be written that may be the only one of its kind, and is not there yet.

    Args:
        overwrite: what is there may be lost.

    Raises:
        CommandError: it can not, or it is there already.
    """
    check_file(file, option)
    if file.exists() and not overwrite:
        raise CommandError(
            f"{option} {file} is there already", "name another file, or add --overwrite"
        )


def check_folder(folder: Path, option: str) -> None:
    """See that a folder can be made, with those above it, or written.

    Raises:
        CommandError: it can not.
    """
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise CommandError(f"{option} {folder}: {there} is no folder", "name another place")
    if not os.access(there, os.W_OK | os.X_OK):
        raise CommandError(f"{option} {folder}: your user may not write {there}", _REMEDY)
