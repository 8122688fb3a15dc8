"""The service keeps the libraries below it to the thread that calls them."""

import os
import subprocess
import sys

SETTINGS = ("OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
ASK = """
import service.assembly, cv2, os
print(cv2.getNumThreads(), os.environ["OPENBLAS_NUM_THREADS"])
"""


def test_opencv_and_blas_start_no_threads_of_their_own() -> None:
    # This process has the settings of the service already; a server begins without them.
    bare = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    told = subprocess.run(
        [sys.executable, "-c", ASK], capture_output=True, text=True, check=True, env=bare
    )
    assert told.stdout.split() == ["1", "1"]
