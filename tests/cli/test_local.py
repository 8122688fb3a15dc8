"""Commands without a server: a real one runs inside the process, over a cached index."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from service.cli import local
from service.cli.ingest import Ingest
from service.cli.main import app
from service.cli.sources import Item
from tests.cli.conftest import QUICK
from tests.kit.images import encode, photo
from tests.service.test_helpers import children


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Servers that start in a moment, with a cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("COPYCATCH_SERVER", raising=False)
    for name, value in QUICK.items():
        monkeypatch.setenv(f"COPYCATCH_{name.upper()}", str(value))


@pytest.fixture
def folder(gallery: Path, tmp_path: Path) -> Path:
    """A copy of the gallery that the test may change."""
    return Path(shutil.copytree(gallery, tmp_path / "own"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def verdicts(folder: Path) -> dict[str, Any]:
    done = run("check", folder / "listings", "--local", folder / "originals", "--json")
    assert done.exit_code in (0, 1), done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {Path(row["path"]).name: row["verdict"] for row in rows}


def test_check_works_on_a_folder_of_originals(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done = run("check", folder / "listings", "--local", folder / "originals")
    assert done.exit_code == 1
    assert not [each for each in caplog.records if each.levelname == "WARNING"]
    assert "local/coffee" in done.stdout
    assert "2 checked: 1 CLEAR, 1 COPY" in done.stdout
    assert f"registering 3 pictures of {folder / 'originals'} as originals" in done.stderr
    again = run("check", folder / "listings", "--local", folder / "originals")
    assert again.stdout.splitlines()[-1] == done.stdout.splitlines()[-1]
    assert not again.stderr


def test_few_listings_are_looked_at_in_threads_unless_a_setting_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes of their own take longer to start than a few listings take."""
    originals, before = folder / "originals", children(os.getpid())
    monkeypatch.delenv("COPYCATCH_MATCHING")
    with local.holding(originals, 60.0, listings=2):
        assert children(os.getpid()) == before
    with local.holding(originals, 60.0, listings=local.PROCESSES_FROM):
        assert len(children(os.getpid())) > len(before)
    monkeypatch.setenv("COPYCATCH_MATCHING", "processes")
    with local.holding(originals, 60.0, listings=2):
        assert len(children(os.getpid())) > len(before)


def test_a_second_run_follows_what_has_changed_in_the_folder(folder: Path) -> None:
    assert verdicts(folder) == {"same.png": "COPY", "other.jpg": "CLEAR"}
    (folder / "originals/coffee.png").unlink()
    (folder / "originals/rocket.png").write_bytes(encode(photo("china"), "PNG"))
    (folder / "listings/other.jpg").write_bytes((folder / "originals/rocket.png").read_bytes())
    assert verdicts(folder) == {"same.png": "CLEAR", "other.jpg": "COPY"}


def test_a_picture_that_can_not_be_an_original_is_named_and_left_out(folder: Path) -> None:
    (folder / "originals/notes.png").write_bytes(b"no picture")
    (folder / "originals/lost.png").symlink_to(folder / "gone.png")
    asked = ("check", folder / "listings", "--local", folder / "originals")
    done = run(*asked)
    assert done.exit_code == 2  # a listing may well copy what was left out
    assert done.stderr.count("not used: ") == 2
    assert "notes.png" in done.stderr
    last = f"the answers are without 2 originals of {folder / 'originals'}"
    assert "1 COPY" in done.stdout.splitlines()[-2]
    assert last in done.stdout.splitlines()[-1]
    scripted = run(*asked, "--json")
    assert scripted.exit_code == 2
    assert len(scripted.stdout.splitlines()) == 2
    assert last in scripted.stderr.splitlines()[-1]


def test_the_index_is_kept_between_runs_and_made_anew_when_it_is_damaged(
    folder: Path, tmp_path: Path
) -> None:
    verdicts(folder)
    kept = list((tmp_path / "cache/copycatch/local").iterdir())
    assert len(kept) == 1
    for file in kept[0].rglob("*"):
        if file.is_file():
            file.write_bytes(b"damaged")
    done = run("check", folder / "listings", "--local", folder / "originals")
    assert done.exit_code == 1
    assert "made anew" in done.stderr
    assert verdicts(folder)["same.png"] == "COPY"


def test_two_runs_over_one_folder_do_not_disturb_each_other(folder: Path) -> None:
    with local.holding(folder / "originals", 60.0) as client:
        assert client.info().original_count == 3
        done = run("check", folder / "listings", "--local", folder / "originals")
        assert done.exit_code == 1
        assert "in use by another run" in done.stderr


def test_compare_works_without_a_server(folder: Path) -> None:
    same = folder / "listings/same.png"
    done = run("compare", same, folder / "originals/coffee.png", "--local")
    assert done.exit_code == 1
    assert done.stdout.startswith("COPY")


def test_a_wrong_setting_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPYCATCH_ENCODER", "nonsense")
    same = folder / "listings/same.png"
    done = run("compare", same, same, "--local")
    assert done.exit_code == 2
    assert "encoder" in done.stderr
    assert "Traceback" not in done.output


def test_the_demo_runs_on_the_users_own_pictures(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "page"
    done = run(
        *("demo", "--originals", folder / "originals", "--listings", folder / "listings"),
        *("--out", out, "--encoder", "toy"),
    )
    assert done.exit_code == 0, done.output
    assert "mine/coffee" in done.stdout
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "mine/coffee" in page
    assert page.count("<article") == 2


def test_the_demo_goes_on_past_a_listing_that_can_not_be_checked(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "listings/lost.jpg").symlink_to(folder / "gone.jpg")
    (folder / "listings/text.jpg").write_text("no picture")
    done = run(
        *("demo", "--originals", folder / "originals", "--listings", folder / "listings"),
        *("--out", tmp_path / "page", "--encoder", "toy"),
    )
    assert done.exit_code == 2, done.output
    assert "UNREADABLE" in done.stdout and "IMAGE_UNDECODABLE" in done.stdout
    assert "2 listings checked, median" in done.stdout
    assert "; 2 could not be; the server is stopped" in done.stdout
    assert (tmp_path / "page/index.html").read_text(encoding="utf-8").count("<article") == 4


def test_the_demo_wants_both_folders_or_none(folder: Path, tmp_path: Path) -> None:
    done = run("demo", "--originals", folder / "originals", "--out", tmp_path)
    assert done.exit_code == 2
    assert "--originals and --listings belong together" in done.stderr


@pytest.mark.slow
def test_the_demo_answers_as_it_expects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COPYCATCH_ENCODER")
    done = run("demo", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert "✗" not in done.stdout
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "18 of 18" in page


def test_an_import_goes_on_where_it_stopped_after_a_restart(tmp_path: Path) -> None:
    """What the first server had acknowledged is there afterwards, and is not sent again."""
    data = {name: encode(photo(name), "PNG") for name in ("coffee", "chelsea", "rocket")}
    items = [
        Item(name, "acme", name, len(blob), lambda blob=blob: blob)  # type: ignore[misc]
        for name, blob in data.items()
    ]
    acknowledged = []
    with local.serving(tmp_path / "data", 60.0, **QUICK) as client:
        ingest = Ingest(client, create_brands=True, on_brand=lambda brand: None)
        for done in ingest.run(items[:2]):
            acknowledged.append(done.original)
    with local.serving(tmp_path / "data", 60.0, **QUICK) as client:
        ingest = Ingest(client, create_brands=True, on_brand=lambda brand: None)
        outcomes = {done.name: done.outcome for done in ingest.run(items)}
    assert len(acknowledged) == 2
    assert outcomes == {
        "coffee": "ALREADY_PRESENT",
        "chelsea": "ALREADY_PRESENT",
        "rocket": "CREATED",
    }
