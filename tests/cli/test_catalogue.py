"""What a server holds, as people read it: nothing, one of a kind, and what a key is not told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.access.keys import KeyStore
from service.access.roles import Role
from service.cli import local
from service.cli.main import app
from tests.cli.conftest import QUICK, Run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run `copycatch` with a server of its own that holds nothing."""
    with local.serving(tmp_path / "data", 60.0, **QUICK) as client:
        monkeypatch.setenv("COPYCATCH_SERVER", client.target)
        monkeypatch.setenv("COPYCATCH_API_KEY", client.credentials.api_key)
        yield lambda *words, **more: CliRunner().invoke(app, [*map(str, words)], **more)


def test_an_empty_list_says_that_it_is_empty(run: Run) -> None:
    assert run("brands", "list").stdout.startswith("no brand yet")
    assert run("sweep", "list").stdout.startswith("no sweep yet")
    assert run("brands", "create", "acme").exit_code == 0
    assert "acme has no programme yet" in run("programmes", "list", "--brand", "acme").stdout
    sellers = run("sellers", "list", "--brand", "acme")
    assert (sellers.stdout, sellers.stderr.strip()) == ("", "no seller in brands/acme")
    for words in (("brands",), ("sweep",), ("programmes",), ("sellers",)):
        brand = ("--brand", "acme") if words[0] in ("programmes", "sellers") else ()
        listed = run(*words, "list", *brand, "--json").stdout
        assert all(line.startswith("{") for line in listed.splitlines())


def test_one_of_a_kind_is_singular(run: Run, gallery: Path) -> None:
    run("brands", "create", "acme")
    run("register", gallery / "originals/cat.png", "--brand", "acme")
    assert "1 original of acme" in run("originals", "list", "--brand", "acme").stdout
    assert "1 seller added" in run("sellers", "add", "s1", "--brand", "acme").stdout
    run("licences", "create", "--brand", "acme", "--all", "--seller", "dealer")
    assert "1 licence of acme" in run("licences", "list", "--brand", "acme").stdout
    assert "1 original of 1 brand " in run("info").stdout


def test_info_leaves_out_what_an_owner_is_not_told(run: Run, tmp_path: Path) -> None:
    run("brands", "create", "acme")
    with KeyStore.open(tmp_path / "data") as keys:
        _, secret = keys.create("acme", Role.OWNER, brands=["acme"])
    shown = run("info", env={"COPYCATCH_API_KEY": secret}).stdout
    assert "not told to this key" in shown
    assert "0 originals" not in shown
    assert "0 originals of 1 brand" in run("info").stdout


def test_a_preview_is_written_as_what_it_is_or_not_at_all(
    run: Run, gallery: Path, tmp_path: Path
) -> None:
    run("brands", "create", "acme")
    run("register", gallery / "originals/cat.png", "--brand", "acme")
    done = run("originals", "show", "acme/cat", "--preview", tmp_path / "cat.jpg")
    assert done.exit_code == 2
    assert "cat.webp" in done.stderr
    assert not (tmp_path / "cat.jpg").exists()
    assert run("originals", "show", "acme/cat", "--preview", tmp_path / "c.WebP").exit_code == 0


def test_an_exported_log_is_counted_and_named(run: Run, gallery: Path, tmp_path: Path) -> None:
    run("brands", "create", "acme")
    out = tmp_path / "audit.jsonl"
    done = run("audit", "export", "--out", out)
    count = len(out.read_text().splitlines()) - 1  # the head is the last line
    words = "1 entry" if count == 1 else f"{count} entries"
    assert f"wrote {words} to" in done.stdout and "audit.jsonl" in done.stdout
    assert "wrote" not in run("audit", "export").stdout
    kept = run("audit", "export", "--out", out)
    assert kept.exit_code == 2
    assert f"--out {out} is there already: name another file, or add --overwrite" in kept.stderr
    assert "wrote" in run("audit", "export", "--out", out, "--overwrite").stdout


def test_pictures_are_counted_from_one_in_a_replay(run: Run, gallery: Path) -> None:
    run("brands", "create", "acme")
    run("register", gallery / "originals/coffee.png", "--brand", "acme")
    checked = run("check", gallery / "listings/same.png", "--json").stdout
    entry = checked.split('"audit_entry": "')[1].split('"')[0]
    shown = run("replay", entry).stdout
    assert "│ 1 " in shown and "│ 0 " not in shown
