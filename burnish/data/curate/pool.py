"""Tasks in local processes: started fresh (spawn), one task each at a time, and a death that is named.

The parent hands each worker one task over a pipe and waits for answers and for deaths alike, so a worker that the
system kills (for want of memory, say) stops the run with the name of the task that it had, instead of hanging it. A
task that raises gives its error back as text; the rest is not started. Workers ignore Ctrl-C, the parent ends them.

`Pool` is the interface; `burnish.data.curate.ray_pool` has the same on Ray.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Protocol

import pyarrow as pa

from burnish.errors import BurnishError, DataError


@dataclass(frozen=True, kw_only=True)
class Task:
    """A call that another process can make.

    Attributes:
        name: for messages.
        function: a plain function of a module.
        arguments: what it is called with; small, since it is sent.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Answer:
    """What became of a task: its result, or what went wrong."""

    result: Any = None
    error: str = ""


class Pool(Protocol):
    """Something that runs tasks."""

    def run(self, tasks: Sequence[Task]) -> list[Any]:
        """The result of each task, in the order of the tasks.

        Raises:
            DataError: a task failed; names it and the cause. Finished tasks have left their files.
        """

    def close(self) -> None:
        """End the workers."""


def answered(task: Task) -> Answer:
    """Run a task here; an error becomes a text, since errors do not all travel between processes."""
    try:
        return Answer(task.function(*task.arguments))
    except BurnishError as error:
        return Answer(error=str(error))
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return Answer(error=f"{type(error).__name__}: {error} (in {last.filename}, line {last.lineno})")


def refusal(task: Task, cause: str) -> DataError:
    """The error of a run in which a task failed."""
    return DataError(f"{task.name}: {cause}")


class InlinePool:
    """Tasks one after another in this process."""

    def run(self, tasks: Sequence[Task]) -> list[Any]:
        """See `Pool`."""
        results = []
        for task in tasks:
            answer = answered(task)
            if answer.error:
                raise refusal(task, answer.error)
            results.append(answer.result)
        return results

    def close(self) -> None:
        """Nothing to end."""


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    task: int = -1


@dataclass
class ProcessPool:
    """Tasks in processes of this machine.

    Args:
        workers: how many at once.
    """

    workers: int
    _crew: list[_Worker] = field(default_factory=list)

    def run(self, tasks: Sequence[Task]) -> list[Any]:
        """See `Pool`."""
        results: list[Any] = [None] * len(tasks)
        waiting = deque(range(len(tasks)))
        try:
            self._hire(min(self.workers, len(tasks)))
            for worker in self._crew:
                self._give(worker, tasks, waiting)
            while any(worker.task >= 0 for worker in self._crew):
                for worker, answer in self._answers(tasks):
                    if answer.error:
                        raise refusal(tasks[worker.task], answer.error)
                    results[worker.task] = answer.result
                    self._give(worker, tasks, waiting)
        except BaseException:
            self.close()
            raise
        return results

    def close(self) -> None:
        """End the workers, whatever they do."""
        for worker in self._crew:
            worker.pipe.close()
            worker.process.terminate()
        for worker in self._crew:
            worker.process.join()
        self._crew.clear()

    def _hire(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        while len(self._crew) < count:
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there,), daemon=True)
            process.start()
            there.close()
            self._crew.append(_Worker(process, here))

    def _give(self, worker: _Worker, tasks: Sequence[Task], waiting: deque[int]) -> None:
        worker.task = waiting.popleft() if waiting else -1
        if worker.task >= 0:
            worker.pipe.send(tasks[worker.task])

    def _answers(self, tasks: Sequence[Task]) -> Iterator[tuple[_Worker, Answer]]:
        """Wait until a worker has an answer, and yield those that have one."""
        busy = [worker for worker in self._crew if worker.task >= 0]
        wait([*(worker.pipe for worker in busy), *(worker.process.sentinel for worker in busy)])
        for worker in busy:
            if worker.pipe.poll():
                try:
                    yield worker, worker.pipe.recv()
                    continue
                except EOFError:
                    worker.process.join()
            if not worker.process.is_alive():
                raise refusal(tasks[worker.task], f"its process ended early: {_end(worker.process.exitcode)}")


def _end(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "; was there too little memory? try fewer workers or smaller shards" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}"
    return f"exit code {code}"


def _serve(pipe: Connection) -> None:
    """What a worker does until its parent goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(answered(task))
