"""`copycatch health`: the standard gRPC health check, for supervisors of a server.

It asks for no key, and ends with 0 or 1 as container runtimes want it: a server that does not
answer is as unhealthy as one that says so.
"""

import typer
from grpc_health.v1 import health_pb2

from service.cli import options, output
from service.cli.client import Client
from service.cli.failure import EXIT_FOUND, CommandError

TIMEOUT_S = 5.0


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("health")(health)


def health(
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = TIMEOUT_S,
    json: options.JsonOption = False,
) -> None:
    """Ask whether a server answers calls; needs no API key.

    Exit code 0: it does. 1: it is loading, shutting down or not to be reached.
    """
    try:
        with Client(server, timeout) as client:
            answer = client.call(client.health.Check, health_pb2.HealthCheckRequest())
        status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        why = "" if status == "SERVING" else "it is loading or shutting down"
    except CommandError as error:
        status, why = "UNREACHABLE", str(error)
    if json:
        output.print_json({"server": server, "status": status} | ({"why": why} if why else {}))
    else:
        typer.echo(f"{server}: {status}" + (f": {why}" if why else ""))
    if status != "SERVING":
        raise typer.Exit(EXIT_FOUND)
