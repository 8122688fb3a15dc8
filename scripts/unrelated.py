"""Folders of pictures that have nothing to do with what is registered: what is ordinary."""

from pathlib import Path

LEAST = 100


def pictures_in(folder: Path) -> list[Path]:
    """The files of a folder, in the order of their names.

    Raises:
        SystemExit: they are too few.
    """
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    if len(paths) < LEAST:
        raise SystemExit(f"{folder} holds {len(paths)} files; {LEAST} are the least")
    return paths
