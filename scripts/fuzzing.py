"""What the fuzz scripts share: targets that take turns, findings, counts.

Mutants come from hypothesis. Each target gets an equal share of the time. A finding is shrunk by
hypothesis and printed as bytes in hexadecimal, for a test of its own.
"""

import argparse
import random
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

_MOST_HEX = 4000


@dataclass(frozen=True, slots=True)
class Options:
    """What a script was told."""

    seconds: float
    seed: int


@dataclass(slots=True)
class Target:
    """Something that takes bytes: how often it was tried, and what was found.

    Attributes:
        name: shown in the counts.
        inputs: bytes to try.
        check: raises when something does not hold of them.
        batch: how many are tried before another target has its turn.
        clock: seconds of what `slowest_s` is measured in: of work, or on the wall.
    """

    name: str
    inputs: st.SearchStrategy[bytes]
    check: Callable[[bytes], object]
    batch: int = 400
    clock: Callable[[], float] = time.process_time
    executions: int = 0
    slowest_s: float = 0.0
    findings: int = 0

    def take_turn(self, number: int) -> None:
        """Try `batch` mutants, the same ones for the same number."""
        last = [b""]

        @seed(number)
        @settings(
            max_examples=self.batch,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        @given(self.inputs)
        def attempt(data: bytes) -> None:
            last[0] = data
            began = self.clock()
            self.executions += 1
            self.check(data)
            self.slowest_s = max(self.slowest_s, self.clock() - began)

        try:
            attempt()
        except Exception:
            self.findings += 1
            show_finding(f"{self.name}, seed {number}", last[0])
            traceback.print_exc()


def options_of(doc: str | None) -> Options:
    """Read the command line of a script; its docstring describes it."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    return Options(given.seconds, given.seed)


def show_finding(where: str, data: bytes) -> None:
    """Print bytes that something did not hold of."""
    print(f"{where}: {len(data)} bytes, hex {data.hex()[:_MOST_HEX]}")


def fuzz(targets: Sequence[Target], options: Options) -> None:
    """Let the targets take turns until the time is up, print the counts, and end the program.

    Raises:
        SystemExit: with 1 after a finding.
    """
    numbers, until = random.Random(options.seed), time.monotonic() + options.seconds
    spent = dict.fromkeys((target.name for target in targets), 0.0)
    while time.monotonic() < until:
        target = min(targets, key=lambda one: spent[one.name])
        began = time.monotonic()
        target.take_turn(numbers.getrandbits(32))
        spent[target.name] += time.monotonic() - began
    for target in targets:
        print(
            f"{target.name:55} {target.executions:9,} executions, "
            f"slowest {target.slowest_s * 1000:7.1f} ms, {target.findings} findings"
        )
    executions, findings = (
        sum(getattr(target, name) for target in targets) for name in ("executions", "findings")
    )
    print(f"total {executions:,} executions, {findings} findings, seed {options.seed}")
    raise SystemExit(bool(findings))
