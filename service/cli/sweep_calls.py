"""How commands reach sweeps: on a server, or over a data folder without one."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from copycatch.v1 import sweep_service_pb2 as pb
from service.cli import local, output, sweep_output
from service.cli.client import Client
from service.cli.failure import CommandError
from service.cli.names import full_sweep


def connect(
    server: str, timeout_s: float, data_dir: Path | None, engine: str = ""
) -> AbstractContextManager[Client]:
    """Return a client for a block: of a server, or of one in this process over a data folder."""
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


def create_sweep(client: Client, request: pb.CreateSweepRequest, *, alone: bool) -> pb.Sweep:
    """Create a sweep; what keeps it from reading its manifest is told to whom it concerns.

    Args:
        alone: whether the server is this process, which reads what its user may read.
    """
    try:
        return client.call(client.sweeps.CreateSweep, request)
    except CommandError as error:
        remedy = error.remedy
        if error.reason == "SOURCE_NOT_FOUND" and not alone:
            remedy = "a path is as the server sees it, on its machine, from the folder it runs in"
        elif error.reason == "SOURCE_NOT_ALLOWED" and alone:
            remedy = "list the beginnings of URLs that it may read in COPYCATCH_SWEEP_URLS"
        elif error.reason == "SOURCE_NOT_ALLOWED" and request.parent:
            remedy = (
                "ask the server's operator for a folder in sweep_roots, or a beginning of URLs in "
                "sweep_urls, with {brand} in it"
            )
        raise CommandError(error.thing, remedy, error.reason) from error


def get_sweep(client: Client, sweep_id: str) -> pb.Sweep:
    """Return one sweep, by its id or name."""
    return client.call(client.sweeps.GetSweep, pb.GetSweepRequest(name=full_sweep(sweep_id)))


def print_sweep(sweep: pb.Sweep, json: bool) -> None:
    """Show all that is to be said of a sweep."""
    if json:
        output.print_json(output.to_dict(sweep))
    else:
        output.console().print(sweep_output.sweep_table(sweep))


def list_findings(client: Client, sweep_id: str, wanted: pb.FindingFilter) -> Iterator[pb.Finding]:
    """Yield all findings that fit, page by page."""
    request = pb.ListFindingsRequest(parent=full_sweep(sweep_id), page_size=500, filter=wanted)
    while True:
        page = client.call(client.sweeps.ListFindings, request)
        yield from page.findings
        request.page_token = page.next_page_token
        if not request.page_token:
            return
