"""Make the tiny store that later releases must still read: `store-v2`.

    python -m tests.index.data.make_store tests/index/data/store-v2

Run it once per stored format, and never over a store that was released. A store whose
format no release has written yet may be deleted and made anew.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from index.catalogue import Catalogue, CatalogueConfig
from index.store import StoreOptions
from tests.index.kit import SCHEMA, SPACES, original, ticking

CONFIG = CatalogueConfig(
    background=False, snapshot_changes=0, store=StoreOptions(initial_bytes=1 << 17)
)


def make(path: Path) -> None:
    """Two brands, eight originals of which two are withdrawn, one update, one snapshot."""
    with Catalogue.open(path, SPACES, SCHEMA, CONFIG, ticking()) as catalogue:
        catalogue.create_brand("acme", "Acme", {"country": "NL"})
        catalogue.create_brand("bolt", "Bolt ü")
        catalogue.register_many([original(i, request_id=f"request-{i}") for i in range(1, 6)])
        catalogue.register_many([original(i, brand="bolt", features=None) for i in range(6, 9)])
        catalogue.withdraw("acme", "photo-00002")
        catalogue.snapshot()
        catalogue.update("acme", "photo-00003", display_name="Renamed", annotations={"a": "b"})
        catalogue.withdraw("bolt", "photo-00007")


def keep(target: Path, make: Callable[[Path], None]) -> None:
    """Make a store and leave what it holds at `target`."""
    if target.exists():
        raise SystemExit(f"{target} exists: a released store is never made again")
    made = target.with_suffix(".new")
    shutil.rmtree(made, ignore_errors=True)
    make(made)
    for left in ("owner.lock", "lock.mdb"):  # they say who has it open, nothing of what it holds
        (made / left).unlink()
    made.rename(target)


if __name__ == "__main__":
    keep(Path(sys.argv[1]), make)
