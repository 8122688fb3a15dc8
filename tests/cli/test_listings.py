"""`copycatch listings` against a server that remembers, and one that does not."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from copycatch.v1 import match_service_pb2 as match_pb2
from service.access.keys import KeyStore
from service.access.roles import Role
from service.cli import local
from service.cli.main import app
from tests.cli.conftest import QUICK, Run
from tests.kit.images import encode, photo


def test_what_is_remembered_of_a_listing_is_shown_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with local.serving(tmp_path, 60.0, **QUICK, memory_listings=10) as client:
        monkeypatch.setenv("COPYCATCH_SERVER", client.target)
        monkeypatch.setenv("COPYCATCH_API_KEY", client.credentials.api_key)

        def run(*arguments: str) -> tuple[int, str]:
            done = CliRunner().invoke(app, ["listings", *arguments], input="n\n")
            return done.exit_code, done.output

        for name in ("offer/1", "offer/2"):
            listing = match_pb2.Listing(
                listing_id=name, seller="shop", images=[encode(photo("chelsea"))]
            )
            client.call(client.match.CheckListing, match_pb2.CheckListingRequest(listing=listing))
        code, shown = run("show", "offer/1")
        assert code == 0 and "shop" in shown and "of 1 picture" in shown
        assert run("show", "offer/1", "--json")[1].startswith('{"listing_id": "offer/1"')
        code, said = run("delete", "offer/1")
        assert code == 2 and "nothing deleted" in said
        assert run("delete", "offer/1", "offer/2", "--yes") == (
            0,
            "deleted offer/1\ndeleted offer/2\n",
        )
        code, said = run("show", "offer/1")
        assert code == 2 and "LISTING_NOT_FOUND" in said and "'offer/1'" in said
        assert run("delete", "offer/1", "--yes")[0] == 2
        assert run("delete", "offer/1", "--yes", "--allow-missing", "--json") == (
            0,
            '{"deleted": "offer/1"}\n',
        )


def test_originals_that_came_later_are_looked_for_among_remembered_listings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gallery: Path
) -> None:
    with local.serving(tmp_path, 60.0, **QUICK, memory_listings=10) as client:
        monkeypatch.setenv("COPYCATCH_SERVER", client.target)
        monkeypatch.setenv("COPYCATCH_API_KEY", client.credentials.api_key)
        runner = CliRunner()
        for name in ("coffee", "china"):
            listing = match_pb2.Listing(listing_id=name, images=[encode(photo(name))])
            client.call(client.match.CheckListing, match_pb2.CheckListingRequest(listing=listing))
        late = ["--brand", "late", "--create-brand"]
        done = runner.invoke(app, ["register", str(gallery / "originals"), *late])
        assert done.exit_code == 0, done.output
        done = runner.invoke(
            app,
            ["sweep", "start", "--remembered", "--original", "late/coffee", "--id", "r", "--wait"],
        )
        assert done.exit_code == 1, done.output
        assert "listings that could be copies; the others are clear" in done.output
        assert "all remembered listings" in done.output
        assert "remembered listings" in runner.invoke(app, ["sweep", "list"]).output
        found = runner.invoke(app, ["sweep", "findings", "r"]).output
        assert "coffee" in found and "china" not in found
        both = runner.invoke(app, ["sweep", "start", "listings.csv", "--remembered"])
        assert both.exit_code == 2 and "--remembered alone" in both.stderr


def test_an_owner_sweeps_for_its_own_brand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gallery: Path
) -> None:
    with local.serving(tmp_path, 60.0, **QUICK, memory_listings=10) as client:
        monkeypatch.setenv("COPYCATCH_SERVER", client.target)
        monkeypatch.setenv("COPYCATCH_API_KEY", client.credentials.api_key)
        runner = CliRunner()
        listing = match_pb2.Listing(listing_id="coffee", images=[encode(photo("coffee"))])
        client.call(client.match.CheckListing, match_pb2.CheckListingRequest(listing=listing))
        late = ["--brand", "late", "--create-brand"]
        done = runner.invoke(app, ["register", str(gallery / "originals"), *late])
        assert done.exit_code == 0, done.output
        done = runner.invoke(app, ["sweep", "start", "--remembered", "--id", "ours", "--wait"])
        assert done.exit_code == 1, done.output
        with KeyStore.open(tmp_path) as keys:
            _, secret = keys.create("late", Role.OWNER, brands=["late"])
        monkeypatch.setenv("COPYCATCH_API_KEY", secret)

        def sweep(*words: str, code: int = 0) -> str:
            done = runner.invoke(app, ["sweep", *words])
            assert done.exit_code == code, done.output
            return done.output

        assert "name the brand" in sweep("start", "--remembered", code=2)
        made = ("start", "--remembered", "--of", "late", "--id", "mine")
        assert "brands/late/sweeps/mine" in sweep(*made, "--wait", code=1)
        assert "late/mine" in sweep("list") and "ours" not in sweep("list")
        assert sweep("list", "--of", "late") == sweep("list")
        assert "coffee" in sweep("findings", "late/mine")
        assert sweep("show", "late/mine") == sweep("show", "brands/late/sweeps/mine")
        assert "late/coffee" in sweep("report", "late/mine", "--by", "original")
        sweep("export", "late/mine", str(tmp_path / "mine.csv"))
        assert "brands/late/originals/coffee" in (tmp_path / "mine.csv").read_text()
        assert "SWEEP_NOT_FOUND" in sweep("show", "ours", code=2)
        assert "SWEEP_FINISHED" in sweep("cancel", "late/mine", code=2)
        data = ("--local", str(tmp_path))
        assert "--of goes with a server" in sweep(*made, *data, code=2)


def test_a_server_without_a_memory_says_which_setting_gives_it_one(run: Run) -> None:
    done = run("listings", "show", "offer-1")
    assert done.exit_code == 2
    assert "memory_listings" in done.stderr
    done = run("sweep", "start", "--remembered")
    assert done.exit_code == 2
    assert "memory_listings" in done.stderr
