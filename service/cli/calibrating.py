"""What `copycatch calibrate` does: ask about the labelled pairs, fit, write, print."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from service.cli import output, reviewed
from service.cli.client import Client
from service.cli.failure import CommandError
from service.cli.reviewed import Reviewed
from service.evaluation import calibrate as fitting
from service.evaluation import report
from service.evaluation.pairs import LabelledPair, digest_of
from service.matching.calibration import POLICIES, Calibration


def run(
    labels: Path,
    pairs: Sequence[LabelledPair],
    client: Client,
    *,
    out: Path,
    precision: Mapping[str, float],
    local: bool,
    json: bool,
) -> None:
    """Calibrate by labelled pairs; the arguments are the command's.

    Raises:
        CalibrationRefused: the labels do not bear it; says what is missing.
        CommandError: an original is not registered, or a call failed.
    """
    info = client.info()
    if info.calibration:
        raise CommandError(
            f"the scores of {client.target} are calibrated already ({info.calibration})",
            "start the server without the setting `calibration`, or use --local DIR",
        )
    found = reviewed.ask(client, pairs, thorough=False, quiet=json)
    fitted = fitting.fit(_scored(found), precision)
    calibration = Calibration(
        model=info.model,
        schema=info.schema,
        knots=fitted.knots,
        heights=fitted.heights,
        thresholds=fitted.thresholds,
        claims=fitted.claims,
        about={
            "data": {"labels": labels.name, "rows": len(pairs), "sha256": digest_of(labels, pairs)},
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": _command(labels, out, precision, local),
            "server": {"version": info.version, "encoders": [e.name for e in info.encoders]},
            "quality": report.plain(fitted.quality),
        },
    )
    out.write_text(calibration.to_json(), encoding="utf-8")
    written = Calibration.load(out)
    if json:
        output.print_json({"path": str(out), "id": written.id} | report.plain(fitted.quality))
        return
    _show(written, fitted.quality)
    output.remark(f"wrote {out}; serve it with the setting calibration = {str(out)!r}")


def _scored(found: list[Reviewed]) -> fitting.Scored:
    """The labelled pairs that were answered with a score of the model.

    The same picture needs no score; what was not verified has none that decides; a match that
    no row speaks of is neither right nor wrong.
    """
    scores, truth, groups, missed = [], [], [], 0
    for one in found:
        answered: set[str] = set()
        for answer in one.answers:
            if not answer.verified:
                continue
            answered.add(answer.original)
            known = answer.original in one.own | one.others or one.copies_nothing
            if known and answer.kind != "EXACT":
                scores.append(answer.score)
                truth.append(answer.original in one.own)
                groups.append(one.group)
        missed += bool(one.own) and not one.own & answered
    return fitting.Scored(
        np.array(scores, np.float64), np.array(truth, np.bool_), tuple(groups), missed
    )


def precision_of(given: list[str]) -> dict[str, float]:
    """Return what each policy has to hold, from `POLICY=SHARE`."""
    wanted = dict(fitting.PRECISION)
    for text in given:
        name, _, share = text.partition("=")
        try:
            wanted[name] = float(share)
        except ValueError:
            wanted[name] = float("nan")
        if name not in POLICIES or not 0 < wanted[name] < 1:
            raise CommandError(
                f"--precision {text} is not understood",
                f"write one of {', '.join(POLICIES)} and a share below 1, as in strict=0.98",
            )
    if not wanted["strict"] >= wanted["balanced"] >= wanted["recall"]:
        raise CommandError(
            "the precisions do not fall from strict over balanced to recall: "
            + ", ".join(f"{name}={share:g}" for name, share in wanted.items()),
            "give the others with --precision too",
        )
    return wanted


def _command(labels: Path, out: Path, precision: Mapping[str, float], local: bool) -> str:
    words = ["copycatch", "calibrate", str(labels), "--out", str(out)]
    for name, share in precision.items():
        words += ["--precision", f"{name}={share:g}"] if share != fitting.PRECISION[name] else []
    words += ["--local", "DIR"] if local else []
    return shlex.join(words)


def _show(calibration: Calibration, quality: dict[str, object]) -> None:
    console = output.console()
    console.print(
        f"{calibration.id} for {calibration.model}: {quality['copies']} copies and "
        f"{quality['others']} others in {quality['groups']} groups; "
        f"{quality['copies_not_answered']} copies were not answered"
    )
    console.print(
        f"calibration error {quality['calibration_error_before']:.3f} before, "
        f"{quality['calibration_error_held_out']:.3f} after, on pairs held out"
    )
    table = output.table(
        "policy", ">COPY from", ">REVIEW from", ">holds", "right of its COPY", "copies found"
    )
    policies = quality["policies"]
    assert isinstance(policies, dict)
    for name, begins in calibration.thresholds.items():
        claim, held = calibration.claims[name], policies[name]
        count = claim.right + claim.wrong
        table.add_row(
            name,
            f"{begins['copy']:.3f}",
            f"{begins['review']:.3f}",
            f"{claim.precision:.1%}",
            f"{claim.right} of {count}, {_span(held['precision_95'])}" if count else "none",
            f"{held['recall']:.1%}, {_span(held['recall_95'])}",
        )
    console.print(table)


def _span(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.1%} - {bounds[1]:.1%}"
