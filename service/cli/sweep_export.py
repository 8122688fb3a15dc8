"""Findings as a table: a row for each match and each error of a listing."""

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from copycatch.v1 import match_service_pb2 as match_pb2
from copycatch.v1 import sweep_service_pb2 as pb
from service.cli.failure import CommandError
from service.cli.targets import check_new_file
from service.sweeps import parquet
from service.sweeps.parquet import Kind

COLUMNS: dict[str, Kind] = {
    "finding": str,
    "listing_id": str,
    "seller": str,
    "verdict": str,
    "pictures": int,
    "original": str,
    "brand": str,
    "family": str,
    "kind": str,
    "match_verdict": str,
    "score": float,
    "picture": str,
    "edits": str,
    "licence": str,
    "note": str,
    "error_reason": str,
    "error_message": str,
}
"""Columns of an exported file; what a row is not about is empty."""

type Row = dict[str, str | int | float | None]


def check_target(target: Path, *, overwrite: bool) -> None:
    """Check that findings can be written to a file, before they are asked for.

    Raises:
        CommandError: its name ends in something else, its folder takes no file, or it is there
            already.
    """
    if target.suffix.lower() not in (".csv", ".parquet"):
        raise CommandError(
            f"'{target}' is of no form that can be written", "end it in .csv or .parquet"
        )
    check_new_file(target, "the export", overwrite=overwrite)


def export_findings(target: Path, findings: Iterable[pb.Finding], each: Callable[[], None]) -> int:
    """Write findings to a file that `check_target` has taken; the number of rows.

    The file appears when it is whole: it is written beside its place and renamed.

    Args:
        target: ends in .csv or .parquet.
        findings: written in their order.
        each: called after each finding.

    Raises:
        ExtraMissing: Parquet needs the extra `sweeps`.
    """

    def rows() -> Iterator[Row]:
        for finding in findings:
            yield from rows_of(finding)
            each()

    aside = target.with_name(f".{target.name}.part")
    try:
        count = (
            parquet.write(aside, COLUMNS, rows())
            if target.suffix.lower() == ".parquet"
            else _write_csv(aside, rows())
        )
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    return count


def rows_of(finding: pb.Finding) -> Iterator[Row]:
    """Yield the rows of one finding, at least one."""
    common: Row = dict.fromkeys(COLUMNS)
    common |= {
        "finding": finding.name,
        "listing_id": finding.listing_id,
        "seller": finding.seller,
        "verdict": match_pb2.Verdict.Name(finding.verdict) if finding.verdict else "",
        "pictures": finding.picture_count,
    }
    for match in finding.matches:
        yield common | {
            "original": match.original,
            "brand": match.original.partition("/originals/")[0],
            "family": match.family,
            "kind": match_pb2.MatchKind.Name(match.kind),
            "match_verdict": match_pb2.Verdict.Name(match.verdict),
            "score": match.score,
            "picture": match.picture,
            "edits": "; ".join(match.edits),
            "licence": match.licence,
            "note": match.note,
        }
    for error in finding.errors:
        yield common | {
            "picture": error.picture,
            "error_reason": error.reason,
            "error_message": error.message,
        }
    if not finding.matches and not finding.errors:
        yield common


def _write_csv(path: Path, rows: Iterable[Row]) -> int:
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(COLUMNS))
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _text(value) for name, value in row.items()})
            count += 1
    return count


def _text(value: str | int | float | None) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if isinstance(value, str) and text[:1] in ("=", "+", "-", "@") else text
