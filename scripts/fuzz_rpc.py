"""Fuzz every method of a server for a while, and count.

    python -m scripts.fuzz_rpc --seconds 600

The server runs in this process, with the small encoder of the tests, on an empty data folder;
messages come from hypothesis (tests/kit/fuzzing.py). Every method gets an equal share of the
time. A finding is shrunk by hypothesis and printed as bytes; keep it in
tests/service/test_fuzz_rpc.py.
"""

import argparse
import random
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.kit.fuzzing import Methods, check_answer, messages, services
from tests.service.serving import picture, serving
from tests.service.serving import settings as server_settings

BATCH = 25


@dataclass(slots=True)
class Run:
    """One method: how often it was called, and what was found."""

    path: str
    calls: Methods
    executions: int = 0
    slowest_s: float = 0.0
    findings: int = 0

    def batch(self, number: int) -> None:
        """Send `BATCH` messages, the same ones for the same number."""
        kind = GetMessageClass(self.calls.all[self.path].input_type)
        last = [b""]

        @seed(number)
        @settings(
            max_examples=BATCH,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        @given(st.data())
        def attempt(data: st.DataObject) -> None:
            last[0] = data.draw(messages(kind)).SerializeToString()
            self.executions += 1
            began = time.monotonic()
            check_answer(self.calls, self.path, last[0])
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)

        try:
            attempt()
        except Exception:
            self.findings += 1
            print(f"{self.path}, seed {number}: hex {last[0].hex()[:4000]}")
            traceback.print_exc()


def main() -> None:
    """Call every method in turn until the time is up, and print the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        with serving(server_settings(Path(folder), memory_listings=1000)) as server:
            server.create_brand("acme")
            server.create_original("cup", picture(1))
            calls = Methods(server.channel, services())
            runs = [Run(path, calls) for path in sorted(calls.all)]
            until = time.monotonic() + options.seconds
            while time.monotonic() < until:
                for run in runs:
                    run.batch(rng.randrange(2**32))
    for run in runs:
        print(
            f"{run.path:55} {run.executions:7,} calls, slowest {run.slowest_s * 1000:5.0f} ms, "
            f"{run.findings} findings"
        )
    print(f"total {sum(run.executions for run in runs):,} calls")
    raise SystemExit(any(run.findings for run in runs))


if __name__ == "__main__":
    main()
