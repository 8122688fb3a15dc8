"""Finds picture files and gives them ids.

Says nothing about whether a file is a good picture: the server does.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from service.cli.failure import CommandError
from service.suffixes import PICTURE_SUFFIXES

SUFFIXES = PICTURE_SUFFIXES
"""Taken from folders. A file that is named on the command line is taken whatever its name."""

ID_LENGTH = 63


def find(paths: Sequence[Path]) -> list[Path]:
    """List the files among `paths` and the pictures below its folders, sorted per folder.

    Hidden files and folders are left out; a file that is reached twice is listed once.

    Raises:
        CommandError: a path does not exist, or there is no picture at all.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            for entry in sorted(path.rglob("*")):
                hidden = any(part.startswith(".") for part in entry.relative_to(path).parts)
                if entry.suffix.lower() in SUFFIXES and not hidden and entry.is_file():
                    found[entry] = None
        elif path.exists():
            found[path] = None
        else:
            raise CommandError(f"{path} does not exist", "name a picture or a folder of pictures")
    if not found:
        names = ", ".join(str(path) for path in paths)
        raise CommandError(
            f"no picture in {names}", f"files that end in {' '.join(sorted(SUFFIXES))} are taken"
        )
    return list(found)


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
