"""A folder of labelled pictures: `eval.csv` and the files that it names.

Columns: `path` and `original` relative to the folder, `role`, `edits`, `fidelity`, `group`, and if
it is known `source`, the catalogue that a picture is from. The roles `original` and `distractor`
are registered, all others are asked for.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from service.evaluation.answers import Asked
from service.wording import seen_columns

FILE = "eval.csv"
REQUIRED = ("path", "role", "original", "edits", "fidelity", "group")
REGISTERED = ("original", "distractor")
ASKED = ("copy", "restyled", "same_product", "unrelated", "burst")

COPIES = ("copy", "restyled")


class DataInvalid(ValueError):
    """The folder can not be evaluated; the message says what to mend."""


@dataclass(frozen=True, slots=True)
class Data:
    """What is to be registered and asked.

    Attributes:
        folder: where the paths are.
        registered: paths of originals and distractors.
        listings: listings without answers.
        groups: of the registered paths that are pictures of one product, its name.
        sources: by path the catalogue that a picture, or that which it was made of, is from.
    """

    folder: Path
    registered: tuple[str, ...]
    listings: tuple[Asked, ...]
    groups: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def read(self, path: str) -> bytes:
        """Return the bytes of a picture."""
        return (self.folder / path).read_bytes()

    def limited(self, count: int) -> "Data":
        """Return `count` listings spread over all, their originals and as many others."""
        if count >= len(self.listings):
            return self
        chosen = spread(self.listings, count)
        needed = {listing.original for listing in chosen}
        others = [path for path in self.registered if path not in needed][:count]
        kept = needed.union(others)
        registered = tuple(p for p in self.registered if p in kept)
        return replace(self, registered=registered, listings=tuple(chosen))


def spread[T](items: Sequence[T], count: int) -> list[T]:
    """At most `count` items, spread over all."""
    count = min(count, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def load(folder: Path) -> Data:
    """Read and check a folder.

    Raises:
        DataInvalid: a file, column or value is missing or not understood.
    """
    table = folder / FILE
    if not table.is_file():
        raise DataInvalid(f"{table} is missing; name a folder that holds {FILE} with --data")
    with table.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        columns = reader.fieldnames or []
        if missing := [name for name in REQUIRED if name not in columns]:
            raise DataInvalid(
                f"{table} has no column {', '.join(missing)}; it needs {', '.join(REQUIRED)} "
                f"(a column may be empty); {seen_columns(columns)}"
            )
        rows = [(number, row) for number, row in enumerate(reader, start=2)]
    registered = {row["path"]: None for _, row in rows if row["role"] in REGISTERED}
    listings = []
    for number, row in rows:
        _check(folder, f"{table}, line {number}", row, registered)
        if row["role"] in ASKED:
            listings.append(_asked(row))
    if not registered or not listings:
        raise DataInvalid(
            f"{table} needs rows to register (role {' or '.join(REGISTERED)}) and rows to ask for "
            f"(role {', '.join(ASKED)})"
        )
    groups = {r["path"]: r["group"] for _, r in rows if r["path"] in registered and r["group"]}
    known = {r["path"]: r.get("source") or "" for _, r in rows}
    sources = {r["path"]: known[_made_of(r)] for _, r in rows if known[_made_of(r)]}
    return Data(folder, tuple(registered), tuple(listings), groups, sources)


def _check(folder: Path, at: str, row: dict[str, str], registered: dict[str, None]) -> None:
    if row["role"] not in (*REGISTERED, *ASKED):
        raise DataInvalid(
            f"{at}: role {row['role']!r} is none of {', '.join((*REGISTERED, *ASKED))}"
        )
    if not (folder / row["path"]).is_file():
        raise DataInvalid(f"{at}: {folder / row['path']} is missing; add it or remove the row")
    if row["role"] in COPIES and row["original"] not in registered:
        raise DataInvalid(
            f"{at}: its original {row['original']!r} is in no row of role original; add that row"
        )


def _made_of(row: dict[str, str]) -> str:
    return row["original"] if row["role"] in COPIES else row["path"]


def _asked(row: dict[str, str]) -> Asked:
    if row["role"] == "restyled":
        edits: Sequence[str] = [row["edits"].partition(":")[0].strip()]
    else:
        edits = row["edits"].split("+")
    return Asked(
        path=row["path"],
        role=row["role"],
        original=row["original"] if row["role"] in COPIES else "",
        edits=tuple(edit for edit in edits if edit),
        fidelity=row["fidelity"],
        group=row["group"] or row["path"],
    )
