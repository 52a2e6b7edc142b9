"""Freed memory stays with the process, where the system's allocator allows that."""

from __future__ import annotations

import platform

import pytest
import torch

from burnish.memory import keep_freed_memory


def test_freed_memory_is_kept_for_the_next_tensor():
    """A block that was freed is there again without new pages from the system."""
    resource = pytest.importorskip("resource")
    keep_freed_memory()

    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            torch.ones(4 * 2**20 // 4)  # 4 MiB, 1,024 pages
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults()
    if platform.libc_ver()[0] == "glibc":
        assert faults() < 1024
