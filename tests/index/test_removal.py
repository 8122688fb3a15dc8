"""Deleting a brand: out of sight at once, gone altogether, and finished after a crash."""

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from index import removal
from index.catalogue import Catalogue, CatalogueConfig
from index.chain import verify
from index.ledger import BrandLeaving, BrandNotFound, EtagMismatch, OriginalNotFound
from index.licences import Licence
from index.live import LiveOptions
from index.reader import TABLES, open_view
from index.removal import BrandNotEmpty
from tests.index.kit import SCHEMA, SPACES, original, rows, ticking

CONFIG = CatalogueConfig(
    background=False, snapshot_changes=1_000_000, live=LiveOptions(seal_rows=64, tier_pieces=3)
)


def opened(path: Path) -> Catalogue:
    return Catalogue.open(path, SPACES, SCHEMA, CONFIG, ticking())


def licence(brand: str, name: str) -> Licence:
    return Licence(
        brand=brand,
        licence=name,
        display_name="",
        sellers=("seller-1",),
        programmes=("dealers",),
        scope="ALL",
        originals=(),
        tag_key="",
        tag_value="",
        territories=(),
        start_time_ns=0,
        end_time_ns=None,
        create_time_ns=1,
    )


def filled(catalogue: Catalogue, count: int = 500) -> None:
    """Two brands with everything that a brand can have."""
    for brand in ("acme", "bolt"):
        catalogue.create_brand(brand)
        first = 0 if brand == "acme" else 10_000
        news = [original(first + i, brand, request_id=f"r-{first + i}") for i in range(count)]
        assert not [r for r in catalogue.register_many(news) if isinstance(r, Exception)]
        catalogue.licences.create_programme(brand, "dealers", "", 1)
        catalogue.licences.add_sellers(brand, "", ["own-1", "own-2"], 1)
        catalogue.licences.add_sellers(brand, "dealers", ["dealer-1"], 1)
        catalogue.licences.create(licence(brand, "summer"))
        picture = {"position": 0, "matches": [{"original": f"brands/{brand}/originals/x"}]}
        catalogue.audit.record(
            "listing.judge", {"images": [picture]}, brands=[brand], prints={0: b"print"}
        ).result()
    catalogue.maintain()


def left(catalogue: Catalogue, word: bytes) -> set[str]:
    """The tables in which a brand's id still stands, in a key or a value."""
    found = set()
    with catalogue._store.read() as txn:
        for table in TABLES:
            pairs = txn.scan(table, limit=100_000)
            if any(word in key or word in value for key, value in pairs):
                found.add(table)
    return found


def test_every_table_is_a_brands_or_is_said_not_to_be() -> None:
    """A table that holds rows of brands belongs into index/removal.py."""
    assert TABLES.keys() == removal.OWNED.keys() | removal.WITH_OTHERS.keys()
    assert not removal.OWNED.keys() & removal.WITH_OTHERS.keys()


def test_a_deleted_brand_is_gone_with_everything_and_the_other_one_is_whole(tmp_path: Path) -> None:
    with opened(tmp_path) as catalogue:
        filled(catalogue)
        before = catalogue.counts()
        with pytest.raises(BrandNotEmpty):
            catalogue.delete_brand("acme")
        with pytest.raises(EtagMismatch):
            catalogue.delete_brand("acme", etag="old", force=True)
        assert catalogue.counts() == before
        catalogue.delete_brand("acme", etag=catalogue.get_brand("acme").etag, force=True)
        assert left(catalogue, b"acme") == {"log", "audit", "audit_brands"}
        after = catalogue.counts()
        owned = ["originals", "ids", "previews", "features", "licences", "programmes", "grants"]
        for table in (*owned, "digests", "sellers"):
            assert 2 * after[table] == before[table], table
        assert after["audit_prints"] == 1
        with pytest.raises(BrandNotFound):
            catalogue.get_brand("acme")
        with pytest.raises(OriginalNotFound):
            catalogue.get("acme", "photo-00001")
        for space in SPACES:
            found = catalogue.search(space.name, rows(space, 1), 2000)[0]
            assert len(found) == 500
            assert all(
                r is not None and r.brand == "bolt"
                for r in catalogue.by_key([n.key for n in found])
            )
        assert catalogue.licences.held("own-1", "bolt").own
        with pytest.raises(BrandNotFound):
            catalogue.delete_brand("acme", force=True)
        actions = [link.entry["action"] for link in catalogue.audit.page(brand="acme", limit=9999)]
        assert actions[-2:] == ["brand.delete", "brand.purge"]
        assert verify(catalogue.audit.links(), whole=True).last == catalogue.audit.ends.last
        again = catalogue.create_brand("acme")
        assert again.number == 3
        sequence = catalogue.stats().sequence
        assert sequence == catalogue.changes(limit=10_000)[-1].sequence
    with opened(tmp_path) as catalogue:
        assert catalogue.stats().opened_from == "snapshot"
        assert catalogue.stats().originals == 500


def test_it_leaves_the_index_before_its_rows_are_gone(tmp_path: Path) -> None:
    """What is searched while the rows go never finds the brand."""
    with opened(tmp_path) as catalogue:
        filled(catalogue, 900)
        record = catalogue.get("acme", "photo-00007")
        done, steps = threading.Event(), list[int]()
        everything = catalogue.counts()["originals"]

        def watch() -> None:
            while catalogue.counts()["originals"] == everything and not done.is_set():
                pass  # the index is left between the mark of the brand and its first row
            while catalogue.counts()["leaving"]:
                steps.append(catalogue.counts()["originals"])
                found = catalogue.search("sscd", rows(SPACES[0], 1), 5000)[0]
                assert len(found) == 900
                assert catalogue.by_key([record.key]) == [None]
                keys = catalogue.find_digest(sha256=record.sha256)
                assert all(r is None for r in catalogue.by_key(keys))

        with ThreadPoolExecutor(1) as pool:
            watching = pool.submit(watch)
            catalogue.delete_brand("acme", force=True)
            done.set()
            watching.result()
        assert steps and steps[0] > 900


CHILD = """
import os, sys
from pathlib import Path
from index import removal
from tests.index.test_removal import opened
catalogue = opened(Path(sys.argv[1]))
purge = removal.purge
steps = 0
def counted(*arguments):
    global steps
    steps += 1
    if steps == 3:
        os.kill(os.getpid(), 9)
    return purge(*arguments)
removal.purge = counted
catalogue.delete_brand("acme", force=True)
"""


def test_a_deletion_that_a_kill_cuts_short_is_finished_at_the_next_open(tmp_path: Path) -> None:
    with opened(tmp_path) as catalogue:
        filled(catalogue)
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    with open_view(tmp_path) as view, view.read() as txn:
        assert [brand.brand for brand in removal.leaving(txn)] == ["acme"]
        assert 500 < txn.count("originals") < 1000
    with opened(tmp_path) as catalogue:
        assert catalogue.counts()["leaving"] == 0
        assert left(catalogue, b"acme") == {"log", "audit", "audit_brands"}
        assert len(catalogue.search("sscd", rows(SPACES[0], 1), 2000)[0]) == 500
        assert verify(catalogue.audit.links(), whole=True).last == catalogue.audit.ends.last


def test_the_id_is_not_free_while_rows_are_left(tmp_path: Path) -> None:
    with opened(tmp_path) as catalogue:
        catalogue.create_brand("acme")
        catalogue._store.write(lambda txn: removal.begin(txn, "acme", 1, None, False))
        with pytest.raises(BrandLeaving):
            catalogue.create_brand("acme")
        with pytest.raises(BrandNotFound):
            catalogue.register(original(1))
    with opened(tmp_path) as catalogue:
        assert catalogue.create_brand("acme").number == 2
