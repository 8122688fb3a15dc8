"""SIGKILL at any moment: what was acknowledged is there, and the index equals the store."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from index.catalogue import Catalogue, CatalogueConfig
from index.live import LiveOptions
from tests.index.kit import SCHEMA, SPACES, every_row_finds_itself, original, registered, rows

CONFIG = CatalogueConfig(live=LiveOptions(seal_rows=64, tier_pieces=3), snapshot_changes=200)

CHILD = """
import sys
from pathlib import Path
from tests.index.test_crash import importing, snapshotting
{mode}(Path(sys.argv[1]), int(sys.argv[2]))
"""


def say(line: str) -> None:
    os.write(1, (line + "\n").encode())  # one write: the parent never sees half a line


def importing(path: Path, first: int) -> None:
    """Register and withdraw without end; say what was acknowledged, after the fact."""
    catalogue = Catalogue.open(path, SPACES, SCHEMA, CONFIG)
    say("open")
    number = first
    while True:
        news = [original(number + i) for i in range(16)]
        for result in catalogue.register_many(news):
            say(f"+{registered(result).original}")
        catalogue.withdraw("acme", news[0].original)
        say(f"-{news[0].original}")
        number += 16


def snapshotting(path: Path, first: int) -> None:
    """Write snapshots without end, with a registration between."""
    catalogue = Catalogue.open(path, SPACES, SCHEMA, CONFIG)
    say("open")
    number = first
    while True:
        say(f"+{catalogue.register(original(number)).original}")
        say("snapshot")
        catalogue.snapshot()
        number += 1


def killed(path: Path, mode: str, first: int, after_lines: int, line: str = "") -> list[str]:
    """Run a child, kill it after so many lines (that equal `line`), return all that it said."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(mode=mode), str(path), str(first)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    said = []
    with child, child.stdout:
        for text in child.stdout:
            said.append(text.strip())
            if sum(1 for s in said if not line or s == line) >= after_lines:
                child.send_signal(signal.SIGKILL)
                said += child.stdout.read().split()
                break
    assert child.returncode == -signal.SIGKILL, said
    return said


def check(path: Path, alive: set[str], gone: set[str]) -> set[str]:
    """Everything acknowledged holds, the index equals the store; the ids that are there."""
    with Catalogue.open(path, SPACES, SCHEMA, CONFIG) as catalogue:
        held, after = dict[str, int](), ""
        while page := catalogue.list("acme", 1000, after):
            held |= {record.original: record.key for record in page}
            after = page[-1].original
        assert alive <= set(held)
        assert not gone & set(held)
        assert len(set(held) - alive) <= 17, "only what was in flight may be there unacknowledged"
        counts = catalogue.counts()
        for table in ("ids", "originals", "previews", "features"):
            assert counts[table] == len(held)
        for space in SPACES:
            found = catalogue.search(space.name, rows(space, 1), len(held) + 10)[0]
            assert {n.key for n in found} == set(held.values())
            every_row_finds_itself(catalogue._follower.indexes[space.name])
        return set(held)


@pytest.mark.slow
def test_ten_kills_during_imports_lose_nothing_acknowledged(tmp_path: Path) -> None:
    with Catalogue.open(tmp_path, SPACES, SCHEMA, CONFIG) as catalogue:
        catalogue.create_brand("acme")
    rng, alive, gone = np.random.default_rng(0), set[str](), set[str]()
    for round_ in range(10):
        said = killed(tmp_path, "importing", 10_000 * round_, int(rng.integers(20, 400)))
        gone |= {line[1:] for line in said if line[0] == "-"}
        alive |= {line[1:] for line in said if line[0] == "+"}
        in_flight = {f"photo-{n:05d}" for n in _may_be_withdrawn(said, 10_000 * round_)}
        alive = check(tmp_path, alive - gone - in_flight, gone)
    assert len(alive) > 200


def _may_be_withdrawn(said: list[str], first: int) -> set[int]:
    """The original whose withdrawal was under way when the child was killed."""
    done = sum(1 for line in said if line[0] == "-")
    return {first + 16 * done}


@pytest.mark.slow
def test_kills_during_a_snapshot_leave_a_catalogue_that_opens(tmp_path: Path) -> None:
    with Catalogue.open(tmp_path, SPACES, SCHEMA, CONFIG) as catalogue:
        catalogue.create_brand("acme")
        catalogue.register_many([original(i) for i in range(500)])
    alive = {f"photo-{i:05d}" for i in range(500)}
    for round_ in range(5):
        said = killed(tmp_path, "snapshotting", 5000 + 100 * round_, round_ + 1, "snapshot")
        alive |= {line[1:] for line in said if line[0] == "+"}
        with Catalogue.open(tmp_path, SPACES, SCHEMA, CONFIG) as catalogue:
            assert catalogue.stats().opened_from == "snapshot"
            assert not list((tmp_path / "snapshots").glob(".*"))
        alive = check(tmp_path, alive, set())
