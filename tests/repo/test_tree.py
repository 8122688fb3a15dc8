"""What must not be in the repository, and what must."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES = 300
"""What is aimed at; half as much again is where it fails."""

# Split, so that this file does not contain what it looks for.
FORBIDDEN = (
    re.compile(r"/(root|home/[a-z]+|Users/[a-z]+)/" + r"[.\w]"),
    re.compile(r"/wo" + r"rk/(dev|main|shared|plan)"),
    re.compile(r"/opt/(py" + r"pi|wheels)"),
    re.compile(r"files\.python" + r"hosted\.org|py" + r"pi\.org|registry\.npm" + r"js"),
)


def tracked() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in tracked():
        try:
            found.append((path, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def test_no_file_names_a_path_of_a_machine_or_the_host_of_a_registry() -> None:
    offences = [
        f"{path.relative_to(ROOT)}: {found[0]}"
        for path, text in texts()
        for pattern in FORBIDDEN
        if (found := pattern.search(text))
    ]
    assert offences == []


def test_modules_stay_readable_in_one_sitting() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path, text in texts()
        if path.suffix == ".py"
        and path.relative_to(ROOT).parts[0] in ("service", "index", "models")
        and (count := len(text.splitlines())) > LINES * 1.5
    }
    assert long == {}


def test_every_module_says_what_it_owns() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path, text in texts()
        if path.suffix == ".py"
        and path.relative_to(ROOT).parts[0] in ("service", "index", "models", "scripts")
        and text.strip()
        and not text.lstrip().startswith(('"""', 'r"""', "#!"))
    ]
    assert silent == []


def test_the_licence_is_the_whole_apache_licence() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_nothing_large_is_committed() -> None:
    large = [str(p.relative_to(ROOT)) for p in tracked() if p.stat().st_size > 1_000_000]
    assert large == ["models/data/background.npz"]  # vectors of 718 pictures, 2 MB
