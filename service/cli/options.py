"""Options that several commands share, so that they are called and documented alike."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.client import DEFAULT_SERVER, DEFAULT_TIMEOUT_S

ServerOption = Annotated[
    str,
    typer.Option(
        "--server",
        envvar="COPYCATCH_SERVER",
        metavar="HOST:PORT",
        help="Address of the server.",
    ),
]
TimeoutOption = Annotated[
    float,
    typer.Option("--timeout", min=0.1, metavar="SECONDS", help="Wait this long for an answer."),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object a line instead of a table.")
]
BrandOption = Annotated[str, typer.Option("--brand", metavar="ID", help="Id of the brand.")]
PicturesArgument = Annotated[
    list[Path], typer.Argument(metavar="PATHS", help="Pictures, or folders of pictures.")
]

SERVER = DEFAULT_SERVER
TIMEOUT_S = DEFAULT_TIMEOUT_S
