"""The README tells the truth: its examples run, its tables are those of the code."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts import readme_tables
from service.cli.client import DEFAULT_SERVER
from service.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def sections() -> dict[str, str]:
    """Its sections of the second level, by their titles in their order."""
    parts = re.split(r"^## (.+)\n", README, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


STORY = (
    "Quickstart",
    "Command line",
    "Sweeps",
    "AI labels",
    "Remembered listings",
    "Keys, roles and TLS",
    "Audit log",
    "Backup and restore",
    "Evaluate",
)
"""Sections whose blocks a reader runs one after the other."""

STRICT = r"""
ended() {
    case "$1:$2" in
        1:copycatch\ check* | 1:copycatch\ compare* | 1:copycatch\ sweep\ start*) ;;
        *) echo "$2 ended with $1" >&2; exit 9 ;;
    esac
}
trap 'ended $? "$BASH_COMMAND"' ERR
"""
"""Ends a shell at the first command that fails; those that look for copies say 1 when they find."""


class Reader:
    """Somebody who follows the README in a folder of their own, in one terminal beside a server.

    The server is the real one in a process of its own, on a socket in the folder; CLIP is off, as
    it is for a newcomer.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, ""
        self.address = f"unix:{folder}/socket"
        self._server: subprocess.Popen[bytes] | None = None
        self._env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos'}",
            "XDG_CACHE_HOME": str(folder / "cache"),
            "COPYCATCH_LISTEN": self.address,
            "COPYCATCH_METRICS_LISTEN": "",
            "COPYCATCH_SERVER": self.address,
            "COPYCATCH_CLIP": "off",
        }

    def shell(self, block: str) -> None:
        """Run a block, and keep what it exports and says."""
        lines = block.splitlines(keepends=True)
        serving = [line for line in lines if line.rstrip().endswith("copycatch serve")]
        if serving:
            assert lines == serving, "a server is started in a block of its own"
            self.serve(serving[0])
            return
        ours = ("/activate", "mkdir shop", "make ", "python -m scripts")
        rest = "".join(line for line in lines if not any(one in line for one in ours))
        before, after = "[ -e exported.sh ] && . ./exported.sh", "export -p > exported.sh"
        done = subprocess.run(
            ["bash", "-c", f"{before}\n{STRICT}\n{rest}\n{after}"],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env=self._env,
        )
        assert done.returncode == 0, f"{block}\n{done.stderr}"
        self.said += done.stdout

    def program(self, text: str) -> None:
        """Run a program in Python as it stands, but for the address of the server."""
        assert DEFAULT_SERVER in text
        made = self.folder / "check.py"
        made.write_text(text.replace(DEFAULT_SERVER, self.address), encoding="utf-8")
        self.shell("python check.py")

    def serve(self, command: str) -> None:
        """Start a server, after the end of the one that runs."""
        self.stop()
        log = (self.folder / "server.log").open("ab")
        with log:
            self._server = subprocess.Popen(
                ["bash", "-c", command.replace("copycatch serve", "exec copycatch serve")],
                cwd=self.folder,
                env=self._env,
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        """Stop the server as Ctrl-C does."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    made = Reader(tmp_path)
    try:
        yield made
    finally:
        made.stop()


@pytest.mark.slow
def test_its_blocks_run_from_top_to_bottom(reader: Reader) -> None:
    """Each command ends with 0, or with 1 where it tells of a copy."""
    titles = [title for title in sections() if title in STORY]
    assert titles == list(STORY)
    for title in titles:
        for language, block in re.findall(
            r"^```(sh|python)\n(.*?)^```", sections()[title], re.MULTILINE | re.DOTALL
        ):
            if language == "python":
                reader.program(block)
            elif "# refuses" not in block:
                reader.shell(block)
    said = reader.said
    assert "registered brands/acme/originals/cup\nCOPY\nbrands/acme/originals/cup " in said
    assert "cropped to 71%" in said and "1 COPY, 1 CLEAR" in said  # as the text promises
    assert "AUTHORISED" in said
    assert (reader.folder / "june.csv").read_text().count("some-shop") == 1
    assert {"offer.jpg", "rocket.jpg"} == {one.name for one in (reader.folder / "marked").iterdir()}


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
    headings = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    places = {re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= places


def test_its_tables_are_those_of_the_code() -> None:
    """Settings, error reasons and metrics; run scripts/readme_tables.py when this fails."""
    assert readme_tables.rewritten(README) == README


def test_a_table_without_a_place_is_noticed() -> None:
    with pytest.raises(ValueError, match="0 places for the table settings"):
        readme_tables.rewritten("# no tables")
