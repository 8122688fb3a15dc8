"""What commands that change something ask before, and say afterwards."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from service.cli import output
from service.cli.failure import EXIT_ERROR, CommandError, Interrupted

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def ask(question: str, yes: bool, change: str = "deleted") -> None:
    """Ask whether to go on, unless --yes was given; end the command when not.

    Raises:
        CommandError: nobody answers.
    """
    if yes:
        return
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:  # at the end of the input, or interrupted
        output.error_console().print()  # ends the line of the question
        if sys.stdin.isatty():
            raise Interrupted(f"nothing {change}") from None
        raise CommandError(
            f"nothing {change}, since nobody is there to be asked", "add --yes to go on unasked"
        ) from None
    if not agreed:
        output.remark(f"nothing {change}")
        raise typer.Exit(EXIT_ERROR)


def tell(change: str, name: str, json: bool, answer: Mapping[str, Any] | None = None) -> None:
    """Say that something was changed.

    Args:
        change: what was done to it, such as `deleted`.
        answer: what is printed as JSON; its name without one.
    """
    if json:
        output.print_json(answer if answer is not None else {change: name})
    else:
        output.console().print(f"{change} {name}", highlight=False)
