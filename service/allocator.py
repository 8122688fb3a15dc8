"""How the C library's allocator hands memory back to the system.

A look at a picture makes and frees arrays of up to a few MB by the hundred. As glibc comes, it
gives what is freed at the top of its heap back to the system at once, and the next look has
each page given and cleared anew: 13,000 page faults and a fifth of the time that a check of a
copy takes. Kept instead are the few MB that a thread needs again and again; the large buffers
of decoded pictures still go back as soon as they are free.
"""

import ctypes
import os
import platform

# From malloc.h of glibc.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 32 << 20
_LARGE_BYTES = 4 << 20
_THEIRS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_small_memory() -> bool:
    """Have this process keep what it frees in small pieces.

    Returns:
        False where nothing was set: with another C library, or where whoever started the process
        has settings of their own.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _THEIRS):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    kept = mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    return bool(kept and mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES))
