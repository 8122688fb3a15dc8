"""`copycatch sweep start`, `wait` and `cancel`: many listings are checked at once.

`sweep_reading` has the commands that read what was found.
"""

import time
from pathlib import Path
from typing import Annotated

import typer

from copycatch.v1 import sweep_service_pb2 as pb
from service.cli import options, output, sweep_output, sweep_reading
from service.cli.client import Client
from service.cli.failure import EXIT_ERROR, EXIT_FOUND, CommandError
from service.cli.names import full_name, full_sweep, short_sweep
from service.cli.sweep_calls import connect, create_sweep, get_sweep, print_sweep
from service.cli.sweep_options import (
    BrandsOption,
    FamilyOption,
    IdArgument,
    LocalOption,
    OfOption,
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
    sweep.command("list")(sweep_reading.list_)
    sweep.command("show")(sweep_reading.show)
    sweep.command("findings")(sweep_reading.findings)
    sweep.command("report")(sweep_reading.report)
    sweep.command("export")(sweep_reading.export)
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
    with connect(server, timeout, data_dir, engine) as client:
        made = create_sweep(client, request, alone=data_dir is not None)
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
    with connect(server, timeout, data_dir) as client:
        _finish(client, get_sweep(client, sweep_id), json)


def cancel(
    sweep_id: IdArgument,
    data_dir: LocalOption = None,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """End a sweep; the findings that it has stay."""
    with connect(server, timeout, data_dir) as client:
        request = pb.CancelSweepRequest(name=full_sweep(sweep_id))
        print_sweep(client.call(client.sweeps.CancelSweep, request), json)


_FINAL = (pb.Sweep.SUCCEEDED, pb.Sweep.CANCELLED, pb.Sweep.FAILED)


def _finish(client: Client, sweep: pb.Sweep, json: bool) -> None:
    """Wait for the end of a sweep, show it, and end with the exit code of what it found."""
    name = short_sweep(sweep.name)
    try:
        with output.progress(quiet=json) as bar:
            task = bar.add_task(sweep_output.waiting_words(sweep), total=None)
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
                sweep = get_sweep(client, name)
    except KeyboardInterrupt:
        raise CommandError(
            f"stopped waiting for the sweep {name}",
            f"`copycatch sweep wait {name}` goes on with it, `sweep cancel` ends it",
        ) from None
    print_sweep(sweep, json)
    if sweep.state == pb.Sweep.FAILED:
        raise CommandError(f"the sweep failed: {sweep.error_message} ({sweep.error_reason})")
    if sweep.state == pb.Sweep.CANCELLED:
        raise typer.Exit(EXIT_ERROR)
    if sweep.counts.copy_count or sweep.counts.review_count or sweep.counts.failed_count:
        raise typer.Exit(EXIT_FOUND)
