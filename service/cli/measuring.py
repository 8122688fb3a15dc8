"""`copycatch evaluate` and `copycatch calibrate`: a marketplace's own reviewed pairs.

The first says how good the answers are on them, the second makes the score and the policies
fit them. What they do is imported inside: it needs what the other commands start without.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from service.cli import local, options
from service.cli.client import Client
from service.cli.targets import check_file, check_folder

LabelsArgument = Annotated[
    Path,
    typer.Argument(
        metavar="LABELS.csv",
        help="Columns listing, original and label; a listing's label is copy, restyled, "
        "same_product or unrelated.",
    ),
]
LocalOption = Annotated[
    Path | None,
    typer.Option(
        "--local", metavar="DIR", help="Work without a server: DIR holds the originals' pictures."
    ),
]
ThoroughOption = Annotated[
    bool, typer.Option("--thorough", help="Search every view of a picture; slower.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("evaluate")(evaluate)
    app.command("calibrate")(calibrate)


def evaluate(
    labels: LabelsArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Write figures.json, answers.csv, to_label.csv and contact sheets there.",
        ),
    ] = None,
    resamples: Annotated[
        int, typer.Option("--resamples", min=0, help="Of the bootstrap behind the intervals.")
    ] = 1000,
    local_originals: LocalOption = None,
    thorough: ThoroughOption = False,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Measure the answers on your own labelled pairs, by every policy.

    A match that the labels do not speak of counts as a false alarm. Those
    that reach REVIEW are listed in to_label.csv, for you to label.
    """
    from service.cli import evaluating
    from service.evaluation.pairs import read_pairs

    pairs = read_pairs(labels)
    if out is not None:
        check_folder(out, "--out")
    with _connect(server, timeout, local_originals) as client:
        evaluating.run(
            labels, pairs, client, out=out, resamples=resamples, thorough=thorough, json=json
        )


def calibrate(
    labels: LabelsArgument,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE.json", help="Where the calibration goes.")
    ] = Path("calibration.json"),
    precision: Annotated[
        list[str] | None,
        typer.Option(
            "--precision",
            metavar="POLICY=SHARE",
            help="Precision that COPY of a policy has to hold, as in strict=0.98; may be "
            "repeated. Default: strict=0.99, balanced=0.95, recall=0.8.",
        ),
    ] = None,
    local_originals: LocalOption = None,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Fit the shown score and the policies' thresholds to your own labelled pairs.

    The setting `calibration` of the server loads the file. With too few
    labels for the precision that a policy claims it is refused, and says
    what is missing.
    """
    from service.cli import calibrating
    from service.evaluation.pairs import read_pairs

    wanted = calibrating.precision_of(precision or [])
    pairs = read_pairs(labels)
    check_file(out, "--out")
    with _connect(server, timeout, local_originals) as client:
        calibrating.run(
            labels,
            pairs,
            client,
            out=out,
            precision=wanted,
            local=local_originals is not None,
            json=json,
        )


def _connect(server: str, timeout: float, originals: Path | None) -> AbstractContextManager[Client]:
    return Client(server, timeout) if originals is None else local.holding(originals, timeout)
