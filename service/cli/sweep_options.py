"""Options of `copycatch sweep`, and which findings they ask for."""

from pathlib import Path
from typing import Annotated

import typer

from copycatch.v1 import match_service_pb2 as match_pb2
from copycatch.v1 import sweep_service_pb2 as pb
from service.cli.failure import CommandError
from service.cli.names import full_name

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the sweep, or brand/id.")]
OfOption = Annotated[
    str,
    typer.Option("--of", metavar="BRAND", help="Brand that sweeps belong to; owners name theirs."),
]
LocalOption = Annotated[
    Path | None,
    typer.Option(
        "--local",
        metavar="DATA_DIR",
        help="Work without a server, in this data folder; reads any file that you may read.",
    ),
]
FamilyOption = Annotated[
    list[str] | None,
    typer.Option("--original", metavar="NAME", help="brand/original; may be repeated."),
]
BrandsOption = Annotated[
    list[str] | None, typer.Option("--brand", metavar="ID", help="Brand; may be repeated.")
]
VerdictOption = Annotated[
    list[str] | None,
    typer.Option("--verdict", metavar="VERDICT", help="copy, review, authorised, clear."),
]
KindOption = Annotated[
    list[str] | None,
    typer.Option("--kind", help="exact, near_duplicate, edited, partial, restyled."),
]
SellerOption = Annotated[
    list[str] | None, typer.Option("--seller", help="Seller; may be repeated.")
]
FailedOption = Annotated[
    bool, typer.Option("--failed", help="Only listings that could not be checked, or not whole.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Also listings that are CLEAR.")]


def filtered(
    verdicts: list[str] | None,
    kinds: list[str] | None,
    brands: list[str] | None,
    originals: list[str] | None,
    sellers: list[str] | None,
    failed: bool,
    everything: bool,
) -> pb.FindingFilter:
    """Return the filter of some options; without --all or a verdict, what there is to look at."""
    if "error" in map(str.lower, verdicts or ()):
        raise CommandError(
            "ERROR is no verdict, it stands where there is none",
            "--failed shows the listings that could not be checked, or not whole",
        )
    return pb.FindingFilter(
        verdicts=[_named(dict(match_pb2.Verdict.items()), "verdict", v) for v in verdicts or ()],
        kinds=[_named(dict(match_pb2.MatchKind.items()), "kind", k) for k in kinds or ()],
        brands=[f"brands/{name}" for name in brands or ()],
        families=[full_name(name, "originals") for name in originals or ()],
        sellers=sellers or (),
        failed=failed,
        flagged=not everything and not verdicts,
    )


def _named[N: int](values: dict[str, N], what: str, name: str) -> N:
    """Return the number of an enum's value by its name in any case."""
    found = {key.lower(): number for key, number in values.items() if number}
    if name.lower() not in found:
        raise CommandError(f"there is no {what} '{name}'", f"one of {', '.join(found)}")
    return found[name.lower()]
