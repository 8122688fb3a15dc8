"""Reads what is to be imported: folders, CSV files and tar archives of pictures.

A source yields items in a fixed order and reads a picture's bytes only when asked, so that
a million pictures take no more memory than one.
"""

import csv
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from service.cli import pictures
from service.cli.failure import CommandError, describe, unreadable
from service.wording import seen_columns

COLUMNS = ("path", "brand", "id", "display_name")
"""Columns of a CSV with a meaning; every other column becomes an annotation."""


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to register.

    Attributes:
        name: how the source calls it; goes into messages and answers.
        brand: brand id.
        original: original id.
        size: bytes of the picture, known without reading it.
        read: returns the bytes; may raise `OSError`.
        display_name: name for people.
        annotations: the owner's notes.
    """

    name: str
    brand: str
    original: str
    size: int
    read: Callable[[], bytes]
    display_name: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Broken:
    """A row or member that can not be read, to be reported with the failures."""

    name: str
    message: str


def read_source(source: Path, brand: str | None) -> Iterator[Item | Broken]:
    """Yield the items of a folder, a CSV file or a tar archive.

    Args:
        source: folder (searched through), `.csv`, or `.tar` in any compression.
        brand: brand of all items. None takes it from the `brand` column of a CSV, and
            from the first folder of the path elsewhere.

    Raises:
        CommandError: the source can not be read at all.
    """
    if source.is_dir():
        return _read_folder(source, brand)
    if not source.exists():
        raise CommandError(f"{source} does not exist", "name a folder, a CSV file or a tar archive")
    if source.suffix.lower() == ".csv":
        return _read_csv(source, brand)
    if tarfile.is_tarfile(source):
        return _read_tar(source, brand)
    raise CommandError(
        f"{source} is neither a folder nor a CSV file nor a tar archive",
        "single pictures are registered with `copycatch register`",
    )


def from_file(path: Path, name: str, brand: str, original: str, display_name: str) -> Item | Broken:
    """Return the item of a picture's file, which is there unless it can not even be looked at."""
    try:
        size = path.stat().st_size
    except OSError as error:
        return Broken(name, describe(unreadable(error)))
    return Item(name, brand, original, size, path.read_bytes, display_name)


def count_items(source: Path) -> int | None:
    """Return how many items a source has, for a progress bar; None when only reading it tells."""
    if source.is_dir():
        return len(pictures.find([source]))
    if source.suffix.lower() == ".csv" and source.is_file():
        with source.open(newline="", encoding="utf-8-sig") as file:
            return sum(1 for _ in csv.DictReader(file))
    return None


def _brand_of(name: str, brand: str | None) -> str:
    """Return the brand of an item from its relative path.

    Raises:
        CommandError: no brand is given, and the item lies in no folder that would name it.
    """
    if brand:
        return brand
    parts = Path(name).parts
    if len(parts) < 2:
        raise CommandError(
            f"nothing says which brand {name} belongs to",
            "give --brand ID, or sort the pictures into one folder per brand",
        )
    return pictures.make_id(parts[0])


def _read_folder(folder: Path, brand: str | None) -> Iterator[Item | Broken]:
    paths = pictures.find([folder])
    names = [str(path.relative_to(folder)) for path in paths]
    for path, name, made in zip(paths, names, pictures.make_ids(names), strict=True):
        yield from_file(path, name, _brand_of(name, brand), made, name)


def _read_csv(source: Path, brand: str | None) -> Iterator[Item | Broken]:
    with source.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        if "path" not in columns:
            raise CommandError(
                f"{source} has no column 'path', {seen_columns(columns)}",
                f"its first line names the columns: {', '.join(COLUMNS)} and any of your own",
            )
        if not brand and "brand" not in columns:
            raise CommandError(
                f"{source} has no column 'brand', {seen_columns(columns)}",
                "add it, or give --brand ID",
            )
        taken: dict[str, int] = {}
        for row in reader:
            name = (row.get("path") or "").strip()
            where = f"{source.name}:{reader.line_num}"
            owner = brand or (row.get("brand") or "").strip()
            if not name or not owner:
                yield Broken(where, "the row has no path" if not name else "the row has no brand")
                continue
            path = source.parent / name
            if not path.is_file():
                yield Broken(name, f"no such file (named in {where})")
                continue
            stem = Path(name).stem
            taken[stem] = taken.get(stem, 0) + 1
            made = (row.get("id") or "").strip() or pictures.make_id(
                stem if taken[stem] == 1 else f"{stem}-{taken[stem]}"
            )
            notes = {
                key: value
                for key, value in row.items()
                if key and key not in COLUMNS and isinstance(value, str) and value
            }
            display = (row.get("display_name") or "").strip() or name
            size = path.stat().st_size
            yield Item(name, owner, made, size, path.read_bytes, display, notes)


def _read_tar(source: Path, brand: str | None) -> Iterator[Item | Broken]:
    taken: dict[str, int] = {}
    try:
        with tarfile.open(source, "r|*") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                hidden = any(part.startswith(".") for part in Path(name).parts)
                if Path(name).suffix.lower() not in pictures.SUFFIXES or hidden:
                    continue
                if not member.isfile():
                    continue
                file = archive.extractfile(member)
                # Read at once: a compressed archive can not be gone back in.
                data = file.read() if file else b""
                stem = Path(name).stem
                taken[stem] = taken.get(stem, 0) + 1
                made = pictures.make_id(stem if taken[stem] == 1 else f"{stem}-{taken[stem]}")
                yield Item(name, _brand_of(name, brand), made, len(data), lambda d=data: d, name)  # type: ignore[misc]
    except (tarfile.TarError, EOFError, OSError) as error:
        yield Broken(source.name, f"the archive breaks off: {error}")
