"""The command `copycatch`: its commands, and how each of them ends.

A command module has a function `add_to(app)`. To add a command, write its module and name
it in `_build`; what it raises as `CommandError` becomes one line and exit code 2 here.
"""

import sys
from importlib.metadata import version
from typing import Annotated, Any

import grpc
import typer
from typer.core import TyperGroup

from service.cli import catalogue, checks, imports, label, server
from service.cli.failure import EXIT_ERROR, CommandError, from_rpc_error
from service.cli.output import error_console

EPILOG = (
    "Exit codes: 0 done, nothing to report; 1 done, and something was found or failed; "
    "2 not done. Commands talk to the server at --server or COPYCATCH_SERVER."
)

_debug = False


class OneLineErrors(TyperGroup):
    """Turns what a command raises into one line on stderr and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except CommandError as error:
            _fail(error)
        except grpc.RpcError as error:
            _fail(from_rpc_error(error, "the server"))
        except BrokenPipeError:
            # The reader of a pipe has gone, as in `copycatch ... | head`: nobody to tell.
            sys.stderr.close()
            raise typer.Exit(EXIT_ERROR) from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _fail(CommandError(f"{where}{error.strerror or error}"))


def _fail(error: CommandError) -> None:
    """Print the line and end; with --debug, let the traceback through."""
    error_console().print(f"[bold red]error:[/] {_escape(str(error))}", highlight=False)
    if _debug:
        raise error
    raise typer.Exit(EXIT_ERROR)


def _escape(text: str) -> str:
    return text.replace("[", r"\[")


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
    for module in (server, imports, checks, label, catalogue):
        module.add_to(made)
    return made


app = _build()

if __name__ == "__main__":
    app()
