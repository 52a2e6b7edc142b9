"""The same tasks on Ray, where a crawl has outgrown one machine.

Every machine must see the run's folder and the inputs under the same paths. Ray starts a failed machine's tasks
elsewhere; since tasks write whole files under names of their own, one that ran twice has written the same twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from burnish.data.curate.pool import Task, answered, refusal
from burnish.errors import DataError, MissingExtra


class RayPool:
    """Tasks on a Ray cluster, or on one that is started here for this run.

    Args:
        address: of a cluster, such as `auto` or `ray://host:10001`; None starts one on this machine.
        workers: how many tasks at once.

    Raises:
        MissingExtra: Ray is not installed.
        DataError: there is no cluster at the address.
    """

    def __init__(self, address: str | None, workers: int) -> None:
        try:
            import ray
        except ImportError:
            raise MissingExtra("ray", "ray") from None
        self._ray = ray
        self._workers = workers
        self._mine = not ray.is_initialized()
        try:
            if self._mine and address is None:
                ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, configure_logging=False)
            elif self._mine:
                ray.init(address=address, log_to_driver=False, configure_logging=False)
        except ConnectionError as error:
            raise DataError(f"there is no Ray cluster at '{address}': {error}") from None
        self._answered = ray.remote(num_cpus=1, max_retries=2)(answered)

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
