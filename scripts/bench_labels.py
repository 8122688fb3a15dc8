"""Milliseconds to read AI labels, with and without marks, and of files made to be slow.

    .venv-test/bin/python -m scripts.bench_labels [--data DIR] [--repeat 20]

Prints machine, versions and the command's settings with the table. Times are of a thread's
own CPU and leave out reading the bytes; the hostile files are those of tests/labels.
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from models.labels.label import Mark
from models.labels.read import read_label
from tests.labels import kit
from tests.labels.matrix import MATRIX
from tests.labels.test_hostile import FILES


def timed_ms(data: bytes, repeat: int) -> list[float]:
    """CPU milliseconds of each of `repeat` readings, after one to warm up."""
    read_label(data)
    times = []
    for _ in range(repeat):
        began = time.thread_time()
        read_label(data)
        times.append((time.thread_time() - began) * 1000)
    return times


def row(name: str, times: Iterable[float], count: int) -> None:
    """Print one line of the table."""
    ordered = sorted(times)
    tail = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(f"{name:34} {count:6} {statistics.median(ordered):9.3f} {tail:9.3f} {ordered[-1]:9.3f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of pictures without marks")
    parser.add_argument("--repeat", type=int, default=20)
    arguments = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, ",
        end="",
    )
    print(f"c2pa-python {version('c2pa-python')}; {' '.join(sys.argv)}\n")
    print(f"{'':34} {'files':>6} {'median':>9} {'p99':>9} {'max':>9}  ms of CPU")
    repeat = arguments.repeat
    if arguments.data:
        paths = sorted(path for path in arguments.data.rglob("*") if path.is_file())
        times = [statistics.median(timed_ms(path.read_bytes(), 3)) for path in paths]
        row("photographs without marks", times, len(paths))
    for container in kit.CONTAINERS:
        row(f"drawn {container} without marks", timed_ms(kit.plain(container), repeat * 5), 1)
    unsigned = [r for r in MATRIX if r[1] is not Mark.C2PA]
    for container in kit.CONTAINERS:
        times = []
        makers = [r[5] for r in unsigned if container in r[4]]
        for make in makers:
            times += timed_ms(make(container), repeat)
        row(f"{container} with an unsigned mark", times, len(makers))
    for container in kit.CONTAINERS:
        data = kit.signed([kit.action("c2pa.created", kit.AI)], container)
        row(f"{container} with a C2PA manifest", timed_ms(data, repeat), 1)
    print()
    for name, slow in FILES.items():
        row(f"hostile: {name}"[:34], timed_ms(slow(), 3), 1)


if __name__ == "__main__":
    main()
