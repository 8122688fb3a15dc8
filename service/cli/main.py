"""The command `copycatch`: its commands, and how each of them ends.

A command module has a function `add_to(app)`. To add a command, write its module and name
it in `_build`; what it raises as `CommandError` becomes one line and exit code 2 here.
"""

import os
import sys
from importlib.metadata import version
from typing import Annotated, Any

import grpc
import typer
from rich.text import Text
from typer.core import TyperGroup

from service.cli import (
    audit,
    backup,
    catalogue,
    checks,
    disputes,
    health,
    imports,
    keys,
    label,
    licences,
    listings,
    measuring,
    replay,
    sellers,
    server,
    sweep,
)
from service.cli.failure import EXIT_ERROR, CommandError, from_rpc_error
from service.cli.output import error_console

EPILOG = (
    "Exit codes: 0 done, nothing to report; 1 done, and something was found or failed; "
    "2 not done. Commands talk to the server at --server or COPYCATCH_SERVER, with the API key in "
    "COPYCATCH_API_KEY."
)

_debug = False


class OneLineErrors(TyperGroup):
    """Turns what a command raises into one line on stderr and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an interruption is an error, since 1 would say that it found."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise CommandError("interrupted") from None

    def main(self, *args: Any, **keywords: Any) -> Any:
        """Parse the command line and run; typer deals with wrong usage itself."""
        try:
            return super().main(*args, **keywords)
        except BrokenPipeError:
            # The reader of a pipe has gone, as in `copycatch ... | head`: nobody to tell.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(EXIT_ERROR) from None
        except Exception as error:
            if _debug:
                raise
            error_console().print(
                Text.assemble(("error: ", "bold red"), str(_in_words(error))), highlight=False
            )
            raise SystemExit(EXIT_ERROR) from error


def _in_words(error: Exception) -> CommandError:
    """Return what a person is told about an error."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, grpc.RpcError):
        return from_rpc_error(error, "the server")
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return CommandError(f"{where}{error.strerror or error}")
    if hasattr(error, "reason"):  # one of our own, named for what is wrong
        return CommandError(str(error))
    return CommandError(
        f"a defect of copycatch: {type(error).__name__}: {error}",
        "run it as `copycatch --debug ...` and report what it shows",
    )


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"copycatch {version('copycatch')}")
        raise typer.Exit


def _main(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Find copied, edited and restyled product pictures."""
    global _debug  # one process, one command
    _debug = debug


def _build() -> typer.Typer:
    made = typer.Typer(
        cls=OneLineErrors,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        epilog=EPILOG,
    )
    made.callback()(_main)
    first = (server, health, keys, imports, checks, measuring, label, listings)
    rights = (catalogue, licences, sellers, disputes)
    for module in (*first, *rights, audit, replay, backup, sweep):
        module.add_to(made)
    return made


app = _build()

if __name__ == "__main__":
    app()
