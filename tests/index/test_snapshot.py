"""Snapshots: equal to what they were taken of, refused by name when damaged, never needed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.catalogue import Catalogue, CatalogueConfig
from index.live import LiveOptions
from index.snapshot import SnapshotCorrupt, SnapshotFailed, SnapshotMismatch, Snapshots
from index.spaces import Neighbor
from index.vectors import IndexOptions
from tests.index.kit import SCHEMA, SPACES, every_row_finds_itself, original, rows, ticking

CONFIG = CatalogueConfig(
    live=LiveOptions(seal_rows=16, tier_pieces=3), background=False, snapshot_changes=0
)
INVERTED = CatalogueConfig(
    live=LiveOptions(
        seal_rows=16, index=IndexOptions(ivf_from_rows=40, binary_ivf_from_rows=40, ivf_recall=1)
    ),
    background=False,
    snapshot_changes=0,
)


def opened(path: Path, config: CatalogueConfig = CONFIG) -> Catalogue:
    return Catalogue.open(path, SPACES, SCHEMA, config, ticking())


def answers(catalogue: Catalogue) -> list[list[list[Neighbor]]]:
    return [catalogue.search(s.name, rows(s, 5, seed=99), 30) for s in SPACES]


@pytest.fixture(params=[CONFIG, INVERTED], ids=["flat", "inverted"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A closed catalogue with two snapshots and a few changes since the newer one."""
    with opened(tmp_path / "c", request.param) as catalogue:
        catalogue.create_brand("acme")
        catalogue.register_many([original(i) for i in range(60)])
        catalogue.maintain()
        catalogue.withdraw("acme", "photo-00003")
        catalogue.snapshot()
        catalogue.register_many([original(i) for i in range(60, 90)])
        catalogue.withdraw("acme", "photo-00070")
        catalogue.maintain()
        catalogue.snapshot()
        catalogue.register_many([original(i) for i in range(90, 95)])
        catalogue.withdraw("acme", "photo-00091")
        catalogue.withdraw("acme", "photo-00004")
        catalogue.update("acme", "photo-00005", display_name="x")
    yield tmp_path / "c"


def folders(path: Path) -> list[Path]:
    """The snapshots of a catalogue, the newest first."""
    return sorted((path / "snapshots").iterdir(), reverse=True)


def test_a_start_from_a_snapshot_equals_one_from_the_store(path: Path) -> None:
    with opened(path) as catalogue:
        stats, found = catalogue.stats(), answers(catalogue)
        assert stats.opened_from == "snapshot"
        assert stats.opened_because.endswith("and 8 changes since")
        assert stats.snapshot is not None
        assert stats.snapshot.id == folders(path)[0].name
        for index in catalogue._follower.indexes.values():
            every_row_finds_itself(index)
    shutil.rmtree(path / "snapshots")
    with opened(path) as catalogue:
        assert catalogue.stats().opened_from == "store"
        assert catalogue.stats().opened_because == "there is no snapshot"
        assert answers(catalogue) == found
        assert {s.rows for s in catalogue.stats().spaces} == {91}


def test_any_damaged_file_is_refused_by_name_and_the_previous_snapshot_is_used(
    path: Path, tmp_path: Path
) -> None:
    with opened(path) as catalogue:
        found = answers(catalogue)
        origin = catalogue._opened.origin
    newest, older = folders(path)
    for file in sorted(newest.iterdir()):
        data = file.read_bytes()
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        for damage in (data[:-1], data[:middle], b"", flipped, data + b"\0", None):
            file.unlink()
            if damage is not None:
                file.write_bytes(damage)
            with pytest.raises(SnapshotCorrupt) as caught:
                Snapshots(path / "snapshots").load(newest.name, origin, IndexOptions())
            assert caught.value.file == file
        with opened(path) as catalogue:
            stats = catalogue.stats()
            assert stats.snapshot is not None
            assert stats.snapshot.id == older.name
            assert answers(catalogue) == found
        file.write_bytes(data)


def test_when_every_snapshot_is_damaged_the_store_is_read(path: Path) -> None:
    with opened(path) as catalogue:
        found = answers(catalogue)
    for folder in folders(path):
        (folder / "manifest.json").write_text("{}")
    with opened(path) as catalogue:
        stats = catalogue.stats()
        assert (stats.opened_from, stats.snapshot) == ("store", None)
        assert "manifest.json is damaged" in stats.opened_because
        assert answers(catalogue) == found
        catalogue.snapshot()
    with opened(path) as catalogue:
        assert catalogue.stats().opened_from == "snapshot"


def test_a_snapshot_of_another_store_or_schema_is_refused(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with opened(other) as catalogue:
        catalogue.create_brand("acme")
        catalogue.register_many([original(1000 + i) for i in range(91)])
        origin = catalogue._opened.origin
    shutil.copytree(path / "snapshots", other / "snapshots", dirs_exist_ok=True)
    with opened(other) as catalogue:
        assert catalogue.stats().opened_from == "store"
        assert "its store is" in catalogue.stats().opened_because
        assert catalogue.get("acme", "photo-01007").key == 8
    name = folders(path)[0].name
    with pytest.raises(SnapshotMismatch, match="its store is"):
        Snapshots(path / "snapshots").load(name, origin, IndexOptions())


def test_a_snapshot_that_is_ahead_of_a_restored_store_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "c") as catalogue:
        catalogue.create_brand("acme")
        catalogue.register_many([original(i) for i in range(5)])
    backup = (tmp_path / "c" / "data.mdb").read_bytes()
    with opened(tmp_path / "c") as catalogue:
        catalogue.register(original(7))
        catalogue.snapshot()
    (tmp_path / "c" / "data.mdb").write_bytes(backup)
    (tmp_path / "c" / "lock.mdb").unlink()
    with opened(tmp_path / "c") as catalogue:
        assert "ahead of the store" in catalogue.stats().opened_because
        assert {s.rows for s in catalogue.stats().spaces} == {5}


def test_old_snapshots_are_pruned_and_leftovers_of_a_crash_removed(path: Path) -> None:
    (path / "snapshots" / ".00.tmp").mkdir()
    with opened(path) as catalogue:
        assert not (path / "snapshots" / ".00.tmp").exists()
        before = folders(path)
        for _ in range(3):
            catalogue.snapshot()
        after = folders(path)
        assert len(after) == 2
        assert not set(before) & set(after)


def test_rows_of_withdrawn_originals_are_not_in_a_new_snapshot(tmp_path: Path) -> None:
    with opened(tmp_path) as catalogue:
        catalogue.create_brand("acme")
        catalogue.register_many([original(i) for i in range(40)])
        catalogue.maintain()
        catalogue.withdraw("acme", "photo-00007")
        catalogue.snapshot()
    gone = original(7).vectors["pdq"].tobytes()
    kept = original(8).vectors["pdq"].tobytes()
    data = b"".join(p.read_bytes() for p in folders(tmp_path)[0].iterdir())
    assert kept in data
    assert gone not in data


def test_a_snapshot_is_written_when_due_and_at_close(tmp_path: Path) -> None:
    config = CatalogueConfig(background=False, snapshot_changes=10)
    catalogue = Catalogue.open(tmp_path, SPACES, SCHEMA, config, ticking())
    catalogue.create_brand("acme")
    catalogue.register_many([original(i) for i in range(9)])
    catalogue.maintain()
    assert catalogue.stats().snapshot is None
    catalogue.register(original(9))
    catalogue.maintain()
    stats = catalogue.stats()
    assert stats.snapshot is not None
    assert stats.snapshot.sequence == 10
    assert stats.snapshot_age_s is not None
    assert stats.snapshot_age_s > 0
    catalogue.register(original(10))
    catalogue.close()
    assert folders(tmp_path)[0].name.startswith(f"{11:020d}-")


def test_a_snapshot_that_can_not_be_written_is_named_and_leaves_the_previous_one(
    path: Path,
) -> None:
    with opened(path) as catalogue:
        before = folders(path)
        shutil.move(path / "snapshots", path / "moved")
        (path / "snapshots").write_text("in the way")
        with pytest.raises(SnapshotFailed, match="snapshots"):
            catalogue.snapshot()
        (path / "snapshots").unlink()
        shutil.move(path / "moved", path / "snapshots")
        assert folders(path) == before
        assert catalogue.snapshot().sequence == catalogue.stats().sequence


def test_a_snapshot_taken_during_writes_is_one_state_of_all_spaces(tmp_path: Path) -> None:
    config = CatalogueConfig(live=LiveOptions(seal_rows=16), snapshot_changes=7, snapshots_kept=50)
    with Catalogue.open(tmp_path, SPACES, SCHEMA, config, ticking()) as catalogue:
        catalogue.create_brand("acme")
        for i in range(120):
            catalogue.register(original(i))
            if i % 3 == 0:
                catalogue.withdraw("acme", f"photo-{i:05d}")
        origin = catalogue._opened.origin
        log = catalogue.changes(limit=1000)
    snapshots = Snapshots(tmp_path / "snapshots", keep=50)
    assert len(snapshots.found()) > 1
    for name in snapshots.found():
        info, pieces = snapshots.load(name, origin, IndexOptions())
        held: set[int] = set()
        for change in log[: info.sequence]:
            held ^= {change.key}
        for space in SPACES:
            keys = [key for piece in pieces[space.name] for key in piece.keys.tolist()]
            assert sorted(keys) == sorted(held)
