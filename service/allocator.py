"""How the C library's allocator keeps the memory that it was handed back.

A look at a picture makes and frees arrays of up to a few MB by the hundred. As glibc comes, it
gives what is freed at the top of a heap back to the system at once, and the next look has each
page given and cleared anew: 13,000 page faults and a fifth of the time that a check of a copy
takes. Kept instead are the few MB that are needed again and again; the large buffers of decoded
pictures still go back as soon as they are free. As glibc comes, each thread has a heap of its
own, too, and each would keep as much: there are no more heaps than cores, then, so that what is
kept stays small.
"""

import ctypes
import os
import platform

# From malloc.h of glibc.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_KEPT_BYTES = 32 << 20
_LARGE_BYTES = 4 << 20
_THEIRS = ("MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_small_memory() -> bool:
    """Have this process keep what it frees in small pieces.

    Returns:
        False where nothing was set: with another C library, or where whoever started the process
        has settings of their own.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _THEIRS):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    heaps = max(2, os.cpu_count() or 2)
    wanted = (
        (_M_ARENA_MAX, heaps),
        (_M_TRIM_THRESHOLD, _KEPT_BYTES),
        (_M_MMAP_THRESHOLD, _LARGE_BYTES),
    )
    return all(mallopt(option, value) for option, value in wanted)
