"""What a command says of a mistake names the thing and what to do, before any work is lost."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.access.keys import KeyStore
from service.access.roles import Role
from service.cli import local
from service.cli.main import app
from tests.cli.conftest import QUICK, Run
from tests.kit.images import draw, encode


@pytest.fixture
def owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    """Run `copycatch` with the key of an owner of acme, on a server that has just that brand."""
    with local.serving(tmp_path / "data", 60.0, **QUICK) as client:
        monkeypatch.setenv("COPYCATCH_SERVER", client.target)
        monkeypatch.setenv("COPYCATCH_API_KEY", client.credentials.api_key)
        made = CliRunner().invoke(app, ["brands", "create", "acme"])
        assert made.exit_code == 0, made.output
        with KeyStore.open(tmp_path / "data") as keys:
            _, secret = keys.create("acme", Role.OWNER, brands=["acme"])
        monkeypatch.setenv("COPYCATCH_API_KEY", secret)
        yield lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_an_owner_is_told_what_an_owner_can_do(owner: Callable[..., Result], gallery: Path) -> None:
    done = owner("disputes", "list")
    assert done.exit_code == 2
    assert "name one of them with --brand ID" in done.stderr
    assert owner("disputes", "list", "--brand", "acme").exit_code == 0
    done = owner("originals", "list", "--brand", "many")
    assert done.exit_code == 2
    assert "`copycatch brands list` shows those that your key sees" in done.stderr
    done = owner("check", gallery / "listings/same.png")
    assert done.exit_code == 2
    assert "a role that may: admin, pipeline, analyst" in done.stderr


def test_an_address_is_written_without_a_scheme(run: Run) -> None:
    done = run("info", "--server", "http://127.0.0.1:50051/")
    assert done.exit_code == 2
    assert "write host:port alone, as in 127.0.0.1:50051" in done.stderr


def test_an_import_that_a_second_run_does_not_mend_says_no_such_thing(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "bad.csv").write_text("file\na.png\n")
    (tmp_path / "many").mkdir()
    (tmp_path / "many/a.png").write_bytes(encode(draw(1), "PNG"))
    for source, remedy in (("bad.csv", "its first line names"), ("many", "give --brand ID")):
        done = run("import", tmp_path / source)
        assert done.exit_code == 2
        assert remedy in done.stderr
        assert "run the same command again" not in done.stderr
        assert "registered so far" not in done.stderr


def test_an_import_that_breaks_off_says_how_much_is_there(run: Run, tmp_path: Path) -> None:
    assert run("brands", "create", "half").exit_code == 0
    for folder in ("half", "whole"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(encode(draw(len(folder)), "PNG"))
    done = run("import", tmp_path)
    assert done.exit_code == 2
    assert "add --create-brand" in done.stderr
    assert "(1 registered so far)" in done.stderr
    assert "again" not in done.stderr
    assert run("import", tmp_path, "--create-brand").exit_code == 0


def test_an_empty_file_is_called_so_by_every_command(run: Run, gallery: Path) -> None:
    assert run("brands", "create", "void").exit_code == 0
    empty, cup = gallery.parent / "empty.png", gallery / "originals/cat.png"
    empty.write_bytes(b"")
    for words in (("register", empty, "--brand", "void"), ("check", empty)):
        done = run(*words)
        assert "IMAGE_EMPTY" in done.stdout
        assert "has no bytes" in " ".join(done.stdout.split())
    done = run("compare", cup, empty)
    assert done.exit_code == 2
    assert f"{empty}: The image has no bytes" in done.stderr


def test_comparing_says_which_of_the_two_is_no_picture(run: Run, gallery: Path) -> None:
    text, cup = gallery.parent / "text.jpg", gallery / "originals/cat.png"
    text.write_text("no picture")
    for pair in ((text, cup), (cup, text)):
        done = run("compare", *pair)
        assert done.exit_code == 2
        assert f"error: {text}: The image cannot be read" in done.stderr


def test_a_target_that_can_not_be_written_is_found_before_the_work(
    run: Run, gallery: Path, tmp_path: Path
) -> None:
    lost, originals = tmp_path / "none/failures.csv", gallery / "originals"
    done = run("import", originals, "--brand", "early", "--create-brand", "--failures", lost)
    assert done.exit_code == 2
    assert f"--failures {lost}: there is no folder {lost.parent}" in done.stderr
    assert "brands/early" not in run("brands", "list", "--json").stdout
    cup, cat = originals / "coffee.png", originals / "cat.png"
    done = run("compare", cup, cat, "--out", tmp_path)
    assert done.exit_code == 2
    assert "ends in .png" in done.stderr
    done = run("compare", cup, cat, "--out", tmp_path / "pair.txt")
    assert done.exit_code == 2
    assert "ends in .png" in done.stderr
    done = run("compare", cup, cat, "--out", lost.with_suffix(".png"))
    assert done.exit_code == 2
    assert "there is no folder" in done.stderr


def test_a_question_that_nobody_answers_names_the_way_around_it(run: Run, gallery: Path) -> None:
    assert run("brands", "create", "asked").exit_code == 0
    cat = gallery / "originals/cat.png"
    assert run("register", cat, "--brand", "asked", "--json").exit_code == 0
    done = run("originals", "delete", "asked/cat", input="")
    assert done.exit_code == 2
    assert "nothing deleted, since nobody is there to be asked: add --yes" in done.stderr
    assert "Aborted" not in done.output
    shown = run("originals", "show", "asked/cat", "--json")
    assert json.loads(shown.stdout)["name"] == "brands/asked/originals/cat"
