"""`copycatch sweep`: many listings are checked at once, and what was found is read."""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from copycatch.v1 import sweep_service_pb2 as pb
from service.cli import local, options, output, sweep_output
from service.cli.client import Client
from service.cli.failure import EXIT_ERROR, EXIT_FOUND, CommandError
from service.cli.names import full_name, short_sweep
from service.cli.sweep_export import export_findings
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

LOOK_S = 0.5
"""How often a running sweep is asked how far it is."""


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    sweep = typer.Typer(
        no_args_is_help=True,
        help="Check many listings at once, and read what was found.",
    )
    sweep.command("start")(start)
    sweep.command("wait")(wait)
    sweep.command("list")(list_)
    sweep.command("show")(show)
    sweep.command("findings")(findings)
    sweep.command("report")(report)
    sweep.command("export")(export)
    sweep.command("cancel")(cancel)
    app.add_typer(sweep, name="sweep")


def start(
    manifest: Annotated[
        str,
        typer.Argument(
            metavar="[MANIFEST]",
            help="CSV or Parquet file, folder of pictures, or tar shards; a path or URL as the "
            "server sees it. None with --remembered.",
        ),
    ] = "",
    remembered: Annotated[
        bool,
        typer.Option(
            "--remembered", help="Sweep the listings that the server has checked and remembers."
        ),
    ] = False,
    sweep_id: Annotated[
        str, typer.Option("--id", metavar="ID", help="Id of the sweep; otherwise made up.")
    ] = "",
    of: OfOption = "",
    brand: BrandsOption = None,
    original: FamilyOption = None,
    form: Annotated[
        str, typer.Option("--form", help="csv, parquet, folder or shards; otherwise by the name.")
    ] = "",
    policy: Annotated[
        str, typer.Option("--policy", help="strict, balanced or recall; empty is the server's.")
    ] = "",
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Search every view of a picture; slower.")
    ] = False,
    title: Annotated[str, typer.Option("--title", help="Name for people.")] = "",
    wait_: Annotated[
        bool, typer.Option("--wait", help="Wait for its end; with --local always.")
    ] = False,
    engine: Annotated[
        str, typer.Option("--engine", help="With --local: local, or ray (the extra `ray`).")
    ] = "",
    data_dir: LocalOption = None,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Start a sweep: check every listing of a manifest against the originals.

    With --remembered the originals are looked for among the listings that were checked before;
    name new ones with --original or --brand. With --of it is a sweep of a brand, for its owner.

    A CSV has the columns listing_id, path (or url) and optionally seller; rows of one listing
    stand together. Exit code with --wait or --local: 0 all clear; 1 something was found.
    """
    if remembered == bool(manifest) or (remembered and form):
        raise CommandError(
            "what is to be swept is not clear", "name a manifest, or give --remembered alone"
        )
    forms = {name.lower(): number for name, number in pb.ForwardSource.Form.items() if number}
    if form and form.lower() not in forms:
        raise CommandError(f"there is no form '{form}'", f"one of {', '.join(forms)}")
    if engine and data_dir is None:
        raise CommandError(
            "--engine goes with --local", "a server has the setting sweep_engine for all its sweeps"
        )
    if of and data_dir is not None:
        raise CommandError("--of goes with a server", "with --local nobody else is meant to see it")
    if data_dir is not None and manifest and "://" not in manifest:
        manifest = str(Path(manifest).absolute())
    request = pb.CreateSweepRequest(
        parent=f"brands/{of}" if of else "",
        sweep_id=sweep_id,
        sweep=pb.Sweep(
            display_name=title,
            forward=pb.ForwardSource(
                manifest=manifest, form=forms[form.lower()] if form else pb.ForwardSource.CSV
            ),
            target=pb.Target(
                brands=[f"brands/{name}" for name in brand or ()],
                originals=[full_name(name, "originals") for name in original or ()],
            ),
            policy=policy,
            thorough=thorough,
        ),
    )
    if remembered:
        request.sweep.retroactive.SetInParent()
    elif not form:
        request.sweep.forward.form = pb.ForwardSource.FORM_UNSPECIFIED
    with _connect(server, timeout, data_dir, engine) as client:
        made = client.call(client.sweeps.CreateSweep, request)
        if not wait_ and data_dir is None:
            if json:
                output.print_json(output.to_dict(made))
            else:
                short = short_sweep(made.name)
                output.console().print(f"started {made.name}", highlight=False)
                output.remark(f"watch it with `copycatch sweep wait {short}`")
            return
        _finish(client, made, json)


def wait(
    sweep_id: IdArgument,
    data_dir: LocalOption = None,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Wait for the end of a sweep, with a progress bar.

    With --local this goes on with a sweep that was interrupted. Exit code 1: something was found.
    """
    with _connect(server, timeout, data_dir) as client:
        _finish(client, _get(client, sweep_id), json)


def list_(
    of: OfOption = "",
    data_dir: LocalOption = None,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """List the sweeps; those of brands have the brand before their id."""
    table = output.table("id", "state", ">done", ">copy", ">review", ">failed", "swept")
    with _connect(server, timeout, data_dir) as client:
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
        output.console().print(table)


def show(
    sweep_id: IdArgument,
    data_dir: LocalOption = None,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Show one sweep: its state, how far it is, and what it has found."""
    with _connect(server, timeout, data_dir) as client:
        _print(_get(client, sweep_id), json)


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
    with _connect(server, timeout, data_dir) as client:
        for finding in list_findings(client, sweep_id, wanted):
            if limit and count == limit:
                output.remark(f"more than {limit:,}; --limit 0 shows all, `export` writes them")
                break
            count += 1
            if json:
                output.print_json(output.to_dict(finding))
            else:
                table.add_row(*sweep_output.finding_row(finding))
    if not json:
        output.console().print(table)


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
    group_by = pb.ListFindingGroupsRequest.SELLER if by == "seller" else _FAMILY
    shown: list[pb.FindingGroup] = []
    with _connect(server, timeout, data_dir) as client:
        request = pb.ListFindingGroupsRequest(
            parent=_full(sweep_id), group_by=group_by, page_size=min(limit, 500)
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
    console.print(sweep_output.groups_table(shown[:limit], by))
    more = page.total_size - len(shown[:limit])
    if more > 0:
        console.print(f"and {more:,} more; --limit shows them")


def export(
    sweep_id: IdArgument,
    target: Annotated[
        Path, typer.Argument(metavar="FILE", help="Ends in .csv or .parquet; written anew.")
    ],
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
    with _connect(server, timeout, data_dir) as client:
        found = list_findings(client, sweep_id, wanted)
        with output.progress() as bar:
            task = bar.add_task(f"writing {target.name}", total=None)
            rows = export_findings(target, found, lambda: bar.advance(task))
    output.console().print(f"wrote {rows:,} rows to {target}", highlight=False, markup=False)


def cancel(
    sweep_id: IdArgument,
    data_dir: LocalOption = None,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """End a sweep; the findings that it has stay."""
    with _connect(server, timeout, data_dir) as client:
        request = pb.CancelSweepRequest(name=_full(sweep_id))
        _print(client.call(client.sweeps.CancelSweep, request), json)


def list_findings(client: Client, sweep_id: str, wanted: pb.FindingFilter) -> Iterator[pb.Finding]:
    """Yield all findings that fit, page by page."""
    request = pb.ListFindingsRequest(parent=_full(sweep_id), page_size=500, filter=wanted)
    while True:
        page = client.call(client.sweeps.ListFindings, request)
        yield from page.findings
        request.page_token = page.next_page_token
        if not request.page_token:
            return


_FAMILY = pb.ListFindingGroupsRequest.FAMILY
_FINAL = (pb.Sweep.SUCCEEDED, pb.Sweep.CANCELLED, pb.Sweep.FAILED)


def _connect(
    server: str, timeout_s: float, data_dir: Path | None, engine: str = ""
) -> AbstractContextManager[Client]:
    if data_dir is None:
        return Client(server, timeout_s)
    return _alone(data_dir, timeout_s, {"sweep_engine": engine} if engine else {})


@contextmanager
def _alone(data_dir: Path, timeout_s: float, settings: dict[str, str]) -> Iterator[Client]:
    """A server in this process over a data folder; it may read what its user may read."""
    if not (data_dir / "data.mdb").exists():
        raise CommandError(
            f"{data_dir} is no data folder of a server", "give its data_dir, as in `serve`"
        )
    named = os.environ.get("COPYCATCH_CONFIG")  # the encoder must be that of the data
    file = Path(named) if named else None
    with local.serving(data_dir, timeout_s, file, sweep_roots=(Path("/"),), **settings) as client:
        yield client


def _get(client: Client, sweep_id: str) -> pb.Sweep:
    return client.call(client.sweeps.GetSweep, pb.GetSweepRequest(name=_full(sweep_id)))


def _finish(client: Client, sweep: pb.Sweep, json: bool) -> None:
    """Wait for the end of a sweep, show it, and end with the exit code of what it found."""
    name = short_sweep(sweep.name)
    try:
        with output.progress(quiet=json) as bar:
            task = bar.add_task(f"reading {Path(sweep.forward.manifest).name}", total=None)
            while sweep.state not in _FINAL:
                counts = sweep.counts
                if sweep.state == pb.Sweep.RUNNING:
                    bar.update(
                        task,
                        total=counts.planned_count,
                        completed=counts.done_count,
                        description=sweep_output.progress_words(sweep),
                    )
                else:
                    bar.update(task, completed=counts.planned_count)
                time.sleep(LOOK_S)
                sweep = _get(client, name)
    except KeyboardInterrupt:
        raise CommandError(
            f"stopped waiting for the sweep {name}",
            f"`copycatch sweep wait {name}` goes on with it, `sweep cancel` ends it",
        ) from None
    _print(sweep, json)
    if sweep.state == pb.Sweep.FAILED:
        raise CommandError(f"the sweep failed: {sweep.error_message} ({sweep.error_reason})")
    if sweep.state == pb.Sweep.CANCELLED:
        raise typer.Exit(EXIT_ERROR)
    if sweep.counts.copy_count or sweep.counts.review_count or sweep.counts.failed_count:
        raise typer.Exit(EXIT_FOUND)


def _print(sweep: pb.Sweep, json: bool) -> None:
    if json:
        output.print_json(output.to_dict(sweep))
    else:
        output.console().print(sweep_output.sweep_table(sweep))


def _full(sweep_id: str) -> str:
    """The resource name of `id` or `brand/id`."""
    brand, slash, own = short_sweep(sweep_id).partition("/")
    return f"brands/{brand}/sweeps/{own}" if slash else f"sweeps/{brand}"
