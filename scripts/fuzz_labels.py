"""Fuzz the readers and the writer of AI labels for a while, and count.

    python -m scripts.fuzz_labels --seconds 600

Mutants come from hypothesis over the corpus of tests/labels/fuzzing.py; every reader gets an
equal share of the time. A finding is shrunk by hypothesis and printed as bytes; keep it in
tests/labels/test_fuzz.py.
"""

import argparse
import random
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.labels import kit
from tests.labels.fuzzing import check_reading, check_writing, corpus, mutants, signed_corpus

BATCH = 400


@dataclass(slots=True)
class Run:
    """One target: the files it starts from, what must hold, and how often it was tried."""

    name: str
    files: tuple[bytes, ...]
    check: Callable[[bytes], None]
    executions: int = 0
    slowest_ms: float = 0.0
    findings: int = 0

    def batch(self, number: int) -> None:
        """Try `BATCH` mutants, the same ones for the same number."""
        last = [b""]

        @seed(number)
        @settings(
            max_examples=BATCH,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        @given(mutants(self.files))
        def attempt(data: bytes) -> None:
            last[0] = data
            began = time.process_time()
            self.executions += 1
            self.check(data)
            self.slowest_ms = max(self.slowest_ms, (time.process_time() - began) * 1000)

        try:
            attempt()
        except Exception:
            self.findings += 1
            print(f"{self.name}, seed {number}: {len(last[0])} bytes, hex {last[0].hex()[:4000]}")
            traceback.print_exc()


def main() -> None:
    """Run every target in turn until the time is up, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    runs = [Run(f"read {name}", corpus(name), check_reading) for name in kit.CONTAINERS]
    runs += [Run(f"write {name}", corpus(name), check_writing) for name in ("JPEG", "PNG", "WEBP")]
    runs.append(Run("read C2PA", signed_corpus(), check_reading))
    numbers = random.Random(arguments.seed)
    ends = time.monotonic() + arguments.seconds
    spent = dict.fromkeys((run.name for run in runs), 0.0)
    while time.monotonic() < ends:
        run = min(runs, key=lambda one: spent[one.name])
        began = time.monotonic()
        run.batch(numbers.getrandbits(32))
        spent[run.name] += time.monotonic() - began
    for run in runs:
        print(
            f"{run.name:12} {run.executions:8} executions, slowest {run.slowest_ms:6.1f} ms, "
            f"{run.findings} findings"
        )
    total = sum(run.executions for run in runs)
    print(
        f"{total} executions, {sum(run.findings for run in runs)} findings, seed {arguments.seed}"
    )


if __name__ == "__main__":
    main()
