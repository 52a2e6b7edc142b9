"""What the policy gradients refuse and what they log."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from burnish.batch import Branch, Tree
from burnish.errors import DataError
from burnish.objectives.grpo import GRPO
from burnish.objectives.objective import Objective
from burnish.objectives.ppo import PPO
from burnish.objectives.reinforce import Reinforce
from tests.objectives.rollouts import computed, rollout

EVERY = pytest.mark.parametrize("objective", [Reinforce(), GRPO(), PPO()], ids=["reinforce", "grpo", "ppo"])
FULL = {"return": [[1.0, 0.0]], "old_value": [[0.0, 0.0]], "old_logp": [[-1.0, -2.0]], "sampler_logp": [[-1.0, -2.0]]}


def full(**changes: list[float]) -> Tree:
    columns = {**FULL, **{name: [row] for name, row in changes.items()}}
    return rollout("row 7", [columns.pop("advantage", [[1.0, -1.0]])[0]], columns=columns)


@EVERY
def test_the_check_passes_what_can_be_computed(objective: Objective):
    objective.check([full(), full()])


@EVERY
@pytest.mark.parametrize("column", ["advantage", "old_logp", "sampler_logp", "return"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused_by_name(objective: Objective, column: str, bad: float):
    """-inf too: it is what an engine gives a token that its own filters would not have drawn."""
    with pytest.raises(DataError, match=rf"'row 7', completion 0: '{column}' of token 1 is {bad}; nothing is trained"):
        objective.check([full(), full(**{column: [-1.0, bad]})])


@pytest.mark.parametrize("column", ["old_logp", "sampler_logp", "reference_logp"])
def test_a_log_prob_above_0_is_refused(column: str):
    with pytest.raises(DataError, match=rf"'{column}' of token 0 is 0\.5; a log-probability is at most 0"):
        GRPO().check([full(**{column: [0.5, -1.0]})])
    GRPO().check([full(**{column: [1e-6, -1.0]})])


@pytest.mark.parametrize(
    ("objective", "missing"),
    [
        (Reinforce(), "advantage"),
        (GRPO(kl_weight=0.1), "reference_logp"),
        (GRPO(max_importance=2.0), "sampler_logp"),
        (PPO(), "return"),
        (PPO(), "old_value"),
    ],
)
def test_a_missing_column_is_refused_by_name(objective: Objective, missing: str):
    tree = full(reference_logp=[-1.0, -1.0])
    objective.check([tree])
    kept = {name: row for name, row in tree.branches[0].token_columns.items() if name != missing}
    without = replace(tree, branches=(replace(tree.branches[0], token_columns=kept),))
    kind = type(objective).__name__
    message = (
        rf"'row 7', completion 0: {kind} needs '{missing}' for every token, and its token columns are \(.*old_logp"
    )
    with pytest.raises(DataError, match=message):
        objective.check([without])


def test_a_number_for_the_whole_completion_is_not_one_for_every_token():
    tree = full()
    branch = replace(tree.branches[0], columns={"reference_logp": -3.0})
    with pytest.raises(DataError, match="it has one number 'reference_logp' for the whole completion"):
        GRPO(kl_weight=0.1).check([replace(tree, branches=(branch,))])


def test_a_completion_without_a_token_is_refused():
    empty = Tree(id="mute", prompt=[1], branches=(Branch(tokens=[], weights=[], token_columns={"advantage": []}),))
    with pytest.raises(DataError, match="'mute', completion 0 has no sampled token"):
        GRPO().check([empty])


def test_columns_that_only_some_completions_have_are_refused():
    """Where old_logp is absent the ratio is 1: on a part of a rollout alone that would be wrong without a word."""
    some = rollout("early", [[1.0]], columns={"old_logp": [[-1.0]]})
    with pytest.raises(
        DataError, match=r"'late', completion 0 has the token columns \(advantage\), .* \(advantage, old"
    ):
        GRPO().check([some, rollout("late", [[1.0]])])


# What is logged -------------------------------------------------------------------------------------------------------


def test_the_metrics_of_a_rollout():
    """Two completions of 2 and 1 tokens; the second one's group had no variance."""
    columns = {
        "old_logp": [[-1.0, -2.0], [-0.5]],
        "sampler_logp": [[-1.25, -2.0], [-0.25]],
        "reference_logp": [[-2.0, -1.5], [-0.5]],
    }
    tree = rollout("p", [[1.5, 1.5], [0.0]], columns=columns)
    _, _, found = computed(GRPO(entropy_weight=0.1), tree, [[-0.5, -2.0], [-0.5]], entropy=[[1.0, 2.0], [0.0]])

    def k3(*ratios: float) -> float:
        return sum(math.exp(-x) - 1 + x for x in ratios)

    wanted = {
        "length": 1.5,
        "advantage_mean": 1.0,
        "advantage_spread": math.sqrt(0.5),
        "advantage_zero": 0.5,
        "entropy": 1.0,
        "kl_old_new": k3(-0.5, 0.0, 0.0) / 3,
        "kl_k1_per_token": (1.0 - 0.5) / 3,
        "kl_k3_per_token": k3(1.0, -0.5, 0.0) / 3,
        "kl_k1_per_completion": (1.0 - 0.5) / 2,
        "kl_k3_per_completion": k3(1.0, -0.5, 0.0) / 2,
        "sampler_gap_mean": (0.25 + 0.0 + 0.25) / 3,
        "sampler_gap_max": 0.25,
        "sampler_kl": k3(-0.25, 0.0, 0.25) / 3,
        "ratio_mean": (math.exp(0.5) + 2) / 3,
        "ratio_max": math.exp(0.5),
        "clip_fraction_low": 0.0,
        "clip_fraction_high": 1 / 3,
    }
    assert found == pytest.approx(wanted, rel=1e-5, abs=1e-7)


def test_a_completion_teaches_nothing_if_every_advantage_of_it_is_0():
    _, _, found = computed(Reinforce(), rollout("p", [[1.5, 0.0], [0.0], [0.0, 0.0]]), [[-1.0] * 2, [-1.0], [-1.0] * 2])
    assert found["advantage_zero"] == pytest.approx(2 / 3)


def test_what_is_absent_is_not_logged():
    _, _, found = computed(Reinforce(), rollout("p", [[1.0]]), [[-1.0]])
    assert set(found) == {"length", "advantage_mean", "advantage_spread", "advantage_zero", "kl_old_new"}
