"""The same tasks on Ray, where a crawl has outgrown one machine.

Every machine must see the run's folder and the inputs under the same paths. Ray starts a failed machine's tasks
elsewhere; since tasks write whole files under names of their own, one that ran twice has written the same twice.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

from burnish.data.curate.pool import Task, answered, refusal
from burnish.errors import DataError, MissingExtra

RETRIES = 2
"""How often a task is started again whose process or machine is lost."""

STORE = 80 * 2**20
"""Bytes of Ray's store; tasks exchange counts, and documents go through files."""


class RayPool:
    """Tasks on a Ray cluster.

    If Ray runs in this process already, it is used and left running. Otherwise it is started or joined here, without
    dashboard and usage statistics, and `close` ends that.

    Args:
        address: of a cluster, such as `auto` or `ray://host:10001`; `local` starts one on this machine.
        workers: how many tasks at once.

    Raises:
        MissingExtra: Ray is not installed.
        DataError: Ray cannot be started, or there is no cluster at the address.
    """

    def __init__(self, address: str, workers: int) -> None:
        try:
            import ray
        except ImportError:
            raise MissingExtra("ray", "ray") from None
        self._ray = ray
        self._workers = workers
        self._mine = not ray.is_initialized()
        if self._mine:
            self._start(address)
        self._answered = ray.remote(num_cpus=1, max_retries=RETRIES)(answered)

    def _start(self, address: str) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        own: dict[str, Any] = {}
        if address == "local":
            own = {"num_cpus": self._workers, "include_dashboard": False, "object_store_memory": STORE}
        try:
            self._ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
        except Exception as error:  # Ray raises no narrower one when a machine is too busy for its time limits
            self._ray.shutdown()
            raise DataError(f"Ray cannot start at address '{address}': {error}") from error

    def run(self, tasks: Sequence[Task]) -> list[Any]:
        """See `burnish.data.curate.pool.Pool`."""
        results: list[Any] = [None] * len(tasks)
        waiting = list(range(len(tasks)))[::-1]
        running: dict[Any, int] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self._workers:
                    place = waiting.pop()
                    running[self._answered.remote(tasks[place])] = place
                (done,), _ = self._ray.wait(list(running), num_returns=1)
                place = running.pop(done)
                results[place] = self._result(tasks[place], done)
        finally:
            for reference in running:
                self._ray.cancel(reference, force=True)
        return results

    def close(self) -> None:
        """End the cluster if it was started here."""
        if self._mine:
            self._ray.shutdown()

    def _result(self, task: Task, reference: Any) -> Any:
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            raise refusal(task, f"its process ended early: {error}") from None
        if answer.error:
            raise refusal(task, answer.error)
        return answer.result
