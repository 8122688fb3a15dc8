"""The README tells the truth: its examples run, its tables are those of the code."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts import readme_tables
from service.cli import local
from service.cli.client import DEFAULT_SERVER, Client
from service.cli.main import app
from tests.kit.images import crop, encode, photo

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the examples suppose it, and the current one."""
    for name in ("originals", "listings"):
        (tmp_path / name).mkdir()
    (tmp_path / "originals/cup.png").write_bytes(encode(photo("coffee"), "PNG"))
    (tmp_path / "originals/cat.png").write_bytes(encode(photo("chelsea"), "PNG"))
    (tmp_path / "listings/offer.jpg").write_bytes(encode(crop(photo("coffee"), 0.8), quality=85))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def client(shop: Path) -> Iterator[Client]:
    """A server with the settings that a newcomer has, but for CLIP."""
    with local.serving(shop / "data", 60.0, clip="off") as made:
        yield made


def test_the_python_example_runs_as_it_stands(client: Client, shop: Path) -> None:
    (example,) = blocks("python")
    assert DEFAULT_SERVER in example
    program = shop / "example.py"
    program.write_text(example.replace(DEFAULT_SERVER, client.target), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos'}",
            "COPYCATCH_API_KEY": client.credentials.api_key,
        },
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    assert printed[0] == "registered brands/acme/originals/cup"
    assert printed[1] == "COPY"
    assert printed[2].startswith("brands/acme/originals/cup ")


def test_the_commands_run_as_they_stand(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command ends with 0, or with 1 where it tells of a copy that is not allowed."""
    monkeypatch.setenv("COPYCATCH_SERVER", client.target)
    monkeypatch.setenv("COPYCATCH_API_KEY", client.credentials.api_key)
    monkeypatch.setenv("COPYCATCH_DATA_DIR", "data")
    monkeypatch.setenv("COPYCATCH_CLIP", "off")
    commands = [
        line.removeprefix("$ copycatch ")
        for block in blocks("console")
        for line in block.splitlines()
    ]
    assert len(commands) >= 10
    for command in commands:
        done = CliRunner().invoke(app, shlex.split(command))
        found = command.startswith(("check", "compare")) and "--seller" not in command
        allowed = (1,) if found else (0,)
        assert done.exit_code in allowed, f"{command}: {done.output}"


def test_every_command_is_in_the_table_of_commands() -> None:
    table = README.split("| command | what it does |")[1].split("\n\n")[0]
    named = re.findall(r"^\| `([a-z]+)", table, re.MULTILINE)
    shown = CliRunner().invoke(app, ["--help"]).output
    commands = re.findall(r"^│ ([a-z]+)  ", shown.split("Commands")[1], re.MULTILINE)
    assert sorted(named) == sorted(commands)


def test_the_make_targets_that_it_names_exist() -> None:
    named = set(re.findall(r"^(?:.*`)?make ([a-z][a-z-]*)", README, re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert {"demo", "test", "help", "evaluate"} <= named <= targets


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_its_tables_are_those_of_the_code() -> None:
    """Settings, error reasons and metrics; run scripts/readme_tables.py when this fails."""
    assert readme_tables.rewritten(README) == README


def test_a_table_without_a_place_is_noticed() -> None:
    with pytest.raises(ValueError, match="0 places for the table settings"):
        readme_tables.rewritten("# no tables")
