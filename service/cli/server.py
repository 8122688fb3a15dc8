"""`copycatch serve` and `copycatch demo`: commands that start a server.

The server's own modules are imported inside the commands: the others need none of them,
and start in a third of the time without.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from service.cli import output
from service.cli.failure import EXIT_ERROR, EXIT_FOUND, CommandError

if TYPE_CHECKING:  # imported inside the commands
    from service.config import Config


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("serve")(serve)
    app.command("demo")(demo)


def serve(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            envvar="COPYCATCH_CONFIG",
            metavar="FILE.toml",
            help="Settings; the environment (COPYCATCH_*) outranks it.",
        ),
    ] = None,
    check_config: Annotated[
        bool,
        typer.Option(
            "--check-config",
            help="Read all that a start would read, say what would be served or what is wrong "
            "(exit code 2), and stop; starts and changes nothing.",
        ),
    ] = False,
    insecure: Annotated[
        bool,
        typer.Option("--insecure", help="Ask nobody for an API key; on this machine alone."),
    ] = False,
) -> None:
    """Run the server until it is interrupted.

    With neither a file nor variables it keeps its data in ./copycatch-data and listens on
    127.0.0.1:50051. Callers show an API key: `copycatch keys create NAME --role admin` makes one.
    """
    from service.config import ConfigInvalid, load

    try:
        settings = load(config, **({"insecure": True} if insecure else {}))
    except ConfigInvalid as error:
        raise CommandError("; ".join(error.problems), error.remedy) from error
    if check_config:
        _check(settings)
        return
    from service.program import run

    run(settings)


def _check(settings: "Config") -> None:
    """Print what would be served; exit code 2 when something keeps it from that."""
    from service.preflight import check

    report = check(settings)
    for title, rows in (
        ("setting", settings.model_dump()),
        ("would serve", report.serves),
    ):
        table = output.table(title, "value")
        for name, value in rows.items():
            table.add_row(name, Text(value if title == "would serve" else _toml(value)))
        output.console().print(table)
    console = output.error_console()
    for label, style, found in (
        ("warning", "bold yellow", report.warnings),
        ("error", "bold red", report.problems),
    ):
        for one in found:
            console.print(Text.assemble((f"{label}: ", style), str(one)), highlight=False)
    if report.problems:
        raise typer.Exit(EXIT_ERROR)


def _toml(value: Any) -> str:
    """Return a setting as it is written in a file; empty when it is not set."""
    match value:
        case None:
            return ""
        case str() | Path():
            return json.dumps(str(value), ensure_ascii=False)  # TOML quotes alike
        case tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the HTML page.")
    ] = Path("demo-output"),
    originals: Annotated[
        Path | None,
        typer.Option("--originals", metavar="DIR", help="Your own pictures to register."),
    ] = None,
    listings: Annotated[
        Path | None,
        typer.Option("--listings", metavar="DIR", help="Your own pictures to check."),
    ] = None,
    clip: Annotated[
        str,
        typer.Option(
            "--clip",
            metavar="MODEL/WEIGHTS",
            help="Use CLIP too: an open_clip model and a pretrained tag or a checkpoint file.",
        ),
    ] = "",
    encoder: Annotated[
        str, typer.Option("--encoder", help="sscd or sscd_distilled; empty is the default.")
    ] = "",
) -> None:
    """Show the service at work: start one, register photographs, check copies of them.

    Exit code 1: an answer differs from what the demo expects, or an original was not
    registered. 2: a listing could not be checked.
    """
    from service.demo.run import run

    console = output.console()
    settings = clip_settings(clip)
    if encoder:
        settings["encoder"] = encoder
    report = run(console, out, originals=originals, listings=listings, settings=settings)
    console.print(Text.assemble("The pairs side by side: ", (str(report.page), "bold")))
    if report.unchecked:
        raise typer.Exit(EXIT_ERROR)
    if report.mistakes or report.failed:
        raise typer.Exit(EXIT_FOUND)


def clip_settings(clip: str) -> dict[str, Any]:
    """Return the settings for `MODEL/TAG`, `MODEL:FILE`, `MODEL/FILE` or `hf-hub:OWNER/MODEL`.

    Empty switches CLIP off: the demo needs no network then, whatever is installed.
    """
    if not clip:
        return {"clip": "off"}
    if clip.startswith(("hf-hub:", "local-dir:")):
        return {"clip": "required", "clip_model": clip, "clip_pretrained": ""}
    model, colon, file = clip.partition(":")
    if colon and Path(file).is_file():
        return {"clip": "required", "clip_model": model, "clip_weights": file}
    model, slash, weights = clip.partition("/")
    if not slash or not weights:
        raise CommandError(
            f"'{clip}' names no weights", "write MODEL/TAG, as in ViT-B-32/laion2b_s34b_b79k"
        )
    if Path(weights).exists():
        return {"clip": "required", "clip_model": model, "clip_weights": weights}
    return {"clip": "required", "clip_model": model, "clip_pretrained": weights}
