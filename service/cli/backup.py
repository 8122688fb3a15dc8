"""`copycatch backup` and `restore`: the data folder, copied while it is in use, and put back.

Both work on files of this machine and talk to no server.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import options, output
from service.wording import counted

if TYPE_CHECKING:
    from index.backup import Manifest

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="COPYCATCH_DATA_DIR",
        metavar="DIR",
        help="The server's data folder; copycatch-data when neither is given.",
    ),
]
_DEFAULT = Path("copycatch-data")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("backup")(backup)
    app.command("restore")(restore)


def backup(
    target: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make.")],
    data_dir: DataOption = None,
    json: options.JsonOption = False,
) -> None:
    """Copy the data of a server, which may go on serving and writing meanwhile.

    Takes what `serve` keeps: brands, originals, rights, the audit log, sweeps and keys. Indexes are
    made again from it at the first start.
    """
    from index.backup import backup as make

    found = make(data_dir or _DEFAULT, target, time.time_ns())
    if json:
        output.print_json({"backup": str(target), "sequence": found.sequence, **_figures(found)})
        return
    console = output.console()
    console.print(
        f"backed up {counted(found.counts['originals'], 'original')} of "
        f"{counted(found.counts['brands'], 'brand')}, "
        f"as of change {found.sequence}, {found.byte_count:,} bytes, to {target}",
        soft_wrap=True,
    )
    console.print(f"audit log up to {found.audit_head}", soft_wrap=True)


def restore(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `backup` made.")],
    data_dir: DataOption = None,
    json: options.JsonOption = False,
) -> None:
    """Put a backup into a new data folder, every byte checked.

    Nothing is ever written over: name a folder that is new or empty, then serve from it.
    """
    from index.backup import restore as put_back

    found = put_back(source, data_dir or _DEFAULT)
    output.remark(
        "API keys are those of the backup, and one that was revoked since counts again: see "
        "`copycatch keys list`, and revoke it again before you serve"
    )
    if json:
        output.print_json({"restored": str(data_dir or _DEFAULT), **_figures(found)})
        return
    output.console().print(
        f"restored {counted(found.counts['originals'], 'original')} of "
        f"{counted(found.counts['brands'], 'brand')}, "
        f"as of change {found.sequence}, to {data_dir or _DEFAULT}",
        soft_wrap=True,
    )


def _figures(found: "Manifest") -> dict[str, object]:
    return {
        "originals": found.counts["originals"],
        "brands": found.counts["brands"],
        "bytes": found.byte_count,
        "audit_head": found.audit_head,
    }
