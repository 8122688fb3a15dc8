"""What the fuzz scripts share: a finding is shown and ends with 1, the counts are of what ran."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import strategies as st

from scripts.fuzzing import Options, Target, fuzz

ROOT = Path(__file__).resolve().parents[2]


def test_a_finding_is_shrunk_shown_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    def check(data: bytes) -> None:
        assert b"\xff" not in data

    broken, fine = Target("broken", st.binary(), check, 50), Target("fine", st.binary(), len, 50)
    with pytest.raises(SystemExit) as ended:
        fuzz([broken, fine], Options(seconds=1.0, seed=1))
    assert ended.value.code == 1
    shown = capsys.readouterr().out
    assert "1 bytes, hex ff" in shown
    assert broken.findings >= 1 and fine.findings == 0
    assert fine.executions >= 50
    assert f"total {broken.executions + fine.executions:,} executions" in shown


def test_the_script_of_pictures_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.fuzz_images", "--seconds", "0.5"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 findings, seed 1" in done.stdout
