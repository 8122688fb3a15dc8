"""A marketplace's own reviewed pairs: a CSV of listing pictures, originals and labels.

Columns: `listing` (path of a picture, relative to the CSV), `original` (path of a picture, or
`brand/original`, or the full resource name) and `label`; optionally `edits` (joined by `+`),
`fidelity` (of a restyle: `strong`, `medium`, `weak`) and `group` (pairs of one product, which
are no independent witnesses; by default the original).

A row that names an original speaks of this pair. A row without one says that the listing
copies nothing that is registered.
"""

import csv
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from service.ids import PATTERN
from service.wording import seen_columns

COPIES = ("copy", "restyled")
OTHERS = ("same_product", "unrelated")
LABELS = (*COPIES, *OTHERS)
REQUIRED = ("listing", "original", "label")
FIDELITIES = ("strong", "medium", "weak")

_RESOURCE = re.compile(f"(?:brands/)?({PATTERN})/(?:originals/)?({PATTERN})")


class LabelsInvalid(ValueError):
    """A file of labelled pairs can not be used; the message says what to mend."""

    reason: ClassVar[str] = "LABELS_INVALID"


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """One row.

    Attributes:
        listing: file of the listing picture.
        original: file of the original's picture, or its resource name, or None when the listing
            copies nothing that is registered.
        label: one of `LABELS`.
        edits: what was done to the original, as far as the reviewer knows.
        fidelity: of a restyle.
        group: as in the file, empty when it does not say.
        line: of the file.
    """

    listing: Path
    original: Path | str | None
    label: str
    edits: tuple[str, ...]
    fidelity: str
    group: str
    line: int

    @property
    def is_copy(self) -> bool:
        """Whether the listing was made from the original."""
        return self.label in COPIES


def read_pairs(path: Path) -> list[LabelledPair]:
    """Read and check a file of labelled pairs.

    Raises:
        LabelsInvalid: a column, a file or a value is missing or not understood, or two rows
            contradict each other. It lists the first ten.
    """
    if not path.is_file():
        raise LabelsInvalid(f"{path} is no file; name a CSV with the columns {_columns()}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            given = reader.fieldnames or []
            missing = [name for name in REQUIRED if name not in given]
            if missing:
                raise LabelsInvalid(
                    f"{path} has no column {', '.join(missing)}; it needs {_columns()}; "
                    f"{seen_columns(given)}"
                )
            rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise LabelsInvalid(f"{path} is no CSV in UTF-8: {error}") from error
    problems: list[str] = []
    pairs = [pair for line, row in rows if (pair := _pair(path, line, row, problems))]
    problems += _contradictions(path, pairs)
    if problems:
        more = f"\n... and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise LabelsInvalid("\n".join(problems[:10]) + more)
    if not pairs:
        raise LabelsInvalid(f"{path} has no rows; it needs {_columns()}")
    return pairs


def digest_of(path: Path, pairs: Sequence[LabelledPair]) -> str:
    """Return the SHA-256, hexadecimal, of the labels and of the bytes of all pictures."""
    whole = hashlib.sha256(path.read_bytes())
    files = {p for pair in pairs for p in (pair.listing, pair.original) if isinstance(p, Path)}
    for file in sorted(files):
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()


def _pair(
    path: Path, line: int, row: dict[str, str | None], problems: list[str]
) -> LabelledPair | None:
    at = f"{path}, line {line}"
    field = {
        name: (value or "").strip() if isinstance(value, str | None) else ""
        for name, value in row.items()
    }
    count, listing = len(problems), path.parent / field["listing"]
    if not field["listing"] or not listing.is_file():
        problems.append(f"{at}: the listing {field['listing']!r} is no file beside it")
    if field["label"] not in LABELS:
        problems.append(f"{at}: label {field['label']!r} is none of {', '.join(LABELS)}")
    original = _original(path.parent, field["original"])
    if field["original"] and original is None:
        problems.append(
            f"{at}: the original {field['original']!r} is neither a file beside it nor a name "
            "like brand/original"
        )
    elif original is None and field["label"] in COPIES:
        problems.append(f"{at}: a {field['label']} needs its original")
    fidelity = field.get("fidelity", "")
    if fidelity and fidelity not in FIDELITIES:
        problems.append(f"{at}: fidelity {fidelity!r} is none of {', '.join(FIDELITIES)}")
    if len(problems) > count:
        return None
    edits = [edit.strip() for edit in field.get("edits", "").split("+")]
    if field["label"] == "restyled":
        edits = [field.get("edits", "").partition(":")[0].strip()]
    return LabelledPair(
        listing=listing,
        original=original,
        label=field["label"],
        edits=tuple(filter(None, edits)),
        fidelity=fidelity or ("strong" if field["label"] == "restyled" else ""),
        group=field.get("group", ""),
        line=line,
    )


def _original(folder: Path, text: str) -> Path | str | None:
    if not text:
        return None
    if (folder / text).is_file():
        return folder / text
    found = _RESOURCE.fullmatch(text)
    return f"brands/{found[1]}/originals/{found[2]}" if found else None


def _contradictions(path: Path, pairs: Sequence[LabelledPair]) -> list[str]:
    """What two rows say of one pair, or of one listing, that can not both be."""
    problems = []
    said: dict[tuple[Path, Path | str | None], LabelledPair] = {}
    copies = {pair.listing: pair for pair in pairs if pair.is_copy}
    for pair in pairs:
        before = said.setdefault((pair.listing, pair.original), pair)
        if before.is_copy != pair.is_copy:
            problems.append(
                f"{path}: line {before.line} says {before.label} and line {pair.line} says "
                f"{pair.label} of one pair"
            )
        elif pair.original is None and pair.listing in copies:
            problems.append(
                f"{path}: line {pair.line} says that the listing copies nothing, line "
                f"{copies[pair.listing].line} that it does"
            )
    return problems


def _columns() -> str:
    return f"{', '.join(REQUIRED)} (and may have edits, fidelity, group)"
