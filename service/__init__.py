"""The service: matching, gRPC, the server around them, and the command line.

Why it is like this (2026-11):
- The event loop only waits. Decoding, encoding, searching and writing run in named threads,
  with bounded queues in front, so that a full server answers at once.
- A server listens before it is loaded, and says that it is not ready: whoever watches it can
  tell a slow start from a dead process.
- Each server has its own metrics and its own threads: tests and the demo run several in one
  process.
"""

import os

from service.allocator import keep_small_memory

keep_small_memory()
# Before NumPy and OpenCV are loaded: many calls share the cores, and each piece of their work is
# small, so threads of the libraries would only spin and wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
