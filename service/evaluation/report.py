"""The figures of an evaluation: one mapping for JSON, tables for people, a CSV of answers."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from service.evaluation.answers import Asked
from service.evaluation.measures import calibration_error, reliability
from service.evaluation.metrics import (
    ALARMS,
    FALSE_POSITIVE_RATES,
    Judgements,
    Metrics,
    intervals,
)

FIDELITIES = ("strong", "medium", "weak")
_NONE = (math.nan, math.nan)


def figures(
    asked: Sequence[Asked], judgements: Judgements, resamples: int = 1000
) -> dict[str, Any]:
    """Return everything that is measured of listings and their answers.

    Args:
        judgements: of each policy that is measured; see `service.evaluation.answers.judged`.
        resamples: of the bootstrap behind the confidence intervals; 0 gives none.
    """
    metrics = Metrics(asked)
    recall_at_p90, threshold = metrics.recall_at_p90()
    rates = [f"{rate:g}" for rate in FALSE_POSITIVE_RATES]
    return {
        "micro_ap": metrics.micro_ap(),
        "recall_at_p90": recall_at_p90,
        "recall_at_p90_threshold": threshold,
        "recall_at_fpr": {rate: metrics.recall_at_fpr(rate) for rate in rates},
        "threshold_at_fpr": metrics.thresholds,
        "restyled_recall_at_fpr": {r: metrics.restyled_recall_at_fpr(r) for r in rates},
        "rank1": metrics.rank1(),
        "recall_by_edit_at_fpr_0.01": metrics.recall_by_edit("0.01"),
        "policies": {name: _of_policy(listings) for name, listings in judgements.items()},
        "calibration_error": {
            which: calibration_error(*metrics.calibrated(which))
            for which in ("shown", "best", "all")
        },
        "confidence_95": intervals(asked, judgements, resamples),
        "listings": {role: len(metrics.of(role)) for role in sorted({a.role for a in asked})},
        "errors": {a.path: a.error for a in asked if a.error},
    }


def _of_policy(judged: Sequence[Asked]) -> dict[str, Any]:
    """Return what one policy decides, and how true the scores are that it shows."""
    metrics = Metrics(judged)
    shown = metrics.calibrated("shown")
    return {
        "copy_rate": metrics.verdict_rate(ALARMS[:1]),
        "review_rate": metrics.verdict_rate(ALARMS),
        "restyled_copy_rate": {f: metrics.restyled_rate(f, ALARMS[:1]) for f in FIDELITIES},
        "restyled_review_rate": {f: metrics.restyled_rate(f, ALARMS) for f in FIDELITIES},
        "copy_precision": metrics.precision(ALARMS[:1]),
        "calibration_error": calibration_error(*shown),
        "reliability": [
            {"mean_score": score, "share_right": truth, "count": count}
            for score, truth, count in reliability(*shown)
        ],
    }


def plain(value: Any) -> Any:
    """Return the same for JSON, which has neither NaN nor infinity: they become null."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show(found: Mapping[str, Any], console: Console, title: str) -> None:
    """Print the tables: retrieval, each policy, recall by edit."""
    bounds = found["confidence_95"]
    table = Table(
        "figure", "value", "95 % interval", title=title, title_justify="left", header_style="bold"
    )

    def add(name: str, value: float, key: str) -> None:
        if not math.isnan(value):
            table.add_row(name, number(value), _span(bounds.get(key, _NONE)))

    add("micro-AP of copies", found["micro_ap"], "micro_ap")
    add("recall at 90 % precision", found["recall_at_p90"], "recall_at_p90")
    for rate, value in found["recall_at_fpr"].items():
        add(f"copies found at {float(rate):.1%} false alarms", value, f"recall_at_fpr/{rate}")
    for rate, kinds in found["restyled_recall_at_fpr"].items():
        for kind, value in kinds.items():
            key = f"restyled_recall_at_fpr/{rate}/{kind}"
            add(f"strong restyles at {float(rate):.1%}: {kind}", value, key)
    for role, value in found["rank1"].items():
        add(f"own original first: {role}", value, f"rank1/{role}")
    console.print(table)
    if found["policies"]:
        console.print(_policies(found))
    if found["recall_by_edit_at_fpr_0.01"]:
        edits = Table("edit", "copies", "found at 1 %", "COPY", "alone", "found at 1 %")
        for edit, row in found["recall_by_edit_at_fpr_0.01"].items():
            edits.add_row(edit, *(number(value) for value in row.values()))
        console.print(edits)


def _policies(found: Mapping[str, Any]) -> Table:
    """The table with a column for each policy: share of each role with a verdict, intervals."""
    bounds, policies = found["confidence_95"], found["policies"]
    table = Table("listings", *policies, title="Verdicts by policy", title_justify="left")

    def add(words: str, values: Sequence[float], key: str) -> None:
        cells = []
        for policy, value in zip(policies, values, strict=True):
            low, high = bounds.get(f"policy/{policy}/{key}", _NONE)
            span = "" if math.isnan(low) else f" ({low:.3f} - {high:.3f})"
            cells.append(f"{number(value)}{span}" if not math.isnan(value) else "")
        table.add_row(words, *cells)

    for name, words in (("copy_rate", "COPY"), ("review_rate", "COPY or REVIEW")):
        for role, count in found["listings"].items():
            values = [each[name][role] for each in policies.values()]
            add(f"{words}: {role} ({count})", values, f"{name}/{role}")
        values = [each[f"restyled_{name}"]["strong"]["all"] for each in policies.values()]
        if not all(math.isnan(value) for value in values):
            add(f"{words}: restyled, strong, per group", values, f"{name}/restyled_strong")
    for key, words in (
        ("copy_precision", "right of the COPY answers"),
        ("calibration_error", "calibration error of the scores shown"),
    ):
        add(words, [each[key] for each in policies.values()], key)
    return table


def write_csv(path: Path, asked: Sequence[Asked]) -> None:
    """Write a line for each answer, and one for a listing without answers."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(
            "path role original edits fidelity group verdict error rank answer score right "
            "answer_verdict kind found_edits".split()
        )
        for q in asked:
            listing = [q.path, q.role, q.original, "+".join(q.edits), q.fidelity, q.group]
            listing += [q.verdict, q.error]
            if not q.answers:
                out.writerow([*listing, *[""] * 7])
            for rank, a in enumerate(q.answers, start=1):
                right = int(a.original == q.original)
                found = "+".join(a.edits)
                out.writerow(
                    [*listing, rank, a.original, f"{a.score:.6f}", right, a.verdict, a.kind, found]
                )


def number(value: float | int | None) -> str:
    """Return a figure in few digits, empty when it has no value."""
    if isinstance(value, int):
        return str(value)
    if value is None or math.isnan(value):
        return ""
    return f"{value:.1f}" if value >= 10 else f"{value:.3f}"


def _span(bounds: tuple[float, float]) -> str:
    low, high = bounds
    return "" if math.isnan(low) else f"{low:.3f} - {high:.3f}"
