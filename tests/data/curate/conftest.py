"""What the tests of curation share: a place in memory for many small files, and two processes to work in."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from burnish.data.curate.pool import ProcessPool

MEMORY = Path("/dev/shm")


@pytest.fixture
def tmp_path():
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix="burnish-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def two_processes() -> Iterator[ProcessPool]:
    """Workers keep nothing of a task, and starting them takes longer than most; tests that kill them have their own."""
    pool = ProcessPool(2)
    yield pool
    pool.close()
