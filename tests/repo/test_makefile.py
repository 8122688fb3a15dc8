"""The Makefile and what it runs: targets that explain themselves, and a Python that is found."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROMISED = (
    "demo test check format lint types contracts protos lock serve evaluate bench clean help"
).split()


def targets() -> list[str]:
    return re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)


def test_make_help_lists_every_target() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    listed = [line.split()[0] for line in shown.splitlines()[1:]]
    assert listed == targets()
    assert set(PROMISED) <= set(listed)


def test_make_alone_shows_the_help() -> None:
    assert ".DEFAULT_GOAL := help" in MAKEFILE


def test_every_target_is_phony() -> None:
    declared = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert declared is not None
    assert set(declared[1].split()) == set(targets())


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """Return a folder to be the whole PATH: a shell's tools and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("sh", "tr", "cat"):
        found = shutil.which(tool)
        assert found is not None
        (folder / tool).symlink_to(found)
    return folder


def find_python(path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shutil.which("sh") or "sh", str(ROOT / "scripts/find_python.sh")],
        env={"PATH": str(path), "HOME": str(path.parent), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def fake(path: Path, name: str, status: int) -> None:
    """Write a Python that answers every question with an exit status."""
    program = path / name
    program.write_text(f"#!/bin/sh\nexit {status}\n", encoding="utf-8")
    program.chmod(0o755)


def test_without_a_python_it_says_what_to_install(bare_path: Path) -> None:
    fake(bare_path, "python3", 1)
    done = find_python(bare_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "needs Python 3.12 or newer" in done.stderr
    assert "apt-get install python3" in done.stderr


def test_an_old_python_first_on_the_path_is_passed_over(bare_path: Path, tmp_path: Path) -> None:
    fake(bare_path, "python3", 1)
    other = tmp_path / "other"
    other.mkdir()
    (other / "python3").symlink_to(sys.executable)
    done = find_python(bare_path, PATH=f"{bare_path}{os.pathsep}{other}")
    assert (done.returncode, done.stdout.strip()) == (0, str(other / "python3"))


def test_the_version_that_is_tested_goes_first(bare_path: Path) -> None:
    fake(bare_path, "python3", 0)
    fake(bare_path, "python3.13", 0)
    fake(bare_path, "python3.12", 0)
    assert find_python(bare_path).stdout.strip() == str(bare_path / "python3.12")


def test_pyenvs_interpreters_are_found_without_its_shims(bare_path: Path) -> None:
    folder = bare_path.parent / ".pyenv/versions/3.12.7/bin"
    folder.mkdir(parents=True)
    fake(folder, "python3", 0)
    assert find_python(bare_path).stdout.strip() == str(folder / "python3")


def test_a_python_that_is_named_is_used_or_refused(bare_path: Path) -> None:
    fake(bare_path, "python3.12", 0)
    fake(bare_path, "mine", 0)
    fake(bare_path, "old", 1)
    assert find_python(bare_path, PYTHON="mine").stdout.strip() == str(bare_path / "mine")
    refused = find_python(bare_path, PYTHON="old")
    assert refused.returncode == 1
    assert "PYTHON=old is not a Python >= 3.12" in refused.stderr
