"""Two gloo ranks with unequal data give the gradients and metrics of one process, sharded by FSDP2 or not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from burnish.metrics import Max, Mean, Sum
from burnish.training.parallel import Ranks, held, rows_of, whole
from tests.training import two_ranks
from tests.training.toys import Circle, ThreadRanks, on_ranks

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def meeting(tmp_path_factory) -> Path:
    """The folder in which two ranks have met and left what they found."""
    folder = tmp_path_factory.mktemp("ranks")
    two_ranks.resumed(folder / "by-one", lambda part: None, stop=2)
    script = [sys.executable, "-m", "tests.training.two_ranks"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    ranks = [
        subprocess.Popen(
            [*script, str(rank), str(folder)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for rank in (0, 1)
    ]
    try:
        said = [rank.communicate(timeout=300)[0].decode() for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(said)
    return folder


@pytest.fixture(scope="module")
def found(meeting: Path) -> list[dict[str, Any]]:
    """What each rank found."""
    return [torch.load(meeting / f"{rank}.pt") for rank in (0, 1)]


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], share: float) -> None:
    """Equal names, and a difference that is a small share of the norm of the whole."""
    assert found.keys() == expected.keys()
    one, other = (torch.cat([values[name].flatten() for name in expected]) for values in (found, expected))
    assert float(other.norm()) > 0.01
    assert float((one - other).norm() / other.norm()) < share


@pytest.mark.parametrize("how", ["sharded", "whole"])
@pytest.mark.parametrize("name", two_ranks.CASES)
def test_two_ranks_are_one(found, name: str, how: str):
    """Sharded: FSDP2 sums the gradients. Whole: every rank holds all weights, and the trainer sums.

    After the first update, which is clipped, the weights are the same too, and so are the numbers of the second one.
    """
    expected = two_ranks.outcome(two_ranks.CASES[name], lambda part: None)
    for rank in (0, 1):
        own = found[rank][f"{name} {how}"]
        assert_close(own["gradients"], expected["gradients"], 1e-5)
        assert_close(own["weights"], expected["weights"], 1e-4)
        for line, other in zip(own["metrics"], expected["metrics"], strict=True):
            assert line == pytest.approx(other, rel=2e-4, abs=1e-5)
    assert expected["metrics"][0]["grad_norm"] > two_ranks.UPDATES.clip_norm, "the clipping must have been at work"


@pytest.mark.parametrize("how", ["sharded", "whole"])
def test_both_ranks_hold_the_same_weights_and_numbers(found, how: str):
    for name in two_ranks.CASES:
        first, second = (rank[f"{name} {how}"] for rank in found)
        assert str(first["metrics"]) == str(second["metrics"])
        assert all(torch.equal(first["weights"][key], second["weights"][key]) for key in first["weights"])


def test_the_number_of_ranks_may_change_on_resume(found, meeting: Path):
    """Two updates by one process and two by two sharded ranks, and the other way round, are four by one."""
    straight = two_ranks.resumed(meeting / "straight", lambda part: None, stop=4)
    assert_close(found[0]["by one, then two"], straight, 1e-4)
    assert_close(two_ranks.resumed(meeting / "by-two", lambda part: None, stop=4), straight, 1e-4)


# Without other processes ----------------------------------------------------------------------------------------------


def test_one_process_is_one_rank():
    ranks = Ranks()
    assert (ranks.index, ranks.count) == (0, 1)
    metrics = {"loss": Mean(2.0, 4.0)}
    assert ranks.merged(metrics) == metrics
    ranks.wait()
    tensor = torch.ones(3)
    assert whole(tensor) is tensor
    assert held(tensor) is tensor
    assert rows_of(tensor) is None


def test_metrics_are_added_up_in_the_order_of_the_ranks():
    mine = [{"loss": Mean(1.0, 1.0), "count": Sum(2.0)}, {"loss": Mean(5.0, 3.0), "count": Sum(1.0), "top": Max(7.0)}]
    found = on_ranks(2, lambda ranks: ranks.merged(mine[ranks.index]))
    assert found == [{"loss": Mean(6.0, 4.0), "count": Sum(3.0), "top": Max(7.0)}] * 2


def test_a_gradient_that_only_one_rank_has_reaches_all_and_none_stays_none():
    def work(ranks: ThreadRanks) -> list[Tensor | None]:
        masters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
        masters[0].grad = torch.full((2,), 1.0 + ranks.index)
        if ranks.index == 1:
            masters[1].grad = torch.full((2,), 5.0)
        ranks.sum_gradients(masters)
        return [None if master.grad is None else master.grad.tolist() for master in masters]

    assert on_ranks(2, work) == [[[3.0, 3.0], [5.0, 5.0], None]] * 2
    assert Circle(1).gather(0, "alone") == ["alone"]
