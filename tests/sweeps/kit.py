"""A catalogue with originals, manifests of listings, and sweeps over them, without a server."""

import csv
import io
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from index.catalogue import Catalogue
from index.spaces import Space
from models.background import Background
from models.batcher import Batcher
from models.fingerprint import Fingerprinter
from models.toy import ToyEncoder
from service.matching.pipeline import Matcher
from service.registry import Registry, Submission
from service.sweeps.access import Access
from service.sweeps.book import SweepBook
from service.sweeps.families import Families
from service.sweeps.filters import FindingFilter
from service.sweeps.findings import Finding
from service.sweeps.lane import Lane
from service.sweeps.listing import Listing
from service.sweeps.local import LocalEngine
from service.sweeps.manifest import opened
from service.sweeps.partition import Entry, Inspector
from service.sweeps.records import Sweep
from service.sweeps.runner import Sweeps
from tests.kit.images import draw, encode

SIZE = (240, 180)
NO_PICTURE = b"no picture at all"


def original(seed: int) -> bytes:
    """The picture that is registered under this number."""
    return encode(draw(seed, SIZE), "PNG")


def stolen(seed: int) -> bytes:
    """The very pixels of an original in another file: checked in a moment, by their digest."""
    return encode(draw(seed, SIZE), "BMP")


def edited(seed: int) -> bytes:
    """A copy of an original, encoded again: looked for and verified."""
    return encode(draw(seed, SIZE), quality=80)


def blank(shade: int = 250) -> bytes:
    """A picture on which there is nothing, which is CLEAR in a moment."""
    return encode(Image.new("RGB", (32, 32), (shade, shade, shade)), "PNG")


def write_csv(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """Write a manifest with the columns of its first row."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    """Write a shard."""
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def read(source: Path | str, *roots: Path, form: str = "") -> list[Listing]:
    """The listings of a manifest, read below some folders."""
    return list(opened(str(source), Access.of(roots), form).listings())


class Workshop:
    """Parts of a server over one folder; close with `with`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.batcher = Batcher(ToyEncoder()).start()
        self.printer = Fingerprinter(self.batcher, background=Background({}))
        spaces = [Space(*space) for space in self.printer.spaces]
        self.catalogue = Catalogue.open(folder / "data", spaces, self.printer.schema)
        self.matcher = Matcher(self.catalogue, self.printer)
        self.registry = Registry(self.catalogue, self.printer)
        self.entries: list[Entry] = []
        self.idle = threading.Event()
        self.idle.set()

    def __enter__(self) -> "Workshop":
        return self

    def __exit__(self, *error: object) -> None:
        self.catalogue.close()
        self.batcher.stop()

    def register(self, brand: str, **originals: bytes) -> None:
        """Register originals, creating the brand."""
        self.catalogue.create_brand(brand)
        for name, image in originals.items():
            self.registry.register(Submission(brand, name, image))

    def inspector(self) -> Inspector:
        """Looks at listings below the folder."""
        return Inspector(
            lambda image, listing, options: self.matcher.check(image, options),
            Families(self.catalogue),
            Access.of([self.folder]),
            self.matcher.provenance,
        )

    @contextmanager
    def sweeps(self, threads: int = 2) -> Iterator[Sweeps]:
        """Sweeps that run for the time of the block."""
        inspector = self.inspector()
        made = Sweeps(
            SweepBook.open(self.folder / "data" / "sweeps"),
            self.catalogue,
            inspector.access,
            LocalEngine(inspector, threads),
            self.matcher.provenance,
            self.entries.extend,
        )
        made.start(Lane(self.idle).turn)
        try:
            yield made
        finally:
            made.close()


def ended(sweeps: Sweeps, sweep: str, within_s: float = 60.0) -> Sweep:
    """Wait until a sweep has ended."""
    until = time.monotonic() + within_s
    while not (found := sweeps.book.get(sweep)).state.final:
        assert time.monotonic() < until, found
        time.sleep(0.02)
    return found


def findings(book: SweepBook, sweep: str, **wanted: object) -> list[Finding]:
    """All findings that fit, read in small pages; each at its own position and once."""
    found: list[tuple[int, Finding]] = []
    start = 0
    while start >= 0:
        page = book.findings(sweep, 7, start, FindingFilter(**wanted))  # type: ignore[arg-type]
        found += page.findings
        start = page.next
    positions = [position for position, _ in found]
    assert positions == sorted(set(positions))
    return [finding for _, finding in found]
