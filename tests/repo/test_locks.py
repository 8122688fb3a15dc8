"""The locks: complete, hashed, without addresses, and no newer than pyproject.toml asks."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCKS = {
    "serve": ("cpu",),
    "demo": ("cpu", "demo"),
    "clip": ("cpu", "demo", "clip"),
    "test": ("cpu", "demo", "clip", "sweeps", "ray", "dev"),
}
"""Lock -> extras that it holds beside the dependencies of the project."""


def read(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


def pins(name: str) -> dict[str, Version]:
    """Return package -> version of a lock."""
    found = re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", read(name), re.MULTILINE)
    return {package: Version(version) for package, version in found}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_everything_that_the_project_asks_for(name: str) -> None:
    wanted = [*PROJECT["dependencies"]]
    for extra in LOCKS[name]:
        wanted += PROJECT["optional-dependencies"][extra]
    wanted += [
        line
        for line in (ROOT / "requirements/build.in").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    locked = pins(name)
    environment = {key: str(value) for key, value in default_environment().items()}
    for text in wanted:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate(environment):
            continue
        version = locked.get(canonical(requirement.name))
        assert version is not None, f"{requirement.name} is not in {name}.txt: make lock"
        assert version in requirement.specifier, f"{text}, locked is {version}: make lock"


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_hashes_and_no_line_names_an_address(name: str) -> None:
    text = read(name)
    assert "://" not in text
    assert "index-url" not in text
    for block in re.split(r"\n(?=[a-z0-9])", text.split("make lock\n", 1)[1]):
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_the_locks_agree() -> None:
    everything = pins("test")
    for name in ("serve", "demo", "clip"):
        assert pins(name).items() <= everything.items()


def test_the_demo_needs_neither_torch_nor_tools() -> None:
    assert not {"torch", "open-clip-torch", "pytest", "mypy", "ruff"} & pins("demo").keys()
    assert "torch" in pins("clip")


def test_torch_stays_below_the_cap_of_some_machines() -> None:
    assert pins("test")["torch"] <= Version("2.14.1")
    assert pins("test")["torchvision"] <= Version("0.29.1")


def test_cpu_and_gpu_faiss_are_never_together() -> None:
    for name in LOCKS:
        assert "faiss-cpu" in pins(name)
        assert "faiss-gpu" not in pins(name)
