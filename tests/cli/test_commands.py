"""Every client command against a real server: what it prints, and how it ends."""

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from service.cli import local
from service.cli.client import Client
from tests.cli.conftest import QUICK, Run
from tests.kit.images import draw, encode


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def brand(client: Client, gallery: Path) -> Iterator[str]:
    """A brand with the three originals of the gallery."""
    from typer.testing import CliRunner

    from service.cli.main import app

    arguments = ["register", str(gallery / "originals"), "--brand", "gallery", "--create-brand"]
    shown = {"COPYCATCH_API_KEY": client.credentials.api_key}
    done = CliRunner().invoke(app, [*arguments, "--server", client.target], env=shown)
    assert done.exit_code == 0, done.output
    yield "gallery"


def test_a_brand_is_created_and_listed(run: Run) -> None:
    assert run("brands", "create", "acme", "--display-name", "Acme Ltd").exit_code == 0
    listed = lines(run("brands", "list", "--json").stdout)
    assert "brands/acme" in [one["name"] for one in listed]
    assert "Acme Ltd" in run("brands", "list").stdout
    again = run("brands", "create", "acme")
    assert again.exit_code == 2
    assert "BRAND_EXISTS" in again.stderr
    assert len(again.stderr.strip().splitlines()) <= 2


def test_what_others_wrote_is_printed_as_it_is(run: Run) -> None:
    words = "[/red] [bold]Loud[/bold] shop:cat:1"  # markup and an emoji code, to a terminal library
    assert run("brands", "create", "loud", "--display-name", words).exit_code == 0
    assert words in run("brands", "list").output


def test_registering_creates_the_brand_when_asked_and_is_safe_to_repeat(
    run: Run, gallery: Path
) -> None:
    first = run("register", gallery / "originals", "--brand", "twice", "--create-brand")
    assert first.exit_code == 0
    assert "3 registered, 0 failed" in first.stdout
    assert "created the brand twice" in first.stderr
    again = run("register", gallery / "originals", "--brand", "twice", "--json")
    assert again.exit_code == 0
    assert {one["outcome"] for one in lines(again.stdout)} == {"ALREADY_PRESENT"}


def test_a_misspelt_brand_is_not_created(run: Run, gallery: Path) -> None:
    done = run("register", gallery / "originals", "--brand", "nobody")
    assert done.exit_code == 2
    assert "BRAND_NOT_FOUND" in done.stderr
    assert "`copycatch brands create nobody`, or add --create-brand" in done.stderr
    assert "brands/nobody" not in run("brands", "list", "--json").stdout


def test_one_picture_can_be_given_an_id(run: Run, gallery: Path) -> None:
    picture = gallery / "originals/cat.png"
    mine = ("--brand", "ids", "--id", "my-cat", "--create-brand")
    assert run("register", picture, *mine).exit_code == 0
    assert run("originals", "show", "ids/my-cat").exit_code == 0
    several = run("register", gallery / "originals", "--brand", "ids", "--id", "x")
    assert several.exit_code == 2
    assert "--id names one original, and there are 3 pictures" in several.stderr


def test_originals_are_listed_shown_and_deleted(run: Run, gallery: Path, tmp_path: Path) -> None:
    run("register", gallery / "originals", "--brand", "shelf", "--create-brand")
    listed = lines(run("originals", "list", "--brand", "shelf", "--json").stdout)
    assert [one["name"].rpartition("/")[2] for one in listed] == ["cat", "coffee", "rocket"]
    assert "shelf/cat" in run("originals", "list", "--brand", "shelf").stdout

    preview = tmp_path / "cat.webp"
    shown = run("originals", "show", "shelf/cat", "--preview", preview, "--json")
    assert lines(shown.stdout)[0]["width_px"] == 451
    with Image.open(preview) as rendition:
        assert rendition.size == (451, 300)
    assert "451 x 300 px" in run("originals", "show", "brands/shelf/originals/cat").stdout

    assert run("originals", "delete", "shelf/cat", "--yes").exit_code == 0
    gone = run("originals", "show", "shelf/cat")
    assert gone.exit_code == 2
    assert "ORIGINAL_NOT_FOUND" in gone.stderr


def test_deleting_asks_and_takes_no_for_an_answer(run: Run, gallery: Path) -> None:
    run("register", gallery / "originals/cat.png", "--brand", "kept", "--create-brand")
    done = run("originals", "delete", "kept/cat", input="n\n")
    assert done.exit_code == 2
    assert run("originals", "show", "kept/cat").exit_code == 0


def test_a_copy_is_found_and_a_stranger_is_clear(run: Run, brand: str, gallery: Path) -> None:
    found = run("check", gallery / "listings", "--brand", brand, "--json")
    assert found.exit_code == 1
    answers = {Path(one["path"]).name: one for one in lines(found.stdout)}
    assert answers["same.png"]["verdict"] == "COPY"
    assert answers["same.png"]["matches"][0]["original"] == f"brands/{brand}/originals/coffee"
    assert answers["other.jpg"]["verdict"] == "CLEAR"

    shown = run("check", gallery / "listings", "--brand", brand)
    assert "2 checked: 1 CLEAR, 1 COPY" in shown.stdout
    assert f"{brand}/coffee" in shown.stdout


def test_all_clear_ends_with_zero(run: Run, brand: str, gallery: Path) -> None:
    done = run("check", gallery / "listings/other.jpg", "--brand", brand)
    assert done.exit_code == 0
    assert "1 checked: 1 CLEAR" in done.stdout


def test_a_picture_that_can_not_be_checked_ends_with_two(
    run: Run, brand: str, gallery: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"this is no picture")
    shutil.copy(gallery / "listings/same.png", tmp_path)
    done = run("check", tmp_path, "--brand", brand)
    assert done.exit_code == 2
    assert "IMAGE_UNDECODABLE" in done.stdout
    assert "1 ERROR" in done.stdout
    assert "1 COPY" in done.stdout


def test_a_file_that_can_not_be_read_stops_no_other(
    run: Run, gallery: Path, tmp_path: Path
) -> None:
    shutil.copy(gallery / "listings/other.jpg", tmp_path)
    (tmp_path / "lost.jpg").symlink_to(tmp_path / "gone.jpg")
    done = run("check", tmp_path)
    assert done.exit_code == 2
    assert "2 checked: 1 ERROR, 1 CLEAR" in done.stdout
    assert "UNREADABLE" in done.stdout
    registered = run("register", tmp_path, "--brand", "unread", "--create-brand", "--json")
    assert registered.exit_code == 1
    failed = [one for one in lines(registered.stdout) if one["outcome"] == "FAILED"]
    assert [one["message"] for one in failed] == [
        "The file can not be read: No such file or directory. (see that the file is there, and "
        "that your user may read it)"
    ]
    imported = run("import", tmp_path, "--brand", "unread")
    assert "1 there already, 1 failed" in imported.stdout


def test_answers_for_scripts_have_every_field(run: Run, brand: str, gallery: Path) -> None:
    same, rocket = gallery / "listings/same.png", gallery / "originals/rocket.png"
    found = lines(run("check", same, "--brand", brand, "--json").stdout)[0]
    corner = found["matches"][0]["alignment"]["listing_region"][0]
    assert corner == {"x": 0.0, "y": 0.0}
    other = lines(run("compare", same, rocket, "--json").stdout)[0]
    assert {"supports", "context", "value", "threshold"} <= set(other["match"]["evidence"][0])
    assert {item["supports"] for item in other["match"]["evidence"]} >= {False}
    assert other["match"]["edits"] == [] and "evidence_image" not in other


def test_a_heic_file_gets_an_error_that_says_how_to_convert_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    done = run("check", tmp_path)
    assert done.exit_code == 2
    assert "heif-convert" in done.stdout
    assert "1 checked: 1 ERROR" in done.stdout


def test_a_picture_above_the_limit_is_refused_without_being_sent(
    run: Run, brand: str, tmp_path: Path
) -> None:
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(80 << 20)
    done = run("check", tmp_path, "--brand", brand, "--json")
    assert done.exit_code == 2
    details = lines(done.stdout)[0]["error"]["details"][0]
    assert details["reason"] == "IMAGE_TOO_LARGE"


def test_checking_against_a_brand_that_is_not_there_says_so(run: Run, gallery: Path) -> None:
    done = run("check", gallery / "listings", "--brand", "ghost")
    assert done.exit_code == 2
    assert "ghost" in done.stderr


def test_comparing_explains_and_draws(run: Run, gallery: Path, tmp_path: Path) -> None:
    out = tmp_path / "evidence.png"
    same, coffee = gallery / "listings/same.png", gallery / "originals/coffee.png"
    done = run("compare", same, coffee, "--out", out)
    assert done.exit_code == 1
    assert done.stdout.startswith("COPY")
    with Image.open(out) as evidence:
        assert evidence.format == "PNG"
    other = run("compare", gallery / "listings/other.jpg", coffee, "--json")
    assert other.exit_code == 0
    assert lines(other.stdout)[0]["match"]["evidence"]


def test_comparing_what_is_not_there_names_it(run: Run, gallery: Path) -> None:
    done = run("compare", gallery / "nothing.png", gallery / "originals/cat.png")
    assert done.exit_code == 2
    assert "nothing.png is not a file" in done.stderr


def test_info_tells_what_runs(run: Run) -> None:
    shown = run("info").stdout
    assert "encoder toy" in shown
    assert "16 MiB" in shown
    assert lines(run("info", "--json").stdout)[0]["ready"] is True


def test_an_import_reports_failures_and_goes_on_where_it_stopped(
    run: Run, gallery: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    shutil.copytree(gallery / "originals", folder)
    (folder / "notes.png").write_bytes(b"no picture")
    (folder / "blank.png").write_bytes(encode(Image.new("RGB", (300, 300), "white"), "PNG"))
    report = tmp_path / "failures.csv"

    first = run("import", folder, "--brand", "bulk", "--failures", report, "--create-brand")
    assert first.exit_code == 1
    assert "3 registered, 2 failed" in first.stdout
    assert "IMAGE_FEATURELESS" in first.stdout
    with report.open(encoding="utf-8") as file:
        rows = {row["picture"]: row["reason"] for row in csv.DictReader(file)}
    assert rows == {"notes.png": "IMAGE_UNDECODABLE", "blank.png": "IMAGE_FEATURELESS"}

    (folder / "notes.png").write_bytes(encode(draw(5), "PNG"))
    (folder / "blank.png").unlink()
    second = run("import", folder, "--brand", "bulk")
    assert second.exit_code == 0
    assert "1 registered, 3 there already, 0 failed" in second.stdout


def test_an_import_refuses_another_picture_under_a_taken_id(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(draw(1), "PNG"))
    run("import", tmp_path, "--brand", "taken", "--create-brand")
    (tmp_path / "a.png").write_bytes(encode(draw(2), "PNG"))
    done = run("import", tmp_path, "--brand", "taken", "--json")
    assert done.exit_code == 1
    assert lines(done.stdout)[0]["reason"] == "ORIGINAL_EXISTS"


def test_an_import_of_a_table_keeps_its_annotations(
    run: Run, gallery: Path, tmp_path: Path
) -> None:
    shutil.copy(gallery / "originals/cat.png", tmp_path / "cat.png")
    table = tmp_path / "list.csv"
    table.write_text("path,brand,id,sku\ncat.png,tabled,c1,A-7\nno.png,tabled,c2,A-8\n", "utf-8")
    done = run("import", table, "--create-brand")
    assert done.exit_code == 1
    assert "1 registered, 1 failed" in done.stdout
    shown = lines(run("originals", "show", "tabled/c1", "--json").stdout)[0]
    assert shown["annotations"] == {"sku": "A-7"}


def test_an_import_with_an_id_that_is_no_id_fails_for_that_row_alone(
    run: Run, gallery: Path, tmp_path: Path
) -> None:
    shutil.copy(gallery / "originals/cat.png", tmp_path / "cat.png")
    shutil.copy(gallery / "originals/rocket.png", tmp_path / "rocket.png")
    table = tmp_path / "list.csv"
    table.write_text("path,id\ncat.png,Not An Id\nrocket.png,fine\n", "utf-8")
    done = run("import", table, "--brand", "rows", "--create-brand", "--json")
    assert done.exit_code == 1
    outcomes = {one["name"]: one["outcome"] for one in lines(done.stdout)}
    assert outcomes == {"cat.png": "FAILED", "rocket.png": "CREATED"}


def test_no_command_shows_a_traceback_when_there_is_no_server(run: Run, gallery: Path) -> None:
    nowhere = ("--server", "127.0.0.1:1")
    picture = gallery / "originals/cat.png"
    for arguments in (
        ("info",),
        ("brands", "list"),
        ("originals", "list", "--brand", "x"),
        ("check", picture),
        ("compare", picture, picture),
        ("register", picture, "--brand", "x"),
        ("import", gallery / "originals", "--brand", "x"),
    ):
        done = run(*arguments, *nowhere)
        assert done.exit_code == 2, arguments
        assert "no server answers at 127.0.0.1:1" in done.stderr, arguments
        assert "Traceback" not in done.output, arguments


def test_licences_are_granted_listed_and_revoked(run: Run, brand: str, gallery: Path) -> None:
    listing = gallery / "listings/same.png"
    assert run("check", listing, "--brand", brand, "--seller", "shop-1").exit_code == 1
    terms = ["--seller", "shop-1", "--original", "coffee", "--until", "2999-01-01"]
    created = run("licences", "create", "--brand", brand, "--id", "summer", *terms)
    assert created.exit_code == 0, created.output
    assert f"brands/{brand}/licences/summer, ACTIVE" in created.stdout
    checked = run("check", listing, "--brand", brand, "--seller", "shop-1")
    assert checked.exit_code == 0
    assert "AUTHORISED" in checked.stdout and "licences/summer" in checked.stdout
    table = run("licences", "list", "--brand", brand).stdout
    assert f"{brand}/summer" in table and "2999-01-01" in table and "everywhere" in table
    assert lines(run("licences", "show", f"{brand}/summer", "--json").stdout)[0]["sellers"] == [
        "shop-1"
    ]
    assert run("licences", "revoke", f"{brand}/summer", input="n\n").exit_code == 2
    assert run("licences", "revoke", f"{brand}/summer", "--yes").exit_code == 0
    assert "REVOKED" in run("licences", "show", f"{brand}/summer").stdout
    assert run("check", listing, "--brand", brand, "--seller", "shop-1").exit_code == 1
    again = run("licences", "create", "--brand", brand, "--id", "summer", "--all", "--seller", "s")
    assert again.exit_code == 2 and "LICENCE_EXISTS" in again.stderr


def test_a_licence_needs_to_say_who_and_what_and_when(run: Run, brand: str) -> None:
    for terms, named in (
        (["--seller", "s"], "--all"),
        (["--seller", "s", "--all", "--tag", "a=b"], "--all"),
        (["--all"], "--programme"),
        (["--seller", "s", "--tag", "spring"], "KEY=VALUE"),
        (["--seller", "s", "--all", "--from", "tomorrow"], "2026-07-01"),
        (["--seller", "s", "--all", "--territory", "UK"], "GB"),
        (["--all", "--programme", "none"], "programmes create"),
    ):
        done = run("licences", "create", "--brand", brand, *terms)
        assert done.exit_code == 2, terms
        assert named in done.stderr, done.stderr


def test_a_licence_takes_names_as_the_lists_print_them(run: Run, brand: str) -> None:
    assert run("brands", "create", "stranger").exit_code == 0
    assert run("programmes", "create", f"{brand}/partners").exit_code == 0
    terms = ("--original", f"{brand}/cat", "--programme", f"{brand}/partners", "--json")
    made = lines(run("licences", "create", "--brand", brand, *terms).stdout)[0]
    assert made["originals"]["names"] == [f"brands/{brand}/originals/cat"]
    assert made["programmes"] == [f"brands/{brand}/programmes/partners"]
    named = ("--brand", brand, "--programme", f"{brand}/partners")
    assert run("sellers", "add", "seller-1", *named).exit_code == 0
    other = run("licences", "create", "--brand", "stranger", *terms[:2], "--seller", "x")
    assert other.exit_code == 2
    assert f"'{brand}/cat' is of another brand than stranger" in other.stderr
    assert "name the original's own with --brand" in other.stderr


def test_what_is_no_id_is_told_the_rule_in_words(run: Run, gallery: Path) -> None:
    for words in (
        ("brands", "create", "Bad Id"),
        ("check", gallery / "listings/other.jpg", "--brand", "Acme"),
    ):
        done = run(*words)
        assert done.exit_code == 2
        assert "1 to 63 lower-case letters (a to z), digits and hyphens" in done.stderr
        assert "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$" in done.stderr


def test_sellers_of_a_programme_and_of_a_brand(run: Run, brand: str, tmp_path: Path) -> None:
    assert run("programmes", "create", f"{brand}/dealers", "--display-name", "D").exit_code == 0
    assert f"{brand}/dealers" in run("programmes", "list", "--brand", brand).stdout
    file = tmp_path / "sellers.txt"
    file.write_text("".join(f"dealer-{i:04}\n" for i in range(1500)))
    dealers = ["--brand", brand, "--programme", "dealers"]
    assert "1,500 sellers added" in run("sellers", "add", *dealers, "--file", file).stdout
    assert run("sellers", "list", *dealers).stdout.splitlines()[:2] == [
        "dealer-0000",
        "dealer-0001",
    ]
    assert "1 seller removed" in run("sellers", "remove", "dealer-0000", *dealers).stdout
    assert len(run("sellers", "list", *dealers).stdout.splitlines()) == 1499
    assert run("sellers", "add", "flagship", "--brand", brand).exit_code == 0
    assert run("sellers", "list", "--brand", brand).stdout == "flagship\n"
    assert run("sellers", "remove", "flagship", "--brand", brand).exit_code == 0
    nobody = run("sellers", "add", "--brand", brand)
    assert nobody.exit_code == 2 and "--file" in nobody.stderr
    assert run("programmes", "delete", f"{brand}/dealers", "--yes").exit_code == 0
    assert run("sellers", "list", *dealers).exit_code == 2


def test_a_dispute_is_listed_shown_and_decided(
    run: Run, gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with local.serving(tmp_path / "data", 60.0, **{**QUICK, "conflict_check": "near"}) as comparing:
        monkeypatch.setenv("COPYCATCH_SERVER", comparing.target)
        monkeypatch.setenv("COPYCATCH_API_KEY", comparing.credentials.api_key)
        decide_a_dispute(run, gallery, tmp_path)


def decide_a_dispute(run: Run, gallery: Path, tmp_path: Path) -> None:
    cup = gallery / "originals/coffee.png"
    rightful = ("--brand", "rightful", "--id", "cup", "--create-brand")
    assert run("register", cup, *rightful).exit_code == 0
    second = run("register", cup, "--brand", "latecomer", "--id", "mine", "--create-brand")
    assert second.exit_code == 0
    assert "latecomer/originals/mine  registered, DISPUTED" in second.stdout
    assert "1 is DISPUTED: it copies an earlier original of another brand" in second.stderr
    assert "copycatch disputes list" in second.stderr
    assert "1 dispute waits for a decision" in run("disputes", "list").stdout
    assert "DISPUTED" in run("originals", "list", "--brand", "latecomer").stdout
    opened = [
        one
        for one in lines(run("disputes", "list", "--json").stdout)
        if one["newcomer"]["brand"] == "brands/latecomer"
        and one["earlier"]["brand"] == "brands/rightful"
    ]
    dispute = opened[0]["name"].rpartition("/")[2]
    assert dispute in run("disputes", "list", "--brand", "latecomer").stdout
    pictures = tmp_path / "pictures"
    shown = run("disputes", "show", dispute, "--pictures", pictures)
    assert "rightful/cup" in shown.stdout and "pixel_digest" in shown.stdout
    assert {path.name for path in pictures.iterdir()} == {
        f"{dispute}-newcomer.webp",
        f"{dispute}-earlier.webp",
    }
    assert "rightful/cup" not in run("disputes", "show", dispute, "--brand", "latecomer").stdout
    assert dispute in run("disputes", "show", opened[0]["name"], "--json").stdout
    decide = ("disputes", "resolve", opened[0]["name"], "--for", "newcomer")
    assert "nothing decided" in run(*decide, input="n\n").stderr
    decided = run(*decide, "--reason", "contract", "--yes")
    assert decided.exit_code == 0 and "latecomer/mine, ACTIVE" in decided.stdout
    assert "rightful/cup, REJECTED" in decided.stdout
    assert dispute not in run("disputes", "list", "--brand", "latecomer").stdout
    assert "contract" in run("disputes", "show", dispute).stdout
    assert "UPHOLD_NEWCOMER" in run("disputes", "list", "--brand", "latecomer", "--all").stdout
    assert run("disputes", "show", "d-99999").exit_code == 2
    assert run("disputes", "resolve", dispute, "--for", "nobody", "--yes").exit_code == 2
