"""What `copycatch evaluate` does: ask about the labelled pairs, measure, write, print."""

import csv
import json as json_
import os
from collections.abc import Sequence
from pathlib import Path

from copycatch.v1 import originals_service_pb2 as originals_pb2
from service.cli import output, reviewed
from service.cli.client import Client
from service.cli.reviewed import Reviewed
from service.evaluation import report, sheets
from service.evaluation.answers import judged
from service.evaluation.messages import described, policies_of
from service.evaluation.metrics import Metrics
from service.evaluation.pairs import LabelledPair
from service.wording import counted


def run(
    labels: Path,
    pairs: Sequence[LabelledPair],
    client: Client,
    *,
    out: Path | None,
    resamples: int,
    thorough: bool,
    json: bool,
) -> None:
    """Measure the answers of a server on labelled pairs; the arguments are the command's.

    Raises:
        CommandError: an original is not registered, or a call failed.
    """
    info = client.info()
    found = reviewed.ask(client, pairs, thorough=thorough, quiet=json)
    asked = [one.as_asked() for one in found]
    judgements = {name: judged(asked, at) for name, at in policies_of(info).items()}
    figures = report.figures(asked, judgements, resamples) | {"server": described(info, "")}
    surprises = _surprises(found)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        text = json_.dumps(report.plain(figures), indent=2) + "\n"
        (out / "figures.json").write_text(text, encoding="utf-8")
        report.write_csv(out / "answers.csv", asked)
        _write_surprises(out / "to_label.csv", surprises, labels.parent)
        _draw(out, Metrics(asked), client)
    if json:
        output.print_json(report.plain(figures))
        return
    title = f"{counted(len(asked), 'listing')} of {labels.name}; {info.calibration or info.model}"
    report.show(figures, output.console(), title)
    for path, why in figures["errors"].items():
        output.remark(f"not checked: {path}: {why}")
    if surprises:
        where = f": see {out / 'to_label.csv'}" if out else "; --out lists them"
        many = counted(len(surprises), "match is", "matches are")
        count = "counts" if len(surprises) == 1 else "count"
        output.remark(f"{many} not labelled and {count} as wrong{where}")
    if out is not None:
        output.remark(f"wrote {out}")


def _surprises(found: list[Reviewed]) -> list[tuple[Path, str, float]]:
    """The matches that reach REVIEW and that no row speaks of."""
    return [
        (one.listing, answer.original, answer.score)
        for one in found
        if not one.copies_nothing
        for answer in one.answers
        if answer.verdict in ("COPY", "REVIEW") and answer.original not in one.own | one.others
    ]


def _write_surprises(path: Path, rows: list[tuple[Path, str, float]], folder: Path) -> None:
    """Write them in the form of the labels, with an empty label to fill in."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("listing", "original", "label", "score"))
        for listing, original, score in rows:
            writer.writerow((os.path.relpath(listing, folder), original, "", f"{score:.4f}"))


def _draw(out: Path, metrics: Metrics, client: Client) -> None:
    """Draw the contact sheets, with the originals' previews from the server."""

    def read(name: str) -> bytes:
        if not name.startswith("brands/"):
            return Path(name).read_bytes()
        request = originals_pb2.GetOriginalPreviewRequest(name=name)
        return client.call(client.originals.GetOriginalPreview, request).image

    for name, chosen, title in (
        ("false_alarms.png", sheets.false_alarms(metrics), "Hardest false alarms"),
        ("misses.png", sheets.misses(metrics), "Hardest misses"),
    ):
        sheets.draw(out / name, chosen, read, f"{title}: listing, original")
