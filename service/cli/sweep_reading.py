"""`copycatch sweep list`, `show`, `findings`, `report` and `export`: what was found is read."""

from pathlib import Path
from typing import Annotated

import typer

from copycatch.v1 import sweep_service_pb2 as pb
from service.cli import options, output, sweep_output
from service.cli.failure import CommandError
from service.cli.names import full_sweep
from service.cli.sweep_calls import connect, get_sweep, list_findings, print_sweep
from service.cli.sweep_export import check_target, export_findings
from service.cli.sweep_options import (
    AllOption,
    BrandsOption,
    FailedOption,
    FamilyOption,
    IdArgument,
    KindOption,
    LocalOption,
    OfOption,
    SellerOption,
    VerdictOption,
    filtered,
)
from service.cli.targets import OverwriteOption
from service.wording import counted


def list_(
    of: OfOption = "",
    data_dir: LocalOption = None,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """List the sweeps; those of brands have the brand before their id."""
    table = output.table("id", "state", ">done", ">copy", ">review", ">failed", "swept")
    with connect(server, timeout, data_dir) as client:
        request = pb.ListSweepsRequest(parent=f"brands/{of}" if of else "")
        while True:
            page = client.call(client.sweeps.ListSweeps, request)
            for each in page.sweeps:
                if json:
                    output.print_json(output.to_dict(each))
                else:
                    table.add_row(*sweep_output.row(each))
            request.page_token = page.next_page_token
            if not request.page_token:
                break
    if not json:
        output.print_rows(table, "no sweep yet; `copycatch sweep start` begins one")


def show(
    sweep_id: IdArgument,
    data_dir: LocalOption = None,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Show one sweep: its state, how far it is, and what it has found."""
    with connect(server, timeout, data_dir) as client:
        print_sweep(get_sweep(client, sweep_id), json)


def findings(
    sweep_id: IdArgument,
    verdict: VerdictOption = None,
    kind: KindOption = None,
    brand: BrandsOption = None,
    original: FamilyOption = None,
    seller: SellerOption = None,
    failed: FailedOption = False,
    everything: AllOption = False,
    limit: Annotated[
        int, typer.Option("--limit", min=0, help="Most to show; 0 shows all of them.")
    ] = 50,
    data_dir: LocalOption = None,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Show findings, in the order of the manifest; those that are CLEAR with --all."""
    wanted = filtered(verdict, kind, brand, original, seller, failed, everything)
    table = output.table("listing", "seller", "verdict", ">score", "original", "how", "picture")
    count = 0
    with connect(server, timeout, data_dir) as client:
        for finding in list_findings(client, sweep_id, wanted):
            if limit and count == limit:
                output.remark(f"more than {limit:,}; --limit 0 shows all, `export` writes them")
                break
            count += 1
            if json:
                output.print_json(output.to_dict(finding, zeros=True))
            else:
                table.add_row(*sweep_output.finding_row(finding))
    if not json:
        kept = "" if everything else "; --all shows also what is CLEAR"
        output.print_rows(table, f"no finding of {sweep_id} is of that kind{kept}")


def report(
    sweep_id: IdArgument,
    by: Annotated[str, typer.Option("--by", help="seller or original.")] = "seller",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most groups to show.")] = 20,
    data_dir: LocalOption = None,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Show who copied how much of what: listings by seller, or by original.

    Near-equal originals, such as one picture in several sizes, count as one.
    """
    if by not in ("seller", "original"):
        raise CommandError(f"listings are not grouped by '{by}'", "write --by seller or original")
    group_by = (
        pb.ListFindingGroupsRequest.SELLER if by == "seller" else pb.ListFindingGroupsRequest.FAMILY
    )
    shown: list[pb.FindingGroup] = []
    with connect(server, timeout, data_dir) as client:
        request = pb.ListFindingGroupsRequest(
            parent=full_sweep(sweep_id), group_by=group_by, page_size=min(limit, 500)
        )
        while True:
            page = client.call(client.sweeps.ListFindingGroups, request)
            shown += page.groups
            request.page_token = page.next_page_token
            if not request.page_token or len(shown) >= limit:
                break
    if json:
        for group in shown[:limit]:
            output.print_json(output.to_dict(group))
        return
    console = output.console()
    output.print_rows(sweep_output.groups_table(shown[:limit], by), "nothing was found")
    more = page.total_size - len(shown[:limit])
    if more > 0:
        console.print(f"and {more:,} more; --limit shows them")


def export(
    sweep_id: IdArgument,
    target: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .csv or .parquet.")],
    overwrite: OverwriteOption = False,
    verdict: VerdictOption = None,
    kind: KindOption = None,
    brand: BrandsOption = None,
    original: FamilyOption = None,
    seller: SellerOption = None,
    failed: FailedOption = False,
    everything: AllOption = False,
    data_dir: LocalOption = None,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Write findings to a CSV or Parquet file: a row for each match and each error of a listing.

    Those that are CLEAR come with --all, in a row without an original.
    """
    wanted = filtered(verdict, kind, brand, original, seller, failed, everything)
    check_target(target, overwrite=overwrite)
    with connect(server, timeout, data_dir) as client:
        found = list_findings(client, sweep_id, wanted)
        with output.progress() as bar:
            task = bar.add_task(f"writing {target.name}", total=None)
            rows = export_findings(target, found, lambda: bar.advance(task))
    output.console().print(f"wrote {counted(rows, 'row')} to {target}", highlight=False)
