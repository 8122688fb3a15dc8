"""`copycatch originals`, `brands` and `info`: what a server holds and runs."""

from pathlib import Path
from typing import Annotated

import typer

from copycatch.v1 import brands_service_pb2 as brands_pb2
from copycatch.v1 import match_service_pb2 as match_pb2
from copycatch.v1 import originals_service_pb2 as originals_pb2
from service.cli import options, output
from service.cli.changing import YesOption, ask, tell
from service.cli.client import Client
from service.cli.failure import CommandError
from service.cli.ingest import list_brands, list_originals
from service.cli.names import full_name, short_name
from service.cli.targets import check_file
from service.wording import counted

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="brand/original, or the full resource name.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    originals = typer.Typer(no_args_is_help=True, help="List, show and delete originals.")
    originals.command("list")(list_)
    originals.command("show")(show)
    originals.command("delete")(delete)
    app.add_typer(originals, name="originals")
    brands = typer.Typer(no_args_is_help=True, help="Create, list and delete brands.")
    brands.command("create")(create_brand)
    brands.command("list")(show_brands)
    brands.command("delete")(delete_brand)
    app.add_typer(brands, name="brands")
    app.command("info")(info)


def list_(
    brand: options.BrandOption,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """List the originals of a brand."""
    table = output.table("name", "display name", "state", ">size", "format", "registered")
    count = 0
    with Client(server, timeout) as client:
        for original in list_originals(client, brand):
            count += 1
            if json:
                output.print_json(output.to_dict(original))
                continue
            table.add_row(
                short_name(original.name),
                original.display_name,
                originals_pb2.Original.State.Name(original.state),
                f"{original.width_px} x {original.height_px}",
                original.format,
                output.when(original.create_time),
            )
    if not json:
        console = output.console()
        if count:
            console.print(table)
        console.print(f"{counted(count, 'original')} of {brand}", highlight=False)


def show(
    name: NameArgument,
    preview: Annotated[
        Path | None,
        typer.Option("--preview", metavar="FILE.webp", help="Write the preview to this file."),
    ] = None,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Show one original."""
    if preview is not None and preview.suffix.lower() != ".webp":
        raise CommandError(
            f"a preview is a WebP picture, which '{preview}' does not say",
            f"write --preview {preview.with_suffix('.webp')}",
        )
    if preview is not None:
        check_file(preview, "--preview")
    with Client(server, timeout) as client:
        request = originals_pb2.GetOriginalRequest(name=full_name(name, "originals"))
        original = client.call(client.originals.GetOriginal, request)
        if preview is not None:
            rendition = client.call(
                client.originals.GetOriginalPreview,
                originals_pb2.GetOriginalPreviewRequest(name=original.name),
            )
            preview.write_bytes(rendition.image)
    if json:
        output.print_json(output.to_dict(original))
        return
    table = output.table("field", "value")
    rows = [
        ("name", original.name),
        ("display name", original.display_name),
        ("state", originals_pb2.Original.State.Name(original.state)),
        ("size", f"{original.width_px} x {original.height_px} px"),
        ("file", f"{original.format}, {original.byte_count:,} bytes"),
        ("registered", output.when(original.create_time)),
        ("changed", output.when(original.update_time)),
        ("sha256", original.sha256),
        ("sha256 of pixels", original.pixel_sha256),
        ("schema", original.schema),
        ("etag", original.etag),
        *((f"annotation {key}", value) for key, value in sorted(original.annotations.items())),
    ]
    for field, value in rows:
        table.add_row(field, value)
    output.console().print(table)
    if preview is not None:
        output.remark(f"wrote {preview}")


def delete(
    names: Annotated[
        list[str], typer.Argument(metavar="NAMES", help="brand/original, or resource names.")
    ],
    yes: YesOption = False,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Withdraw originals; they match no more once this returns."""
    full = [full_name(name, "originals") for name in names]
    ask(f"Delete {', '.join(full)}?", yes)
    with Client(server, timeout) as client:
        for name in full:
            client.call(
                client.originals.DeleteOriginal, originals_pb2.DeleteOriginalRequest(name=name)
            )
            tell("deleted", name, json)


def create_brand(
    brand: Annotated[str, typer.Argument(metavar="ID", help="Id: a-z, 0-9 and hyphens.")],
    display_name: Annotated[str, typer.Option("--display-name", help="Name for people.")] = "",
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Create a brand."""
    request = brands_pb2.CreateBrandRequest(
        brand=brands_pb2.Brand(display_name=display_name), brand_id=brand
    )
    with Client(server, timeout) as client:
        made = client.call(client.brands.CreateBrand, request)
    tell("created", made.name, json, output.to_dict(made))


def show_brands(
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """List the brands."""
    table = output.table("id", "display name", "created")
    with Client(server, timeout) as client:
        for brand in list_brands(client):
            if json:
                output.print_json(output.to_dict(brand))
            else:
                table.add_row(
                    brand.name.rpartition("/")[2],
                    brand.display_name,
                    output.when(brand.create_time),
                )
    if not json:
        output.print_rows(table, "no brand yet; `copycatch brands create ID` makes one")


def delete_brand(
    brand: Annotated[str, typer.Argument(metavar="ID", help="Id of the brand.")],
    force: Annotated[
        bool, typer.Option("--force", help="Delete it with all its originals, licences and sweeps.")
    ] = False,
    yes: YesOption = False,
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Delete a brand; it matches no more at once, and with --force all that it has is gone."""
    name = brand if brand.startswith("brands/") else f"brands/{brand}"
    everything = " with everything that it has" if force else ""
    ask(f"Delete {name}{everything}?", yes)
    with Client(server, timeout) as client:
        request = brands_pb2.DeleteBrandRequest(name=name, force=force)
        client.call(client.brands.DeleteBrand, request)
    tell("deleted", name, json)


def info(
    json: options.JsonOption = False,
    server: options.ServerOption = options.SERVER,
    timeout: options.TimeoutOption = options.TIMEOUT_S,
) -> None:
    """Show what a server runs: encoders, indexes, snapshot, policy and limits."""
    with Client(server, timeout) as client:
        answer = client.info()
    if json:
        output.print_json(output.to_dict(answer))
        return
    table = output.table("field", "value")
    limits = answer.limits
    rows = [
        ("server", f"{server}, version {answer.version}"),
        ("ready", "yes" if answer.ready else "no, still loading"),
        ("running since", output.when(answer.start_time)),
        ("originals", _originals_words(answer)),
        ("CLIP", answer.clip),
        ("policy", f"{answer.policy} (of {', '.join(answer.policies)})"),
        ("score", answer.model),
        ("calibration", answer.calibration or "none of your own (`copycatch calibrate`)"),
        ("schema", answer.schema),
    ]
    rows[6:6] = [(f"policy {one.name}", _policy_words(one)) for one in answer.policy_details]
    rows += [
        (
            f"encoder {encoder.name}",
            f"{encoder.dimension} numbers a picture, on {encoder.device}, {encoder.input}",
        )
        for encoder in answer.encoders
    ]
    rows += [(f"index {index.space}", _index_words(index)) for index in answer.indexes]
    if answer.snapshot.id:
        age_s = answer.snapshot.age.seconds
        rows.append(("snapshot", f"{answer.snapshot.id}, {age_s:,} s old"))
    rows.append(
        (
            "a picture may have",
            f"{limits.max_image_bytes / 2**20:,.0f} MiB, {limits.max_pixels / 1e6:,.0f} "
            f"megapixels, sides of {limits.min_side_px} to {limits.max_side_px:,} px",
        )
    )
    rows += [("warning", warning) for warning in answer.warnings]
    for field, value in rows:
        table.add_row(field, value)
    output.console().print(table)


def _originals_words(info: match_pb2.ServerInfo) -> str:
    """Return how many originals there are; whoever is told of no index is not told that either."""
    if not info.indexes:
        return "not told to this key" if info.ready else ""
    brands = counted(info.brand_count, "brand")
    return f"{counted(info.original_count, 'original')} of {brands}"


def _index_words(index: match_pb2.ServerInfo.Index) -> str:
    """Return how large an index is, how it searches, and how much of it is new."""
    words = f"{counted(index.size, 'original')}, on {index.device}, "
    if index.type == "unsealed":
        return words + "so few that each is compared"
    words += f"{index.type}, finds {index.recall:.1%} of the ten nearest"
    if index.unsealed_count:
        words += f"; {index.unsealed_count:,} came since it was built, and are compared one by one"
    return words


def _policy_words(policy: match_pb2.ServerInfo.PolicyDetail) -> str:
    """Return from which score on a policy gives its verdicts, and what it holds."""
    words = f"COPY from {policy.min_copy_score:.3f}, REVIEW from {policy.min_review_score:.3f}"
    if policy.copy_precision:
        words += f"; {policy.copy_precision:.1%} of COPY are right, at least"
    return words
