"""How sweeps, findings and groups are shown to a person."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from copycatch.v1 import match_service_pb2 as match_pb2
from copycatch.v1 import sweep_service_pb2 as pb
from service.cli import output
from service.cli.names import short_sweep


def row(sweep: pb.Sweep) -> tuple[str, ...]:
    """The line of a sweep in the list of all."""
    counts = sweep.counts
    return (
        short_sweep(sweep.name),
        pb.Sweep.State.Name(sweep.state),
        f"{counts.done_count:,} / {counts.planned_count:,}",
        f"{counts.copy_count:,}",
        f"{counts.review_count:,}",
        f"{counts.failed_count:,}",
        _source(sweep),
    )


def _source(sweep: pb.Sweep) -> str:
    return sweep.forward.manifest if sweep.HasField("forward") else "all remembered listings"


def _planned(sweep: pb.Sweep) -> str:
    """What is counted: of remembered listings most need no second look, and have no finding."""
    if sweep.HasField("forward"):
        return "listings"
    return "listings that could be copies; the others are clear"


def waiting_words(sweep: pb.Sweep) -> str:
    """What is said before a sweep runs."""
    if sweep.HasField("forward"):
        return f"reading {Path(sweep.forward.manifest).name}"
    return "searching the remembered listings"


def progress_words(sweep: pb.Sweep) -> str:
    """What is said beside the progress bar."""
    counts = sweep.counts
    rate = f", {sweep.listings_per_second:.1f}/s" if sweep.listings_per_second else ""
    return (
        f"sweeping: {counts.copy_count:,} copy, {counts.review_count:,} review, "
        f"{counts.failed_count:,} failed{rate}"
    )


def sweep_table(sweep: pb.Sweep) -> Table:
    """All that is to be said of one sweep."""
    counts, target = sweep.counts, sweep.target
    aimed = [*target.brands, *target.originals]
    rows = [
        ("sweep", sweep.name),
        ("title", sweep.display_name),
        ("state", pb.Sweep.State.Name(sweep.state)),
        ("why", f"{sweep.error_message} ({sweep.error_reason})" if sweep.error_reason else ""),
        ("swept", _source(sweep) + (f" ({_form(sweep)})" if sweep.HasField("forward") else "")),
        ("looks for", ", ".join(aimed[:10]) + (" ..." if aimed[10:] else "") or "all originals"),
        ("done", f"{counts.done_count:,} of {counts.planned_count:,} {_planned(sweep)}"),
        ("pictures checked", f"{counts.picture_count:,}"),
        ("copy", f"{counts.copy_count:,}"),
        ("review", f"{counts.review_count:,}"),
        ("authorised", f"{counts.authorised_count:,}"),
        ("clear", f"{counts.clear_count:,}"),
        ("not checked whole", f"{counts.failed_count:,}"),
    ]
    if sweep.listings_per_second:
        rows.append(("speed", f"{sweep.listings_per_second:.1f} listings a second"))
    for name, field in (
        ("created", "create_time"),
        ("started", "start_time"),
        ("ends about", "estimated_end_time"),
        ("ended", "end_time"),
    ):
        if sweep.HasField(field):  # type: ignore[arg-type]
            rows.append((name, f"{getattr(sweep, field).ToDatetime():%Y-%m-%d %H:%M:%S} UTC"))
    table = output.table("field", "value")
    for field, value in rows:
        if value:
            table.add_row(field, value)
    return table


def finding_row(finding: pb.Finding) -> tuple[str | Text, ...]:
    """The line of a finding: its best match, or what is wrong with it."""
    verdict = match_pb2.Verdict.Name(finding.verdict) if finding.verdict else "ERROR"
    how, original, score, picture = "", "", "", ""
    if finding.matches:
        best = finding.matches[0]
        kind = output.kind_words(best)
        how = f"{kind}: {', '.join(best.edits)}" if best.edits else kind
        original, score, picture = short(best.original), f"{best.score:.2f}", best.picture
        if len(finding.matches) > 1:
            original += f" and {len(finding.matches) - 1} more"
    if finding.errors:
        first = finding.errors[0]
        how = "; ".join(filter(None, (how, f"{first.message} ({first.reason})")))
        picture = picture or first.picture
    return (
        finding.listing_id,
        finding.seller,
        output.styled(verdict),
        score,
        original,
        how,
        picture,
    )


def groups_table(groups: Sequence[pb.FindingGroup], by: str) -> Table:
    """A line for each seller or each original."""
    first, second = ("seller", "originals") if by == "seller" else ("original", "sellers")
    table = output.table(first, ">listings", f">{second}", ">copy", ">review", f"most {second}")
    for group in groups:
        largest = ", ".join(f"{short(p.name)} ({p.listing_count:,})" for p in group.largest_parts)
        left = group.part_count - len(group.largest_parts)
        table.add_row(
            short(group.name),
            f"{group.listing_count:,}",
            f"{group.part_count:,}",
            f"{group.copy_count:,}",
            f"{group.review_count:,}",
            largest + (f" and {left:,} more" if left > 0 else ""),
        )
    return table


def short(name: str) -> str:
    """`brand/original` of a resource name; a seller as it is."""
    if not name:
        return "(no seller)"
    return name.removeprefix("brands/").replace("/originals/", "/")


def _form(sweep: pb.Sweep) -> str:
    return pb.ForwardSource.Form.Name(sweep.forward.form).lower()
