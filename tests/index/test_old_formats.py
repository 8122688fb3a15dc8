"""Stores and snapshots that were written by each released format still open."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from index.catalogue import Catalogue
from index.chain import verify
from index.ledger import STORE_VERSION, RequestIdReused
from tests.index.data.make_store import CONFIG, make
from tests.index.kit import SCHEMA, SPACES, original, ticking

DATA = Path(__file__).parent / "data"


@pytest.fixture(params=sorted(p.name for p in DATA.glob("store-v*")))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    copy = tmp_path / str(request.param)
    shutil.copytree(DATA / request.param, copy)
    return copy


def test_there_is_a_store_of_each_format() -> None:
    assert {p.name for p in DATA.glob("store-v*")} == {
        f"store-v{version}" for version in range(1, STORE_VERSION + 1)
    }


@pytest.mark.parametrize("snapshot", [True, False])
def test_an_old_store_opens_with_all_that_it_held(store: Path, snapshot: bool) -> None:
    if not snapshot:
        shutil.rmtree(store / "snapshots")
    with Catalogue.open(store, SPACES, SCHEMA, CONFIG, ticking()) as catalogue:
        assert catalogue.stats().opened_from == ("snapshot" if snapshot else "store")
        assert [(b.brand, b.display_name) for b in catalogue.list_brands()] == [
            ("acme", "Acme"),
            ("bolt", "Bolt ü"),
        ]
        numbers = [1, 3, 4, 5, 6, 8]
        held = [r for brand in ("acme", "bolt") for r in catalogue.list(brand)]
        assert [r.original for r in held] == [f"photo-{i:05d}" for i in numbers]
        for record, i in zip(held, numbers, strict=True):
            new = original(i)
            assert (record.sha256, record.pixel_sha256) == (new.sha256, new.pixel_sha256)
            assert record.attributes == new.attributes
            assert record.display_name == ("Renamed" if i == 3 else f"Photo {i}")
            assert catalogue.preview(record.key) == new.preview
            assert catalogue.features(record.key) == (new.features if i < 6 else None)
            assert np.abs(record.vectors["sscd"] - new.vectors["sscd"]).max() < 1e-3
            assert (record.vectors["pdq"] == new.vectors["pdq"]).all()
            for space in SPACES:
                found = catalogue.search(space.name, new.vectors[space.name][None], 9)[0]
                assert found[0].key == record.key
                assert len(found) == 6
        assert [c.kind for c in catalogue.changes()] == ["REGISTER"] * 8 + [
            "WITHDRAW",
            "UPDATE",
            "WITHDRAW",
        ]
        assert catalogue.register(original(1, request_id="request-1")).key == 1
        with pytest.raises(RequestIdReused):
            catalogue.register(original(2, request_id="request-2"))
        assert catalogue.register(original(50)).key == 9
        # The store of version 1 had no audit log: it begins with the migration.
        actions = [link.entry["action"] for link in catalogue.audit.links()]
        assert actions[0] == ("store.migrate" if store.name == "store-v1" else "brand.create")
        assert actions[-1] == "original.create"
        assert verify(catalogue.audit.links(), head=catalogue.audit.ends.head).last == len(actions)


def test_the_newest_store_is_what_the_script_makes_today(tmp_path: Path) -> None:
    """Else the stored format has changed: then it needs a version, a migration and a new store."""
    make(tmp_path / "made")
    shutil.copytree(DATA / f"store-v{STORE_VERSION}", tmp_path / "stored")
    contents = []
    for name in ("made", "stored"):
        with (
            Catalogue.open(tmp_path / name, SPACES, SCHEMA, CONFIG, ticking()) as catalogue,
            catalogue._store.read() as txn,
        ):
            tables = {t: txn.scan(t, limit=1000) for t in (*catalogue.counts(), "meta")}
            tables["meta"] = [pair for pair in tables["meta"] if pair[0] != b"store_id"]
            contents.append(tables)
    assert contents[0] == contents[1]
