"""The service keeps the libraries below it to the thread that calls them."""

import subprocess
import sys

ASK = """
import service.assembly, cv2, os
print(cv2.getNumThreads(), os.environ["OPENBLAS_NUM_THREADS"])
"""


def test_opencv_and_blas_start_no_threads_of_their_own() -> None:
    told = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["1", "1"]
