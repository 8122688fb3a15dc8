"""`copycatch label`: lines for scripts, a table for people, and copies with the mark."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from models.labels.label import ABSENCE
from models.labels.read import read_label
from service.cli.main import app
from tests.labels import kit


def run(*arguments: str | Path) -> Result:
    """Run the command."""
    return CliRunner().invoke(app, ["label", *map(str, arguments)])


def lines(result: Result) -> list[dict[str, Any]]:
    """The JSON lines of a run."""
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures: labelled, traced, plain, signed."""
    made = tmp_path / "in"
    made.mkdir()
    (made / "a.png").write_bytes(kit.save("PNG", text={"AIGC": json.dumps(kit.GB)}))
    (made / "b.png").write_bytes(kit.save("PNG", text={"parameters": kit.WEBUI}))
    (made / "c.jpg").write_bytes(kit.plain("JPEG"))
    (made / "d.jpg").write_bytes(kit.signed([kit.action("c2pa.created", kit.AI)]))
    return made


def test_json_is_one_object_a_line(folder: Path) -> None:
    result = run(folder, "--json")
    assert result.exit_code == 1
    found = lines(result)
    assert [Path(line["path"]).name for line in found] == ["a.png", "b.png", "c.jpg", "d.jpg"]
    assert [line["state"] for line in found] == ["GENERATED", "SUSPECTED", "NONE", "GENERATED"]
    signal = found[0]["signals"][0]
    assert (signal["mark"], signal["trust"]) == ("gb45438", "SELF_DECLARED")
    assert signal["place"] == "PNG/iTXt/AIGC"
    assert json.loads(signal["value"]) == kit.GB
    assert found[2]["signals"] == []
    assert found[2]["note"] == ABSENCE


def test_the_table_says_why_and_what_absence_means(folder: Path) -> None:
    result = run(folder)
    assert result.exit_code == 1
    assert "Stable Diffusion WebUI" in result.stdout
    assert "4 read: 1 NONE, 1 SUSPECTED, 2 GENERATED" in result.stdout
    assert ABSENCE in result.stdout


def test_nothing_found_is_exit_code_0(folder: Path) -> None:
    assert run(folder / "c.jpg").exit_code == 0


def test_what_is_no_picture_is_an_error_and_stops_no_other(folder: Path, tmp_path: Path) -> None:
    (folder / "a-lost.jpg").symlink_to(folder / "gone.jpg")
    (folder / "a-text.jpg").write_text("no picture")
    (folder / "a-void.jpg").write_bytes(b"")
    out = tmp_path / "out"
    words = (folder, "--write", out, "--propagator", "Our Market")
    done = run(*words, "--json")
    assert done.exit_code == 2
    found = {Path(line["path"]).name: line for line in lines(done)}
    unread = {name: line for name, line in found.items() if "state" not in line}
    assert {name: line["error"].partition(":")[0] for name, line in unread.items()} == {
        "a-lost.jpg": "UNREADABLE",
        "a-text.jpg": "IMAGE_UNDECODABLE",
        "a-void.jpg": "IMAGE_EMPTY",
    }
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png", "c.jpg"]
    shown = run(folder)
    assert shown.exit_code == 2
    assert "4 read: 1 NONE, 1 SUSPECTED, 2 GENERATED; 3 could not be" in shown.stdout
    assert "ERROR" in shown.stdout


@pytest.mark.parametrize("container", ["HEIF", "BMP"])
def test_what_is_a_picture_and_is_not_checked_or_not_labelled_is_no_error(
    tmp_path: Path, container: str
) -> None:
    (tmp_path / "picture.bin").write_bytes(kit.plain(container))
    assert run(tmp_path / "picture.bin").exit_code == 0


def test_a_trust_list_is_taken(folder: Path, tmp_path: Path) -> None:
    anchors = tmp_path / "roots.pem"
    anchors.write_text(kit.signer().root_pem)
    assert lines(run(folder / "d.jpg", "--json"))[0]["signals"][0]["trust"] == "SIGNED"
    trusted = lines(run(folder / "d.jpg", "--json", "--trust", anchors))
    assert trusted[0]["signals"][0]["trust"] == "SIGNED_TRUSTED"


def test_a_declaration_is_possibly(folder: Path) -> None:
    assert lines(run(folder / "c.jpg", "--json", "--declared"))[0]["state"] == "POSSIBLY"


def test_copies_are_written_and_a_manifest_is_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(folder, "--json", "--write", out, "--propagator", "Our Market")
    assert result.exit_code == 2
    found = lines(result)
    assert [line.get("error", "").split(":")[0] for line in found] == [
        "",
        "",
        "",
        "MANIFEST_PRESENT",
    ]
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png", "c.jpg"]
    label = read_label((out / "a.png").read_bytes())
    assert any("Our Market" in signal.value for signal in label.signals)
    assert label.state.value == "GENERATED"
    again = run(folder / "a.png", "--json", "--write", out, "--propagator", "Our Market")
    assert again.exit_code == 2
    assert "exists already: name another folder with --write" in lines(again)[0]["error"]


def test_people_are_told_which_copies_were_written_and_why_others_were_not(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run(folder, "--write", out, "--propagator", "Our Market")
    assert "3 copies written to" in done.stdout and "mark of 'Our Market'" in done.stdout
    assert "not written: MANIFEST_PRESENT" in done.stdout
    assert "written" not in run(folder).stdout


def test_a_platform_that_is_not_named_is_asked_for(folder: Path, tmp_path: Path) -> None:
    done = run(folder, "--write", tmp_path / "out")
    assert "as in --propagator 'Our Market'" in done.stderr


def test_a_label_is_written_and_signed_anew(folder: Path, tmp_path: Path) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_text(kit.signer().chain_pem)
    key.write_text(kit.signer().key_pem)
    options = ("--propagator", "M", "--propagate-id", "7", "--state", "generated")
    more = ("--how", "edited", "--producer", "P", "--certificate", chain, "--key", key)
    out = tmp_path / "out"
    result = run(folder / "d.jpg", folder / "c.jpg", "--json", "--write", out, *options, *more)
    assert result.exit_code == 1, result.output
    for name in ("c.jpg", "d.jpg"):
        label = read_label((out / name).read_bytes())
        assert label.state.value == "GENERATED"
        assert any('"PropagateID": "7"' in signal.value for signal in label.signals)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--propagator", "M"), "--write"),
        (("--state", "generated"), "--write"),
        (("--write", "OUT"), "--propagator"),
        (("--write", "OUT", "--propagator", "M", "--state", "none"), "--state"),
        (("--write", "OUT", "--propagator", "M", "--how", "edited"), "--how"),
        (("--write", "OUT", "--propagator", "M", "--certificate", "x"), "--key"),
    ],
)
def test_a_wrong_option_is_one_line(
    folder: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    given = [str(tmp_path / "out") if word == "OUT" else word for word in arguments]
    result = run(folder / "c.jpg", *given)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "out").exists()
