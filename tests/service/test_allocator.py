"""What the service frees in small pieces is kept, unless whoever starts it says otherwise."""

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import service
import numpy as np

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def pieces():
    for _ in range(200):
        arrays = [np.ones(500_000, np.uint8) for _ in range(4)]

pieces()
before = faults()
pieces()
print(faults() - before)
"""


def asked(**settings: str) -> int:
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", FAULTS]
    told = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**bare, **settings}
    )
    return int(told.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="set for glibc alone")
def test_memory_that_was_freed_is_not_fetched_anew() -> None:
    pages = 200 * 4 * 500_000 // 4096
    assert asked() < 0.1 * pages
    # 128 KiB is what glibc begins with; so large a piece is then fetched from the system each time.
    assert asked(MALLOC_MMAP_THRESHOLD_="131072") > 0.5 * pages
