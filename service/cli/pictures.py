"""Finds picture files, reads them and gives them ids.

Says nothing about whether a file is a good picture: the server does.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from google.rpc import status_pb2

from service.cli.failure import CommandError, refused_unseen, unreadable
from service.suffixes import PICTURE_SUFFIXES, TAKEN

SUFFIXES = PICTURE_SUFFIXES
"""Taken from folders. A file that is named on the command line is taken whatever its name."""

ID_LENGTH = 63


def find(paths: Sequence[Path]) -> list[Path]:
    """List the files among `paths` and the pictures below its folders, sorted per folder.

    Hidden files and folders are left out; a file that is reached twice is listed once. One that
    can not be read, such as a link that leads nowhere, is listed too: `read` says what is wrong.

    Raises:
        CommandError: a path does not exist, or there is no picture at all.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            for entry in sorted(path.rglob("*")):
                hidden = any(part.startswith(".") for part in entry.relative_to(path).parts)
                if entry.suffix.lower() in SUFFIXES and not hidden and _may_be_file(entry):
                    found[entry] = None
        elif os.path.lexists(path):
            found[path] = None
        else:
            raise CommandError(f"{path} does not exist", "name a picture or a folder of pictures")
    if not found:
        names = ", ".join(str(path) for path in paths)
        raise CommandError(f"no picture in {names}", TAKEN)
    return list(found)


def read(path: Path, max_bytes: int) -> bytes | status_pb2.Status:
    """Read a picture's file, as far as it is worth sending.

    Args:
        max_bytes: the largest that the server takes.

    Returns:
        Its bytes; or the error that it is answered with, when it can not be read or the server
        would refuse it unseen.
    """
    try:
        return refused_unseen(path.stat().st_size, max_bytes) or path.read_bytes()
    except OSError as error:
        return unreadable(error)


def _may_be_file(entry: Path) -> bool:
    """Whether it is a file, or nobody can say since a link or the folder keeps it from being seen.

    What is known to be something else, such as a pipe, would block whoever reads it.
    """
    return os.path.isfile(entry) or not os.path.exists(entry)


def make_id(name: str) -> str:
    """Make an id that the service accepts out of a file name, the same each time.

    Returns:
        1 to 63 characters, `^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not slug:
        return f"o-{_digest(name)}"
    if not slug[0].isalpha():
        slug = f"o-{slug}"
    if len(slug) > ID_LENGTH:
        slug = f"{slug[: ID_LENGTH - 9].rstrip('-')}-{_digest(name)}"
    return slug


def make_ids(names: Iterable[str]) -> list[str]:
    """Make distinct ids for names in their order; a name whose id is taken gets a digest too.

    Args:
        names: relative paths; the id comes from the last part without its suffix.
    """
    taken: set[str] = set()
    ids = []
    for name in names:
        made = make_id(Path(name).stem)
        if made in taken:
            made = f"{made[: ID_LENGTH - 9].rstrip('-')}-{_digest(name)}"
        taken.add(made)
        ids.append(made)
    return ids


def _digest(text: str) -> str:
    """Return eight hexadecimal digits of the text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]
