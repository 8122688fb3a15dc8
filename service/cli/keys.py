"""`copycatch keys`: API keys of the server that keeps its data in a folder on this machine.

They work on the data folder, with the server running or not. Who may write that folder may make
keys; there is no call that does.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.access.roles import KeyLimits, Role
from service.cli import options, output
from service.cli.failure import CommandError
from service.ids import ID, ID_WORDS

if TYPE_CHECKING:  # the store is opened inside the commands: the other commands need none
    from service.access.api_key import ApiKey
    from service.access.keys import KeyStore

_SECONDS = {"m": 60, "h": 3600, "d": 86_400}

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="COPYCATCH_CONFIG",
        metavar="FILE.toml",
        help="The server's settings, which say where its data are.",
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="The server's data folder, instead."),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    keys = typer.Typer(
        no_args_is_help=True,
        help="Make, list and revoke API keys, on the server's machine.",
    )
    keys.command("create")(create)
    keys.command("list")(list_)
    keys.command("revoke")(revoke)
    app.add_typer(keys, name="keys")


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who holds it, for people.")],
    role: Annotated[Role, typer.Option("--role", help="What it may do.")],
    brand: Annotated[
        list[str] | None,
        typer.Option("--brand", metavar="ID", help="Brand of an owner; may be repeated."),
    ] = None,
    expires: Annotated[
        str,
        typer.Option("--expires", metavar="TIME", help="As in 90d, 12h or 30m; empty is never."),
    ] = "",
    certificate: Annotated[
        str,
        typer.Option(
            "--certificate",
            metavar="NAME",
            help="Let client certificates of this name (alternative name, or else the common "
            "name) stand for the key, which then has no secret.",
        ),
    ] = "",
    requests_per_s: Annotated[
        float | None, typer.Option(min=0, help="Calls and items a second; 0 is no limit.")
    ] = None,
    mib_per_s: Annotated[
        float | None, typer.Option(min=0, help="MiB of messages a second; 0 is no limit.")
    ] = None,
    streams: Annotated[
        int | None, typer.Option(min=0, help="Streams open at once; 0 is no limit.")
    ] = None,
    pictures: Annotated[
        int | None, typer.Option(min=0, help="Pictures in work at once; 0 is no limit.")
    ] = None,
    config: ConfigOption = None,
    data_dir: DataOption = None,
    json: options.JsonOption = False,
) -> None:
    """Make a key and print it, this once; it counts from the next call on.

    Only the key goes to stdout: KEY=$(copycatch keys create me --role admin)

    Limits that are not given are those of the server's settings (key_requests_per_s and so on).
    """
    brands = sorted(set(brand or ()))
    if (role is Role.OWNER) != bool(brands):
        raise CommandError(
            "an owner is bound to brands, and no other role is",
            "give --role owner together with --brand ID",
        )
    for one in brands:
        if not ID.fullmatch(one):
            raise CommandError(f"'{one}' is no id of a brand", f"it has {ID_WORDS}")
    if not 1 <= len(name) <= 200 or not name.isprintable():
        raise CommandError("a name has 1 to 200 printable characters")
    expire_time_ns = time.time_ns() + _seconds(expires) * 10**9 if expires else 0
    folder = _folder(config, data_dir)
    limits = KeyLimits(
        requests_per_s,
        None if mib_per_s is None else mib_per_s * (1 << 20),
        streams,
        pictures,
    )
    if folder.exists() and not folder.is_dir():
        raise CommandError(
            f"{folder} is no folder", "name the server's with --data-dir or --config"
        )
    before = ""
    if not folder.exists():
        before = "was not there and is made now"
    elif not any(folder.iterdir()):
        before = "was empty"
    unknown = _unknown(folder, brands)
    with _open(folder) as keys:
        made, text = keys.create(
            name,
            role,
            brands=brands,
            expire_time_ns=expire_time_ns,
            certificate=certificate,
            limits=limits,
        )
    if json:
        output.print_json({**_row(made), "api_key": text})
    elif text:
        typer.echo(text)
    until = f"until {_when(made.expire_time_ns)}" if made.expire_time_ns else "until it is revoked"
    output.remark(
        f"key {made.id} ({made.name}, {role.value}) of {folder.resolve()} counts {until}; "
        + ("it is shown this once" if text else f"certificates named {certificate!r} stand for it")
    )
    for one in unknown:  # right for a brand that is made next, and otherwise a slip of the pen
        output.remark(
            f"there is no brand {one} in {folder.resolve()} yet: the key may do nothing before an "
            f"admin's key makes it with `copycatch brands create {one}`"
        )
    if before:  # right for the first key of all, and otherwise the wrong folder
        output.remark(f"{folder.resolve()} {before}: a server has to name it as its data_dir")


def list_(
    config: ConfigOption = None,
    data_dir: DataOption = None,
    json: options.JsonOption = False,
) -> None:
    """List the keys, the revoked and the expired ones too; secrets are not kept."""
    with _open(_present(_folder(config, data_dir))) as store:
        keys = store.list()
    if json:
        for key in keys:
            output.print_json(_row(key))
        return
    table = output.table("id", "name", "role", "brands", "state", "made", "expires", "last use")
    for key in keys:
        table.add_row(
            key.id,
            key.name,
            key.role.value,
            ", ".join(sorted(key.brands)),
            key.state(time.time_ns())
            + (f", certificate {key.certificate}" * bool(key.certificate)),
            _when(key.create_time_ns),
            _when(key.expire_time_ns) or "never",
            _when(key.use_time_ns) or "never",
        )
    output.console().print(table)


def revoke(
    which: Annotated[str, typer.Argument(metavar="KEY", help="Id of the key, or its name.")],
    config: ConfigOption = None,
    data_dir: DataOption = None,
    json: options.JsonOption = False,
) -> None:
    """Revoke a key; from the next call on it is refused, and its streams end."""
    with _open(_present(_folder(config, data_dir))) as keys:
        found = [key for key in keys.list() if which in (key.id, key.name)]
        if len(found) > 1:
            found = [key for key in found if not key.revoke_time_ns] or found[:1]
        if len(found) > 1:
            ids = ", ".join(key.id for key in found)
            raise CommandError(f"{len(found)} keys have the name '{which}'", f"name one of {ids}")
        if not found:
            raise CommandError(f"there is no key '{which}'", "see `copycatch keys list`")
        before = found[0].revoke_time_ns
        key = keys.revoke(found[0].id)
    if json:
        output.print_json(_row(key))
    else:
        named = f"{key.id} ({key.name})"
        words = f"{named} was revoked already, {_when(before)}" if before else f"revoked {named}"
        output.console().print(words, highlight=False)


def _folder(config: Path | None, data_dir: Path | None) -> Path:
    """Return the data folder that is meant."""
    if data_dir is not None:
        return data_dir
    from service.config import ConfigInvalid, load

    try:
        return load(config).data_dir
    except ConfigInvalid as error:
        raise CommandError("; ".join(error.problems), error.remedy) from error


def _open(folder: Path) -> "KeyStore":
    from service.access.keys import KeyStore

    return KeyStore.open(folder)


def _unknown(folder: Path, brands: Sequence[str]) -> list[str]:
    """Return those brands that the server has not; all of them where there is no store yet."""
    if not brands:
        return []
    from index.disk import StoreMissing
    from index.ids import key_of
    from index.reader import open_view

    try:
        view = open_view(folder)
    except StoreMissing:
        return list(brands)
    with view, view.read() as txn:
        return [one for one in brands if txn.get("brands", key_of(one)) is None]


def _present(folder: Path) -> Path:
    if not folder.is_dir():
        raise CommandError(
            f"there is no data folder {folder}", "name the server's with --data-dir or --config"
        )
    return folder


def _seconds(text: str) -> int:
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or unit not in _SECONDS or not 0 < int(number) < 100_000:
        raise CommandError(f"'{text}' is no time", "write it as 90d, 12h or 30m")
    return int(number) * _SECONDS[unit]


def _when(time_ns: int) -> str:
    if not time_ns:
        return ""
    return f"{datetime.fromtimestamp(time_ns / 1e9, UTC):%Y-%m-%d %H:%M} UTC"


def _row(key: "ApiKey") -> dict[str, Any]:
    times = {
        name: datetime.fromtimestamp(value / 1e9, UTC).isoformat()
        for name, value in (
            ("create_time", key.create_time_ns),
            ("expire_time", key.expire_time_ns),
            ("revoke_time", key.revoke_time_ns),
            ("use_time", key.use_time_ns),
        )
        if value
    }
    row = {
        "id": key.id,
        "name": key.name,
        "role": key.role.value,
        "brands": sorted(key.brands),
        "certificate": key.certificate,
        "state": key.state(time.time_ns()),
    }
    limits = {name: value for name, value in asdict(key.limits).items() if value is not None}
    return {name: value for name, value in row.items() if value} | times | limits
