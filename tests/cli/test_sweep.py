"""`copycatch sweep`: against a server, and alone over a data folder."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli import local
from service.cli.main import app
from service.cli.sweep_export import COLUMNS
from tests.cli.conftest import QUICK
from tests.sweeps.kit import blank, original, stolen, write_csv


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with an original of acme, and beside it a manifest that names a copy of it."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "cup.png").write_bytes(original(1))
    (folder / "cup.bmp").write_bytes(stolen(1))
    (folder / "blank.png").write_bytes(blank())
    rows = [
        {"listing_id": "copy", "seller": "=shop", "path": "cup.bmp"},
        {"listing_id": "clear", "seller": "honest", "path": "blank.png"},
        {"listing_id": "lost", "seller": "honest", "path": "lost.png"},
    ]
    write_csv(folder / "m.csv", rows)
    with local.serving(folder / "data", 60.0, **QUICK) as client:
        arguments = ["register", str(folder / "cup.png"), "--brand", "acme", "--create-brand"]
        shown = {"COPYCATCH_API_KEY": client.credentials.api_key}
        done = CliRunner().invoke(app, [*arguments, "--server", client.target], env=shown)
        assert done.exit_code == 0, done.output
    return folder


def alone(data: Path, *arguments: object, **keywords: object) -> Result:
    """Run `copycatch sweep` over the data folder."""
    words = ["sweep", *map(str, arguments), "--local", str(data / "data")]
    done = CliRunner().invoke(app, words, **keywords)  # type: ignore[arg-type]
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPYCATCH_ENCODER", "toy")
    monkeypatch.setenv("COPYCATCH_CLIP", "off")


def test_a_sweep_without_a_server_is_read_afterwards(data: Path) -> None:
    done = alone(data, "start", data / "m.csv", "--id", "first")
    assert done.exit_code == 1, done.output
    assert "3 of 3 listings" in done.stdout
    shown = alone(data, "findings", "first").stdout
    assert "copy" in shown and "acme/cup" in shown and "SOURCE_NOT_FOUND" in shown
    assert "clear" not in shown.lower()
    everything = alone(data, "findings", "first", "--all", "--json").stdout.splitlines()
    assert [json.loads(line)["listing_id"] for line in everything] == ["copy", "clear", "lost"]
    report = alone(data, "report", "first").stdout
    assert "=shop" in report and "acme/cup (1)" in report
    assert "acme/cup" in alone(data, "report", "first", "--by", "original").stdout
    assert "SUCCEEDED" in alone(data, "list").stdout
    assert alone(data, "wait", "first").exit_code == 1
    again = alone(data, "cancel", "first")
    assert again.exit_code == 2
    assert "SWEEP_FINISHED" in again.stderr


def test_findings_are_exported(data: Path, tmp_path: Path) -> None:
    alone(data, "start", data / "m.csv", "--id", "exported")
    done = alone(data, "export", "exported", tmp_path / "f.csv", "--all")
    assert "wrote 3 rows" in done.stdout
    with (tmp_path / "f.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert [row["listing_id"] for row in rows] == ["copy", "clear", "lost"]
    assert rows[0]["seller"] == "'=shop"  # no spreadsheet takes it for a formula
    assert rows[0]["original"] == "brands/acme/originals/cup"
    assert rows[2]["error_reason"] == "SOURCE_NOT_FOUND"
    kept = alone(data, "export", "exported", tmp_path / "f.csv")
    assert kept.exit_code == 2
    assert "is there already: name another file, or add --overwrite" in " ".join(
        kept.stderr.split()
    )
    anew = alone(data, "export", "exported", tmp_path / "f.csv", "--overwrite")
    assert "wrote 2 rows" in anew.stdout
    assert alone(data, "export", "exported", tmp_path / "f.xlsx").exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["f.csv"]
    nowhere = alone(data, "export", "exported", tmp_path / "none/f.csv")
    assert nowhere.exit_code == 2
    assert "none/f.csv" in nowhere.stderr.replace("\n", "") and ".part" not in nowhere.stderr
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `sweeps` is not installed")
    assert alone(data, "export", "exported", tmp_path / "f.parquet").exit_code == 0
    table = parquet.read_table(tmp_path / "f.parquet")
    assert table.column("listing_id").to_pylist() == ["copy", "lost"]
    assert table.column("seller").to_pylist() == ["=shop", "honest"]
    assert table.column("score").to_pylist() == [1.0, None]


def test_a_manifest_that_the_server_may_not_or_can_not_read_says_what_to_do(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(*words: object) -> str:
        done = CliRunner().invoke(app, ["sweep", "start", *map(str, words)])
        assert done.exit_code == 2
        return " ".join(done.stderr.split())

    for name, roots in (("none", ()), ("one", (data,))):
        with local.serving(tmp_path / name, 60.0, **QUICK, sweep_roots=roots) as client:
            monkeypatch.setenv("COPYCATCH_SERVER", client.target)
            monkeypatch.setenv("COPYCATCH_API_KEY", client.credentials.api_key)
            assert CliRunner().invoke(app, ["brands", "create", "acme"]).exit_code == 0
            if not roots:
                refused = told(data / "m.csv")
                assert "the setting sweep_roots allows no folder at all (" in refused
                assert "on its machine --local DATA_DIR" in refused
                continue
            assert f"allows {data}, with links resolved (" in told(tmp_path / "m.csv")
            lost = told(data / "lost.csv")
            assert f"there is no '{data / 'lost.csv'}'" in lost
            assert "a path is as the server sees it" in lost
            owners = told(data / "m.csv", "--of", "acme")
            assert "allows the sweeps of brands no folder, since it has none with {brand}" in owners
            assert "ask the server's operator" in owners and "--local" not in owners


def test_what_can_not_be_done_is_said_in_a_line(data: Path, tmp_path: Path) -> None:
    for arguments, says in (
        (("start", data / "nowhere.csv"), "there is no"),
        (("start", data / "m.csv", "--form", "xml"), "one of csv, parquet"),
        (("start", data / "m.csv", "--brand", "nobody"), "BRAND_NOT_FOUND"),
        (("show", "nothing"), "copycatch sweep list"),
        (("findings", "nothing", "--verdict", "guilty"), "one of clear"),
        (("findings", "nothing", "--verdict", "Error"), "--failed shows the listings"),
        (("report", "nothing", "--by", "colour"), "--by seller or original"),
        (("start", "https://shop.example/m.csv"), "in COPYCATCH_SWEEP_URLS"),
    ):
        done = alone(data, *arguments)
        assert done.exit_code == 2, arguments
        assert says in " ".join(done.stderr.split()), done.stderr
    with local.serving(data / "data", 60.0, **QUICK):
        done = alone(data, "list")
    assert done.exit_code == 2
    assert "is in use by process" in done.stderr and "does not start" not in done.stderr
    done = CliRunner().invoke(app, ["sweep", "list", "--local", str(tmp_path)])
    assert done.exit_code == 2
    assert "no data folder" in done.stderr
