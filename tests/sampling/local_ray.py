"""A small Ray on this machine for tests, and its worker processes by what they are doing."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra ray is not installed")
quiet = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")  # of Ray itself


@contextmanager
def running_ray() -> Iterator[None]:
    """Ray with room for 4 workers and a small store, without network, dashboard and usage statistics."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            address="local",
            num_cpus=4,
            include_dashboard=False,
            object_store_memory=80 * 2**20,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        yield
        ray.shutdown()


def workers_at_work() -> list[int]:
    """The process ids of workers that are sampling at this moment; Ray writes it in their titles."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "SamplingWorker.sample" in " ".join(process.cmdline()):
                found.append(process.pid)
        except psutil.Error:  # it has just ended
            continue
    return found


@contextmanager
def killing(count: int) -> Iterator[list[int]]:
    """Kill so many workers, each while it samples; yields the list to which their process ids are added."""
    killed: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while len(killed) < count and not over.is_set():
            for pid in set(workers_at_work()[:1]) - set(killed):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            time.sleep(0.02)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()
