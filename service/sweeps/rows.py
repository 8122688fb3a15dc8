"""Manifests that are tables: rows of pictures become listings."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from service.sweeps import parquet
from service.sweeps.access import Access
from service.sweeps.errors import ManifestInvalid, SourceNotAllowed, SourceUnreadable
from service.sweeps.listing import ROW_INVALID, Listing, Picture, refused
from service.sweeps.places import folder_of
from service.wording import seen_columns

COLUMNS = ("listing_id", "seller", "territory", "path", "url")
PLACES = ("path", "url")

type Row = Mapping[str, Any]


def check_csv(location: str, access: Access) -> None:
    """Raises ManifestInvalid when a column is missing, SourceUnreadable."""
    with access.opened(location) as file:
        head = file.read(1 << 16)
    if not head:
        raise ManifestInvalid(location, "it is empty")
    try:
        text = head.decode("utf-8-sig", errors="strict" if len(head) < 1 << 16 else "ignore")
    except UnicodeDecodeError as error:
        raise ManifestInvalid(location, f"it is not UTF-8: {error}") from error
    names = next(csv.reader(io.StringIO(text)), [])
    check_columns(location, names)


def check_parquet(location: str, access: Access) -> None:
    """Raises ManifestInvalid when a column is missing or it is no Parquet file."""
    with access.opened(location) as file:
        check_columns(location, parquet.column_names(location, file))


def check_columns(location: str, names: Sequence[str]) -> None:
    """Raises ManifestInvalid when what a manifest needs is not among the columns."""
    seen = seen_columns(names)
    if "listing_id" not in names:
        raise ManifestInvalid(location, f"it has no column 'listing_id'; {seen}")
    if not set(PLACES) & set(names):
        raise ManifestInvalid(location, f"it has neither a column 'path' nor 'url'; {seen}")


def of_csv(location: str, access: Access) -> Iterator[Listing]:
    """Yield the listings of a CSV file."""
    with access.opened(location) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        reader = csv.DictReader(text)

        def numbered() -> Iterator[tuple[str, Row]]:
            while True:
                try:
                    row = next(reader)
                except StopIteration:
                    return
                except (csv.Error, UnicodeDecodeError) as error:
                    raise ManifestInvalid(location, f"line {reader.line_num}: {error}") from error
                except OSError as error:
                    raise SourceUnreadable(location, str(error)) from error
                yield f"line {reader.line_num}", row

        yield from listings(location, access, numbered())


def of_parquet(location: str, access: Access) -> Iterator[Listing]:
    """Yield the listings of a Parquet file."""
    with access.opened(location) as file:
        found = parquet.rows(location, file, COLUMNS)
        yield from listings(
            location, access, ((f"row {n:,}", row) for n, row in enumerate(found, start=1))
        )


def listings(
    location: str, access: Access, numbered: Iterable[tuple[str, Row]]
) -> Iterator[Listing]:
    """Join rows of one id that stand together, and find their pictures.

    Args:
        location: of the manifest; relative paths begin beside it.
        access: what the manifest may name.
        numbered: each row with how a person finds it.
    """
    base = folder_of(location)
    for _, group in groupby(numbered, key=lambda pair: _grouped(*pair)):
        rows = list(group)
        where, row = rows[0]
        listing_id = _text(row, "listing_id")
        if not listing_id:
            yield refused(f"({where})", _text(row, "seller"), ROW_INVALID, "it has no listing_id")
            continue
        yield _listing(listing_id, base, access, rows)


def _grouped(where: str, row: Row) -> str:
    """What rows of one listing share; a row without an id stands alone."""
    return _text(row, "listing_id") or f"\0{where}"


def _listing(
    listing_id: str, base: str, access: Access, group: Sequence[tuple[str, Row]]
) -> Listing:
    said: dict[str, str] = {}
    for name in ("seller", "territory"):
        values = {text for _, row in group if (text := _text(row, name))}
        said[name] = min(values, default="")
        if len(values) > 1:
            why = f"its rows name more than one {name}: {', '.join(sorted(values))[:200]}"
            return refused(listing_id, said["seller"], ROW_INVALID, why)
    seller = said["seller"]
    pictures: list[Picture] = []
    for where, row in group:
        names = [name for place in PLACES for name in _names(row.get(place))]
        if not names:
            return refused(listing_id, seller, ROW_INVALID, f"{where} names no picture")
        for name in names:
            try:
                pictures.append(Picture(access.located(name, base), name))
            except SourceNotAllowed as error:
                return refused(listing_id, seller, error.reason, str(error))
    return Listing(listing_id, seller, tuple(pictures), territory=said["territory"])


def _names(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for each in values if each is not None and (text := str(each).strip())]


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value).strip()
