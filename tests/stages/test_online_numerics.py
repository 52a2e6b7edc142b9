"""At learning rate 0 in bf16: the trainer's own ratio, and how far the sampler's numbers are from the trainer's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.graders import registry
from burnish.numerics import SAMPLER_GAP
from tests.stages.online_runs import ADAPTER, Vowels, made, write_world
from tests.stages.runs import lines, run

GAP = SAMPLER_GAP[torch.bfloat16]


@pytest.fixture(scope="module", autouse=True)
def vowels() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "GRADERS", {"vowels": registry.Entry(make=lambda _: Vowels(), code=(Vowels,))})
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("online"))


@pytest.mark.parametrize(
    ("verb", "ratio", "adapter"), [("grpo", "token", None), ("grpo", "sequence", ADAPTER), ("ppo", "token", ADAPTER)]
)
def test_in_bf16_the_ratio_at_rate_0_is_exactly_1_and_the_samplers_gap_has_its_bound(
    world: Path, tmp_path: Path, verb: str, ratio: str, adapter: Any
):
    """Over two updates of each of two rollouts, cut into several micro-batches."""
    train = {"precision": "bf16", "micro_batch_size": 1, "optimizer": {"learning_rate": 0.0}}
    changes = {"rollout": {"batches": 2, "passes": 2}, "train": train, "objective": {"ratio": ratio}}
    for row in lines(run(made(verb, world, adapter=adapter, steps=8, **changes), tmp_path / "run")):
        assert row["ratio_mean"] == row["ratio_max"] == 1.0
        assert row["kl_old_new"] == row["kl"] == 0.0
        assert 0 < row["sampler_gap_mean"] < GAP
        assert row["sampler_gap_max"] < 5 * GAP
        assert row["sampler_kl"] < GAP


def test_truncated_weights_correct_for_the_sampler_in_bf16(world: Path, tmp_path: Path):
    """The mean weight of a policy that has not moved is within the bound of 1."""
    train = {"precision": "bf16", "optimizer": {"learning_rate": 0.0}}
    row = lines(run(made("rloo", world, steps=1, train=train, objective={"max_importance": 2.0}), tmp_path / "run"))[0]
    assert 1 / math.exp(GAP) < row["importance_mean"] < math.exp(GAP)
    assert row["importance_truncated"] == 0.0
