"""Fuzz the decoders of pictures for a while, and count.

    python -m scripts.fuzz_images --seconds 600

Mutants come from hypothesis over the pictures of tests/kit/fuzzing.py; every format gets an equal
share of the time. A finding is shrunk by hypothesis and printed as bytes; keep it in
tests/models/test_fuzz_images.py.
"""

import argparse
import random
import time
import traceback
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.kit.fuzzing import FORMATS, check_decoding, damaged

BATCH = 400


@dataclass(slots=True)
class Run:
    """One format: how often it was tried, and what was found."""

    format: str
    executions: int = 0
    slowest_s: float = 0.0
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
        @given(damaged(self.format))
        def attempt(data: bytes) -> None:
            last[0] = data
            self.executions += 1
            self.slowest_s = max(self.slowest_s, check_decoding(data))

        try:
            attempt()
        except Exception:
            self.findings += 1
            print(f"{self.format}, seed {number}: {len(last[0])} bytes, hex {last[0].hex()[:4000]}")
            traceback.print_exc()


def main() -> None:
    """Run every format in turn until the time is up, and print the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    runs = [Run(format) for format in FORMATS]
    rng, until = random.Random(options.seed), time.monotonic() + options.seconds
    while time.monotonic() < until:
        for run in runs:
            run.batch(rng.randrange(2**32))
    for run in runs:
        print(
            f"{run.format:5} {run.executions:8,} executions, "
            f"slowest {run.slowest_s * 1000:.0f} ms, {run.findings} findings"
        )
    print(f"total {sum(run.executions for run in runs):,} executions")
    raise SystemExit(any(run.findings for run in runs))


if __name__ == "__main__":
    main()
