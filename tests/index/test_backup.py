"""Backups: one state, taken while others write; whole when put back, and refused when not."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from index.backup import BackupCorrupt, FolderNotEmpty, read_manifest, restore
from index.catalogue import Catalogue
from index.chain import Anchor, verify
from index.disk import StoreFull, StoreMissing
from index.reader import TABLES, open_view
from service.cli.main import app
from tests.index.data.make_store import CONFIG
from tests.index.kit import SCHEMA, SPACES, original, rows, ticking
from tests.index.test_store import small_disk

__all__ = ["small_disk"]

COMMAND = [sys.executable, "-m", "service.cli.main"]


def run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.output


def contents(folder: Path) -> dict[str, list[tuple[bytes, bytes]]]:
    """Every pair of every table."""
    with open_view(folder) as view, view.read() as txn:
        return {table: txn.scan(table, limit=1_000_000) for table in (*TABLES, "meta")}


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    with Catalogue.open(path, SPACES, SCHEMA, CONFIG, ticking()) as catalogue:
        catalogue.create_brand("acme")
        catalogue.register_many([original(i) for i in range(50)])
        catalogue.snapshot()
    return path


def test_a_backup_that_is_taken_under_load_is_one_state_of_the_store(
    tmp_path: Path, stored: Path
) -> None:
    """Another process copies while this one writes; the copy is what was there at its change."""
    stop, count = threading.Event(), [50]

    def load(catalogue: Catalogue) -> None:
        while not stop.is_set():
            catalogue.register(original(count[0]))
            catalogue.withdraw("acme", f"photo-{count[0] - 40:05d}")
            count[0] += 1

    with Catalogue.open(stored, SPACES, SCHEMA, CONFIG, ticking()) as catalogue:
        writer = threading.Thread(target=load, args=(catalogue,))
        writer.start()
        try:
            for name in ("one", "two"):
                command = [*COMMAND, "backup", str(tmp_path / name), "--data-dir", str(stored)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr
        finally:
            stop.set()
            writer.join()
        manifests = [read_manifest(tmp_path / name) for name in ("one", "two")]
        assert 50 <= manifests[0].sequence < manifests[1].sequence <= catalogue.stats().sequence
        anchors = [Anchor.parse(manifest.audit_head) for manifest in manifests]
        assert verify(catalogue.audit.links(), anchors=anchors, whole=True)
        changes = {change.sequence: change for change in catalogue.changes(limit=1_000_000)}
    for name, manifest in zip(("one", "two"), manifests, strict=True):
        back = tmp_path / f"{name}-restored"
        assert run("restore", tmp_path / name, "--data-dir", back)[0] == 0
        # Every pair of the backup, and what the change log says was alive at that change.
        assert contents(back) == contents(tmp_path / name)
        alive: set[str] = set()
        for sequence in range(1, manifest.sequence + 1):
            change = changes[sequence]
            (alive.add if change.kind == "REGISTER" else alive.discard)(change.original)
        with Catalogue.open(back, SPACES, SCHEMA, CONFIG, ticking()) as catalogue:
            assert catalogue.stats().opened_from == "store"
            held = {record.original: record for record in catalogue.list("acme", 1000)}
            assert set(held) == alive
            for record in held.values():
                new = original(int(record.original[-5:]))
                assert catalogue.preview(record.key) == new.preview
                row = record.vectors["sscd"][None]
                assert catalogue.search("sscd", row, 1)[0][0].key == record.key
            assert len(catalogue.search("sscd", rows(SPACES[0], 1), 9999)[0]) == len(alive)
            anchor = Anchor.parse(manifest.audit_head)
            assert verify(catalogue.audit.links(), anchors=[anchor], whole=True).anchored


def test_a_backup_of_an_idle_store_differs_in_nothing(tmp_path: Path, stored: Path) -> None:
    (stored / "keys").mkdir()
    shutil.copy(stored / "data.mdb", stored / "keys")  # a store beside the catalogue's
    code, said = run("backup", tmp_path / "backup", "--data-dir", stored)
    assert code == 0 and "50 originals of 1 brand, as of change 50" in said
    assert sorted(p.name for p in (tmp_path / "backup").iterdir()) == [
        "data.mdb",
        "keys",
        "manifest.json",
    ]
    code, said = run("restore", tmp_path / "backup", "--data-dir", tmp_path / "back", "--json")
    assert code == 0 and json.loads(said.splitlines()[-1])["originals"] == 50
    assert contents(tmp_path / "back") == contents(stored)
    assert contents(tmp_path / "back/keys") == contents(stored)
    assert (tmp_path / "back/keys/data.mdb").stat().st_mode & 0o077 == 0
    assert all((tmp_path / name).stat().st_mode & 0o077 == 0 for name in ("backup", "back"))


@pytest.mark.parametrize("damage", ["flip", "cut", "missing", "manifest"])
def test_a_damaged_backup_is_refused_by_the_name_of_the_file(
    tmp_path: Path, stored: Path, damage: str
) -> None:
    folder = tmp_path / "backup"
    assert run("backup", folder, "--data-dir", stored)[0] == 0
    file = folder / ("manifest.json" if damage == "manifest" else "data.mdb")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(data[:-4096] if damage == "cut" else data)
    with pytest.raises(BackupCorrupt, match=file.name):
        restore(folder, tmp_path / "back")
    assert not list(tmp_path.glob("*back")) and not list(tmp_path.glob(".*"))
    code, said = run("restore", folder, "--data-dir", tmp_path / "back")
    assert code == 2 and "damaged" in said


def test_nothing_is_ever_written_over(tmp_path: Path, stored: Path) -> None:
    assert run("backup", tmp_path / "backup", "--data-dir", stored)[0] == 0
    before = contents(stored)
    with pytest.raises(FolderNotEmpty, match="data"):
        restore(tmp_path / "backup", stored)
    assert contents(stored) == before
    code, said = run("backup", tmp_path / "backup", "--data-dir", stored)
    assert code == 2 and "not empty" in said
    (tmp_path / "empty").mkdir()
    assert restore(tmp_path / "backup", tmp_path / "empty").counts["originals"] == 50


def test_what_is_no_data_folder_is_named(tmp_path: Path) -> None:
    from index.backup import backup

    with pytest.raises(StoreMissing, match="nothing"):
        backup(tmp_path / "nothing", tmp_path / "backup", 0)
    assert not list(tmp_path.iterdir())


def test_a_backup_that_is_not_there_is_not_called_damaged(tmp_path: Path) -> None:
    code, said = run("restore", tmp_path / "nothing", "--data-dir", tmp_path / "back")
    assert code == 2
    assert f"there is no backup in {tmp_path / 'nothing'}" in said
    assert not list(tmp_path.iterdir())


def test_a_place_where_no_folder_can_be_made_is_named_as_it_was_given(
    tmp_path: Path, stored: Path
) -> None:
    (tmp_path / "file").touch()
    target = tmp_path / "file/backup"
    code, said = run("backup", target, "--data-dir", stored)
    assert code == 2
    assert f"error: {target} can not be made: {target.parent} is no folder; name a place" in said
    assert run("backup", tmp_path / "backup", "--data-dir", stored)[0] == 0
    code, said = run("restore", tmp_path / "backup", "--data-dir", target)
    assert code == 2
    assert f"error: {target} can not be made: " in said


def test_a_disk_that_is_too_small_for_a_backup_is_named(
    tmp_path: Path, stored: Path, small_disk: Path
) -> None:
    with Catalogue.open(stored, SPACES, SCHEMA, CONFIG, ticking()) as catalogue:
        catalogue.register_many([original(i, preview=b"x" * 100_000) for i in range(100, 140)])
    code, said = run("backup", small_disk / "backup", "--data-dir", stored)
    assert code == 2 and "is full" in said
    assert not list(small_disk.iterdir())
    assert run("backup", tmp_path / "backup", "--data-dir", stored)[0] == 0
    with pytest.raises(StoreFull):
        restore(tmp_path / "backup", small_disk / "back")
    assert not list(small_disk.iterdir())
