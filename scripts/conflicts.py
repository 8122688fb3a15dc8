"""Measure the conflict check: what its first glance passes on, and what it costs an import.

    python -m scripts.conflicts --data DIR [--limit 400] [--imports 100]

The folder has the form that `scripts/evaluate.py` reads. The originals are registered for one
brand. Each labelled listing is then taken as an original of another brand: the shares say
for how many the vectors alone lead to the check, and how many of those that the matcher
calls a copy. The unrelated listings are then imported for real, with the check off, near
and full; processor time is told, so that other work on the machine does not count.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from index.catalogue import Catalogue
from index.selection import AllBut
from index.spaces import Space
from models.batcher import Batcher
from models.fingerprint import Fingerprinter
from models.images import decode
from models.refusals import ImageFeatureless
from models.sscd import SscdEncoder
from scripts.evaluation_data import Data, load
from service.conflicts import POLICY, ConflictChecker
from service.matching.pipeline import Matcher
from service.matching.results import CheckOptions, Verdict
from service.registry import Registry, Submission

OWNER, THIEF = "owner", "newcomer"
console = Console(stderr=True)


class Parts:
    """What a server is made of, in a folder of its own."""

    def __init__(self, folder: Path, fingerprinter: Fingerprinter) -> None:
        spaces = [Space(*one) for one in fingerprinter.spaces]
        self.fingerprinter = fingerprinter
        self.catalogue = Catalogue.open(folder, spaces, fingerprinter.schema)
        self.matcher = Matcher(self.catalogue, fingerprinter)

    def __enter__(self) -> "Parts":
        return self

    def __exit__(self, *error: object) -> None:
        self.catalogue.close()


def register(parts: Parts, data: Data) -> None:
    """Register the originals for one brand."""
    registry = Registry(parts.catalogue, parts.fingerprinter)
    for path in track(data.registered, "originals", console=console):
        try:
            registry.register(Submission(OWNER, _id(path), data.read(path)))
        except ImageFeatureless as error:
            console.print(f"{path} is not registered: {error}")


def glance(parts: Parts, data: Data) -> dict[str, list[tuple[bool, bool]]]:
    """By role, whether each listing is near to an original, and whether it is a copy of one."""
    checker = ConflictChecker(parts.catalogue, parts.matcher, parts.fingerprinter, full=False)
    options = CheckOptions(brands=AllBut({THIEF}), policy=POLICY)
    found: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for listing in track(data.listings, "listings", console=console):
        image = data.read(listing.path)
        vectors = parts.fingerprinter.original(decode(image)).vectors
        verdict = parts.matcher.check(image, options).verdict
        near = checker.is_near(THIEF, vectors)
        found[listing.role].append((near, verdict is Verdict.COPY))
    return found


def cost(parts: Parts, data: Data, setting: str, paths: Sequence[str]) -> tuple[float, float]:
    """Processor milliseconds per import of these pictures, and the share that is disputed."""
    fingerprinter = parts.fingerprinter
    checker = None
    if setting != "off":
        full = setting == "full"
        checker = ConflictChecker(parts.catalogue, parts.matcher, fingerprinter, full)
    registry, brand = Registry(parts.catalogue, fingerprinter, checker), f"{THIEF}-{setting}"
    parts.catalogue.create_brand(brand)
    began, states = time.process_time(), list[str]()
    for path in track(paths, f"import, {setting}", console=console):
        record = registry.register(Submission(brand, _id(path), data.read(path)))
        states.append(record.state)
    spent = time.process_time() - began
    for record in list(parts.catalogue.list(brand, 1000)):
        parts.catalogue.withdraw(brand, record.original)
    return spent * 1000 / len(paths), states.count("DISPUTED") / len(paths)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Measure the conflict check.")
    parser.add_argument("--data", type=Path, required=True, help="folder with eval.csv")
    parser.add_argument("--limit", type=int, default=400, help="listings to ask")
    parser.add_argument("--imports", type=int, default=100, help="unrelated pictures to import")
    options = parser.parse_args()
    data = load(options.data).limited(options.limit)
    with tempfile.TemporaryDirectory() as folder:
        encoder = SscdEncoder("sscd_distilled", threads=1)
        with Batcher(encoder) as batcher, Parts(Path(folder), Fingerprinter(batcher)) as parts:
            for brand in (OWNER, THIEF):
                parts.catalogue.create_brand(brand)
            register(parts, data)
            print(f"{len(data.registered)} originals, {len(data.listings)} listings")
            for role, seen in glance(parts, data).items():
                near = sum(is_near for is_near, _ in seen) / len(seen)
                copies = [is_near for is_near, is_copy in seen if is_copy]
                passed = f", {sum(copies) / len(copies):.0%} of its COPY" if copies else ""
                print(f"{role:13} {len(seen):5}  near {near:.1%}{passed} ({len(copies)} COPY)")
            unrelated = [one.path for one in data.listings if one.role == "unrelated"]
            for setting in ("off", "near", "full"):
                ms, disputed = cost(parts, data, setting, unrelated[: options.imports])
                print(
                    f"import, {setting:4}  {ms:6.0f} ms of a core, "
                    f"{1000 / ms:5.1f} originals/s a core, {disputed:.1%} disputed"
                )


def _id(path: str) -> str:
    return path.replace("/", "-")


if __name__ == "__main__":
    main()
