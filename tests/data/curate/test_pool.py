"""Tasks in processes: results in order, errors named, nothing that hangs."""

from __future__ import annotations

import os
import time

import pytest

from burnish.data.curate.pool import Answer, InlinePool, ProcessPool, Task, answered
from burnish.errors import DataError


def double(number: int) -> int:
    time.sleep(0.01 * (number % 3))
    return 2 * number


def fail(number: int) -> int:
    if number == 3:
        raise DataError("file x, row 7: not good")
    return number


def leave(number: int) -> int:
    if number == 2:
        os._exit(5)
    return os.getpid()


def tasks(function, count: int = 6) -> list[Task]:
    return [Task(name=f"task {number}", function=function, arguments=(number,)) for number in range(count)]


@pytest.fixture(scope="module")
def pool():
    made = ProcessPool(2)
    yield made
    made.close()


def test_results_come_in_the_order_of_the_tasks(pool):
    assert pool.run(tasks(double)) == InlinePool().run(tasks(double)) == [0, 2, 4, 6, 8, 10]
    assert pool.run([]) == []


def test_an_error_names_the_task_and_the_pool_can_be_used_again(pool):
    for one in (pool, InlinePool()):
        with pytest.raises(DataError, match=r"^task 3: file x, row 7: not good$"):
            one.run(tasks(fail))
        assert one.run(tasks(double, 2)) == [0, 2]


def test_a_process_that_ends_early_is_named(pool):
    with pytest.raises(DataError, match="task 2: its process ended early: exit code 5"):
        pool.run(tasks(leave))
    assert pool.run(tasks(double, 3)) == [0, 2, 4]


def test_an_unexpected_error_says_where():
    answer = answered(Task(name="t", function=divmod, arguments=(1, 0)))
    assert answer.error.startswith("ZeroDivisionError: ")
    assert answered(Task(name="t", function=max, arguments=(1, 2))) == Answer(2)


def test_no_worker_is_left_behind():
    made = ProcessPool(2)
    assert made.run(tasks(double, 2)) == [0, 2]
    processes = [worker.process for worker in made._crew]
    made.close()
    assert len(processes) == 2
    assert not any(process.is_alive() for process in processes)
