"""How the C library's allocator treats the memory of freed tensors.

glibc returns every block of more than 32 MiB to the system as soon as it is freed, and the system clears the pages of
the next one. The networks allocate and free dozens of such blocks for each frame: for some, that takes a third of the
time; ``docs/enhancement.md`` has measurements.
"""

from __future__ import annotations

import ctypes
import os
import sys

#: "0" in this environment variable leaves the allocator as it is.
VARIABLE = "LS3D_KEEP_MEMORY"

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next allocations of this process instead of returning it to the system.

    The program ``ls3d`` does this at its start. Another program that runs networks on the CPU
    may call it before it loads one. The process then doesn't shrink until it ends; its peak can rise, as memory between
    blocks in use can't be joined.

    Returns:
        Whether it does: not with another C library, and not if the environment has ``LS3D_KEEP_MEMORY=0``.
    """
    if sys.platform != "linux" or os.environ.get(VARIABLE) == "0":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    # M_TOP_PAD, which lets the heap grow in larger steps, must stay as it is: with it, the memory of a thread that
    # decodes a long video grows by about 2 KB for each frame.
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1))
    accepted = [mallopt(parameter, value) == 1 for parameter, value in settings]
    return all(accepted)
