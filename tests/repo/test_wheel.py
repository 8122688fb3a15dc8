"""The wheel: what a user installs has the contract, the page and the command."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from this checkout without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    program = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return zipfile.ZipFile(folder / done.stdout.strip().splitlines()[-1])


def test_the_generated_client_is_importable_from_the_wheel(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert "copycatch/v1/match_service_pb2.py" in names
    assert "copycatch/v1/match_service_pb2_grpc.pyi" in names
    assert "copycatch/py.typed" in names


def test_the_wheel_has_all_code_and_its_data_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert "service/demo/page.html" in names
    for package in ("service", "index", "models"):
        sources = {
            str(path.relative_to(ROOT))
            for path in (ROOT / package).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert sources <= set(names)
    top = {name.split("/")[0] for name in names}
    assert top == {"service", "index", "models", "copycatch", "copycatch-0.1.0.dist-info"}


def test_the_command_and_the_extras_are_declared(wheel: zipfile.ZipFile) -> None:
    scripts = wheel.read("copycatch-0.1.0.dist-info/entry_points.txt").decode()
    assert "copycatch = service.cli.entry:run" in scripts
    metadata = wheel.read("copycatch-0.1.0.dist-info/METADATA").decode()
    for extra in ("cpu", "gpu", "clip", "demo", "dev"):
        assert f"Provides-Extra: {extra}" in metadata
    assert "License-Expression: Apache-2.0" in metadata
