"""Who works for a stage whose result does not depend on it: processes of this machine, or a Ray cluster.

The variables BURNISH_WORKERS (a number; every core if it is not set) and BURNISH_RAY (an address) say it. They are no
settings and no part of an artefact's key, since they cannot change what comes out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from burnish.data.curate.pool import InlinePool, Pool, ProcessPool
from burnish.errors import ConfigError, shown
from burnish.stages.attempt import num_cores

WORKERS, RAY = "BURNISH_WORKERS", "BURNISH_RAY"


@contextmanager
def workers() -> Iterator[Pool]:
    """Who works, as the variables say; ended however the run ends.

    Raises:
        ConfigError: BURNISH_WORKERS is no whole number above 0.
        MissingExtra: Ray is asked for and not installed.
    """
    pool: Pool = InlinePool() if num_workers() == 1 else ProcessPool(num_workers())
    if address := os.environ.get(RAY):
        from burnish.data.curate.ray_pool import RayPool

        pool = RayPool(address, num_workers())
    try:
        yield pool
    finally:
        pool.close()


def num_workers() -> int:
    """Tasks at a time.

    Raises:
        ConfigError: BURNISH_WORKERS is no whole number above 0.
    """
    text = os.environ.get(WORKERS) or str(num_cores())
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError([f"{WORKERS} is {shown(text)}; expected a whole number of processes, at least 1"])
    return int(text)


def workers_text() -> str:
    """The same for people."""
    where = f"on Ray at {os.environ[RAY]}" if os.environ.get(RAY) else "on this machine"
    return f"{num_workers()} tasks at a time {where}"
