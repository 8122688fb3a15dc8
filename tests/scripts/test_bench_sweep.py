"""The measurement of sweeps runs, in small, on drawn pictures."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from models.images import decode
from scripts.bench_sweep import anew, same
from scripts.evaluation_data import FILE, REQUIRED
from tests.kit.images import draw, encode

SIZE = (240, 180)
ROOT = Path(__file__).resolve().parents[2]


def test_each_listing_is_another_file_of_the_same_picture() -> None:
    image = encode(draw(1, (320, 240)), "PNG")
    assert anew(image, 5) == anew(image, 5)
    assert len({anew(image, seed) for seed in range(20)}) == 20
    assert decode(same(image, 1)).rgb.tobytes() == decode(image).rgb.tobytes()
    assert same(image, 1) != same(image, 2)


@pytest.mark.slow
def test_a_sweep_of_a_folder_is_measured(tmp_path: Path) -> None:
    with (tmp_path / FILE).open("w", newline="") as file:
        rows = csv.DictWriter(file, REQUIRED, restval="")
        rows.writeheader()
        for seed, role in enumerate(["original"] * 3 + ["copy", "unrelated", "unrelated"]):
            (tmp_path / f"{seed}.png").write_bytes(
                encode(draw(0 if role == "copy" else seed, SIZE), "PNG")
            )
            original = "0.png" if role == "copy" else ""
            rows.writerow({"path": f"{seed}.png", "role": role, "original": original})
    target = tmp_path / "figures.json"
    size = ["--listings", "6", "--originals", "4", "--bare", "2", "--lookups", "4"]
    command = [sys.executable, "-m", "scripts.bench_sweep", "--data", str(tmp_path), *size]
    command += ["--per-s", "20", "--json", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(target.read_text())
    assert found["originals"] == 4 and found["refused"] == 0
    sweep = found["sweep of 6"]
    assert sum(sweep["verdicts"].values()) == 6
    assert sweep["of the bare loop"] > 0 and sweep["core_ms a listing"] > 0
    assert sweep["memory_mb at most"]["own_mb"] >= sweep["memory_mb before"]["own_mb"] > 10
    assert found["calls beside a sweep"]["ratio of p99"] > 0
