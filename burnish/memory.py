"""How this process asks the system for memory; without torch, so that the command line can begin with it."""

from __future__ import annotations

import ctypes
import platform
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Names of mallopt's parameters in glibc's malloc.h."""


def keep_freed_memory() -> None:
    """Let this process reuse the memory of freed tensors in place of giving it back to the system; Linux with glibc.

    By default every large tensor is a fresh mapping, and its pages are made and zeroed at the first touch: a third of a
    training step of a small model on a CPU (docs/log.md). A process that calls this takes all of its memory from one
    heap, and its resident size stays near its peak.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
