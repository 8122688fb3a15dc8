"""Sweeps on a real Ray of this machine: the findings of the local engine, row for row."""

import csv
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from index.disk import StoreMissing
from index.frozen import FrozenCatalogue
from index.spaces import Space
from service.matching.pipeline import Matcher
from service.matching.results import CheckOptions
from tests.sweeps.kit import Workshop, blank, edited, original, stolen, write_csv

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with two originals and a manifest of twenty listings."""
    with Workshop(tmp_path) as shop:
        shop.register("acme", one=original(1), two=original(2))
    rows = []
    for n in range(20):
        image = (stolen(1), blank(), stolen(2), edited(1))[n % 4 if n < 8 else n % 3]
        (tmp_path / f"{n}.jpg").write_bytes(image)
        rows.append({"listing_id": f"x{n}", "seller": f"s{n % 3}", "path": f"{n}.jpg"})
    rows += [{"listing_id": "lost", "seller": "s0", "path": "lost.jpg"}, rows[0]]
    write_csv(tmp_path / "m.csv", rows)
    return tmp_path


def test_a_copy_of_a_catalogue_answers_as_the_catalogue_does(folder: Path) -> None:
    with Workshop(folder) as shop:
        spaces = [Space(*space) for space in shop.printer.spaces]
        shop.catalogue.copy_to(folder / "copy")
        shop.register("late", three=original(3))
        copy = FrozenCatalogue(folder / "copy", spaces, shop.printer.schema)
        late = Matcher(copy, shop.printer).check(stolen(3), CheckOptions())
        assert "brands/late" not in {match.brand for match in late.matches}
        for image in (stolen(1), edited(2)):
            found = Matcher(copy, shop.printer).check(image, CheckOptions())
            whole = shop.matcher.check(image, CheckOptions())
            old = [m for m in whole.matches if m.brand != "brands/late"]
            assert [(m.original, m.score) for m in found.matches] == [
                (m.original, m.score) for m in old
            ]
        assert copy.stats().originals == 2
        copy.close()
        with pytest.raises(StoreMissing):
            FrozenCatalogue(folder / "nowhere", spaces, shop.printer.schema)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed")
def test_ray_finds_what_the_local_engine_finds(folder: Path) -> None:
    home = folder / "home"
    home.mkdir()
    tables, homes = {}, {}
    for engine in ("local", "ray"):
        done = copycatch(folder, home, "start", "m.csv", "--id", engine, "--engine", engine)
        assert done.returncode == 1, done.stderr  # copies were found
        assert "22 of 22 listings" in done.stdout
        homes[engine] = sorted(path.relative_to(home) for path in home.rglob("*"))
        export = copycatch(folder, home, "export", engine, f"{engine}.csv", "--all")
        assert export.returncode == 0, export.stderr
        with (folder / f"{engine}.csv").open(encoding="utf-8") as file:
            tables[engine] = [
                {name: value for name, value in row.items() if name != "finding"}
                for row in csv.DictReader(file)
            ]
    assert len(tables["local"]) >= 22
    assert tables["ray"] == tables["local"]
    # Nothing is left in the home folder but what the encoders' runtime leaves in any case.
    assert homes["ray"] == homes["local"]
    assert list((folder / "data/sweeps").glob("copy-*")) == []


def copycatch(folder: Path, home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `copycatch sweep` in a process with a home folder of its own."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COPYCATCH_", "RAY_", "XDG_"))
    }
    environment |= {
        "HOME": str(home),
        "COPYCATCH_ENCODER": "toy",
        "COPYCATCH_CLIP": "off",
        "COPYCATCH_RAY_WORKERS": "2",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "protos")]),
    }
    command = [sys.executable, "-m", "service.cli.main", "sweep", *arguments, "--local", "data"]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
