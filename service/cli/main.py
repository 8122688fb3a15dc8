"""The command `copycatch`: its commands, and how each of them ends.

A command module has a function `add_to(app)`. To add a command, write its module and name
it in `_build`; what it raises as `CommandError` becomes one line and exit code 2 here.
"""

import os
import sys
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
from service.cli.failure import (
    EXIT_ERROR,
    EXIT_OK,
    CommandError,
    Interrupted,
    from_rpc_error,
    remedy_for,
)
from service.cli.output import error_console

EPILOG = (
    "Exit codes: 0 done, nothing to report; 1 done, and something was found or failed; "
    "2 not done; 130 interrupted. Commands talk to the server at --server or COPYCATCH_SERVER, "
    "with the API key in COPYCATCH_API_KEY."
)

_debug = False


class OneLineErrors(TyperGroup):
    """Turns what a command raises into one line on stderr and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an interruption is told of like an error."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None

    def main(self, *args: Any, **keywords: Any) -> Any:
        """Parse the command line and run; never returns."""
        try:
            # By itself typer would tell of wrong usage in a box of five lines.
            ended = super().main(*args, **{**keywords, "standalone_mode": False})
        except BrokenPipeError:
            # The reader of a pipe has gone, as in `copycatch ... | head`: nobody to tell.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(EXIT_ERROR) from None
        except Exception as error:
            if _debug:
                raise
            told = _in_words(error)
            if str(told):
                words = Text.assemble(("error: ", "bold red"), str(told))
                error_console().print(words, highlight=False)
            raise SystemExit(told.exit_code) from error
        # The code that a command ended itself with; what commands return is nothing.
        raise SystemExit(ended or EXIT_OK)


def _in_words(error: Exception) -> CommandError:
    """Return what a person is told about an error."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, grpc.RpcError):
        return from_rpc_error(error, "the server")
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return CommandError(f"{where}{error.strerror or error}")
    if hasattr(error, "format_message"):  # typer's, about the command line
        return _wrong_usage(error)
    if hasattr(error, "reason"):  # one of our own, named for what is wrong
        return CommandError(str(error), remedy_for(error.reason))
    return CommandError(
        f"a defect of copycatch: {type(error).__name__}: {error}",
        "run it as `copycatch --debug ...` and report what it shows",
    )


def _wrong_usage(error: Any) -> CommandError:
    """Return a line about a command line that typer can not read.

    The line is empty for one without arguments, which has been answered with the help.
    """
    message = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
    context = getattr(error, "ctx", None)
    if not message or context is None:
        return CommandError(message)
    return CommandError(f"{message} (see `{context.command_path} --help`)")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # 30 ms that the commands do not need

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
        rich_markup_mode="markdown",
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
