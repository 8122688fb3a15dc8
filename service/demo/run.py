"""The demo's run: a server, originals, listings, a table, a page, and the server is gone again."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.rpc import status_pb2
from rich.console import Console
from rich.text import Text

from copycatch.v1 import match_service_pb2 as match_pb2
from copycatch.v1 import originals_service_pb2 as originals_pb2
from service.cli import local, pictures
from service.cli.client import Client
from service.cli.failure import CommandError
from service.cli.ingest import Ingest, Tally
from service.cli.sources import Broken, Item, from_file
from service.cli.targets import check_folder
from service.demo import page, table
from service.demo.answers import Answer, Listing, failed, median_ms, mistakes
from service.demo.cases import Case, cases
from service.demo.photographs import BRANDS, SHOWN
from service.wording import counted

OWN_BRAND = "mine"
PAGE = "index.html"
SWITCH_ON = "CLIP off: `make demo CLIP=MODEL/WEIGHTS`, or --clip, switches it on"


@dataclass(frozen=True, slots=True)
class Report:
    """How a demo went.

    Attributes:
        answers: in the order in which they were asked.
        mistakes: those that differ from what was expected.
        failed: originals that could not be registered.
        unchecked: listings that could not be checked.
        page: the HTML page.
    """

    answers: Sequence[Answer]
    mistakes: Sequence[Answer]
    failed: int
    unchecked: int
    page: Path


def run(
    console: Console,
    out: Path,
    *,
    originals: Path | None = None,
    listings: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    timeout_s: float = 60.0,
) -> Report:
    """Run the demo.

    Args:
        console: where it tells what it does.
        out: folder of the page; made when missing.
        originals: pictures to register instead of the photographs; needs `listings` too.
        listings: pictures to check instead of the edited photographs.
        settings: settings of the server, by the names of `service.config`.
        timeout_s: deadline of each check.

    Raises:
        CommandError: a folder or the demo's photographs are missing, or the server does
            not start.
    """
    if (originals is None) != (listings is None):
        raise CommandError("--originals and --listings belong together", "give both folders")
    check_folder(out, "--out")
    out.mkdir(parents=True, exist_ok=True)
    items = _photographs() if originals is None else _own(originals)
    credits = _credits() if originals is None else ""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="copycatch-demo-"))
        with _step(console, "starting a server"):
            client = stack.enter_context(local.serving(Path(folder), timeout_s, **settings or {}))
        info = client.info()
        _introduce(console, client, info)
        with _step(console, f"registering {counted(len(items), 'original')}"):
            refused = _register(console, client, items)
        max_bytes = info.limits.max_image_bytes
        asked = _made_listings(console) if listings is None else _own_listings(listings, max_bytes)
        with _step(console, f"checking {counted(len(asked), 'listing')}"):
            answers = [_ask(client, listing) for listing in asked]
        previews = _previews(client, answers)
        target = out / PAGE
        target.write_text(page.render(answers, previews, client.info(), credits), encoding="utf-8")
    table.show(console, answers)
    ended = "the server is stopped and its data are deleted."
    console.print(f"{_sum(answers)}; {ended}", highlight=False)
    return Report(answers, mistakes(answers), refused, len(failed(answers)), target)


def _sum(answers: Sequence[Answer]) -> str:
    """Say how many were checked and how long that took, and how many could not be."""
    unchecked = len(failed(answers))
    checked = len(answers) - unchecked
    words = f"{counted(checked, 'listing')} checked"
    if checked:
        words += f", median {median_ms(answers):.0f} ms each, one at a time"
    return words + (f"; {unchecked:,} could not be" if unchecked else "")


@contextmanager
def _step(console: Console, title: str) -> Iterator[None]:
    """Say what is done, and how long it took."""
    started = time.perf_counter()
    with console.status(f"{title} ..."):
        yield
    seconds = time.perf_counter() - started
    console.print(Text.assemble((f"{seconds:6.2f} s", "dim"), f"  {title}"))


def _introduce(console: Console, client: Client, info: match_pb2.ServerInfo) -> None:
    # The server's reason is a setting, which whoever runs the demo has not set.
    clip = SWITCH_ON if info.clip.startswith("off") else f"CLIP {info.clip}"
    encoders = ", ".join(f"{encoder.name} on {encoder.device}" for encoder in info.encoders)
    console.print(
        f"          Copycatch {info.version} at {client.target}: {encoders}; "
        f"policy {info.policy}\n          {clip}",
        style="dim",
        highlight=False,
    )


def _photographs() -> list[Item]:
    """Return the photographs that the demo registers."""
    items = []
    for brand, photographs in BRANDS.items():
        for photo in photographs:
            data = photo.read()
            items.append(
                Item(
                    photo.file,
                    brand,
                    photo.id,
                    len(data),
                    lambda data=data: data,  # type: ignore[misc]
                    photo.title,
                    {"credit": photo.credit},
                )
            )
    return items


def _credits() -> str:
    """Name the makers of the photographs, as their licences ask."""
    named = "; ".join(f"{photo.title}: {photo.credit}" for photo in SHOWN)
    return f"Photographs. {named}. Edited for the listings."


def _own(folder: Path) -> list[Item | Broken]:
    """Return the user's own originals."""
    found = pictures.find([folder])
    names = [str(path.relative_to(folder)) if folder.is_dir() else path.name for path in found]
    return [
        from_file(path, name, OWN_BRAND, made, name)
        for path, name, made in zip(found, names, pictures.make_ids(names), strict=True)
    ]


def _register(console: Console, client: Client, items: Sequence[Item | Broken]) -> int:
    """Register the originals; returns how many failed, having named each."""
    tally = Tally()
    ingest = Ingest(client, create_brands=True, on_brand=lambda brand: None)
    for done in ingest.run(items):
        tally.add(done)
    for failure in tally.failures:
        console.print(f"not registered: {failure.name}: {failure.message}")
    return len(tally.failures)


def _made_listings(console: Console) -> list[Listing]:
    made = cases()
    with _step(console, f"drawing {len(made)} listings"):
        return [_listing(case) for case in made]


def _listing(case: Case) -> Listing:
    owner = {photo.id: brand for brand, photos in BRANDS.items() for photo in photos}
    name = f"brands/{owner[case.original.id]}/originals/{case.original.id}" if case.original else ""
    return Listing(case.id, case.title, case.make(), name, case.verdicts, case.kinds)


def _own_listings(folder: Path, max_bytes: int) -> list[Listing]:
    listings = []
    for path in pictures.find([folder]):
        image = pictures.read(path, max_bytes)
        if isinstance(image, status_pb2.Status):
            listings.append(Listing(path.name, path.name, b"", error=image))
        else:
            listings.append(Listing(path.name, path.name, image))
    return listings


def _previews(client: Client, answers: Sequence[Answer]) -> dict[str, bytes]:
    """Return the preview of each original that is the best match of an answer."""
    names = {answer.best.original for answer in answers if answer.best}
    ask = client.originals.GetOriginalPreview
    return {
        name: client.call(ask, originals_pb2.GetOriginalPreviewRequest(name=name)).image
        for name in sorted(names)
    }


def _ask(client: Client, listing: Listing) -> Answer:
    """Send one listing with one picture."""
    if listing.error is not None:
        return Answer(listing, match_pb2.ImageResult(error=listing.error), 0.0)
    request = match_pb2.CheckListingRequest(
        listing=match_pb2.Listing(listing_id=listing.id[:200], images=[listing.image])
    )
    started = time.perf_counter()
    response = client.call(client.match.CheckListing, request)
    elapsed_ms = (time.perf_counter() - started) * 1000
    return Answer(listing, response.image_results[0], elapsed_ms)
