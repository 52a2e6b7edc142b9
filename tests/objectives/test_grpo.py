"""GRPO: the worked numbers, what the clip does, the sequence ratio, averages, and REINFORCE at ratio 1."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.batch import pack
from burnish.config import load
from burnish.errors import ConfigError
from burnish.metrics import merged, values
from burnish.objectives.grpo import GRPO
from burnish.objectives.reinforce import Reinforce
from burnish.sampling.advantages import group_advantages
from tests.objectives.rollouts import Enumerable, computed, flat, rollout, total

FEW = settings(max_examples=15, deadline=None)
LOGP = st.floats(-4, -0.05)
REWARDS = (1.0, -2.0, 0.5, 3.0, 0.0, -1.0, 2.0)
"""Of the outputs of the policy that can be enumerated."""


def old(rows: Sequence[Sequence[float]]) -> dict[str, Sequence[Sequence[float]]]:
    return {"old_logp": rows}


def test_the_clip_of_the_lecture():
    """ST7003: the probability goes from 0.1 to 0.3, the ratio is 3, and with eps 0.2 it counts as 1.2."""
    before, now = math.log(0.1), math.log(0.3)
    loss, gradient, metrics = computed(GRPO(), rollout("p", [[1.0]], columns=old([[before]])), [[now]])
    assert loss == pytest.approx(-1.2)
    assert gradient == [0.0]
    assert metrics["ratio_max"] == pytest.approx(3.0)
    assert metrics["clip_fraction_high"] == 1.0
    assert metrics["clip_fraction_low"] == 0.0


def test_the_clip_does_not_hold_back_what_makes_up_for_a_mistake():
    """A likelier token that turned out bad is pushed down from wherever it is, and a rarer good one up."""
    before, now = math.log(0.1), math.log(0.3)
    loss, gradient, metrics = computed(GRPO(), rollout("p", [[-1.0]], columns=old([[before]])), [[now]])
    assert loss == pytest.approx(3.0)
    assert gradient == pytest.approx([3.0])
    assert metrics["clip_fraction_high"] == metrics["clip_fraction_low"] == 0.0
    loss, gradient, _ = computed(GRPO(), rollout("p", [[2.0]], columns=old([[now]])), [[before]])
    assert loss == pytest.approx(-2 / 3)
    assert gradient == pytest.approx([-2 / 3])


@pytest.mark.parametrize(
    ("ratio", "advantage", "counts", "low", "high"),
    [
        (1.25, 1.0, 1.25, 0, 0),
        (1.30, 1.0, 1.28, 0, 1),
        (0.85, -1.0, 0.85, 0, 0),
        (0.70, -1.0, 0.80, 1, 0),
        (0.70, 1.0, 0.70, 0, 0),
        (1.30, -1.0, 1.30, 0, 0),
    ],
)
def test_both_sides_of_an_asymmetric_clip(ratio, advantage, counts, low, high):
    """DAPO: 0.2 below and 0.28 above."""
    tree = rollout("p", [[advantage]], columns=old([[-2.0]]))
    loss, gradient, metrics = computed(GRPO(clip_high=0.28), tree, [[-2.0 + math.log(ratio)]])
    assert loss == pytest.approx(-advantage * counts)
    assert gradient == pytest.approx([0.0 if low or high else -advantage * ratio])
    assert (metrics["clip_fraction_low"], metrics["clip_fraction_high"]) == (low, high)


# What counts alike ----------------------------------------------------------------------------------------------------

TWO = rollout("two", [[1.0], [-1.0] * 4])
"""Completions of 1 and 4 tokens."""


@pytest.mark.parametrize(
    ("settings_", "loss", "gradient"),
    [
        ({"average": "token"}, (-1 + 4) / 5, [-1 / 5] + [1 / 5] * 4),
        ({"average": "completion"}, (-1 + 1) / 2, [-1 / 2] + [1 / 8] * 4),
        ({"average": "constant", "constant_length": 10}, (-1 + 4) / 20, [-1 / 20] + [1 / 20] * 4),
    ],
)
def test_averages(settings_, loss, gradient):
    found, slope, _ = computed(GRPO(**settings_), TWO, [[-1.0], [-1.0] * 4])
    assert found == pytest.approx(loss)
    assert slope == pytest.approx(gradient)


def test_weights_depend_on_the_batch_alone():
    batch = pack([TWO, rollout("three", [[0.5] * 2, [0.5], [-1.0]])])
    assert GRPO().weights(batch) == {"policy": 9.0}
    assert GRPO(average="completion").weights(batch) == {"policy": 5.0}
    every = GRPO(average="constant", constant_length=7, kl_weight=0.1, entropy_weight=0.1)
    assert every.weights(batch) == dict.fromkeys(("policy", "kl_penalty", "entropy_bonus"), 5.0)


# Ratio 1 --------------------------------------------------------------------------------------------------------------


@FEW
@given(st.lists(st.lists(LOGP, min_size=1, max_size=4), min_size=2, max_size=4), st.sampled_from(["token", "sequence"]))
def test_without_old_log_probs_the_ratio_is_exactly_1_and_so_it_is_with_the_same_ones(logps, ratio):
    """In float32, to the bit: the loss, the gradient and the metrics do not tell the two apart."""
    advantages = [[(-1.0) ** i] * len(row) for i, row in enumerate(logps)]
    leaf = flat(logps, dtype=torch.float32)
    same = iter(leaf.tolist())
    stored = [[next(same) for _ in row] for row in logps]
    objective = GRPO(ratio=ratio, clip_low=0.0, clip_high=0.0)
    found = []
    for tree in (rollout("p", advantages), rollout("p", advantages, columns=old(stored))):
        batch = pack([tree])
        loss = total(objective, {"logp": leaf}, batch)
        metrics = values(objective.loss({"logp": leaf}, batch, {}).metrics)
        found.append((float(loss.detach()), torch.autograd.grad(loss, leaf)[0].tolist(), metrics))
    assert found[0] == found[1]
    assert found[0][2]["ratio_max"] == found[0][2]["ratio_mean"] == 1.0
    assert found[0][2]["kl_old_new"] == 0.0
    assert found[0][2]["clip_fraction_low"] == found[0][2]["clip_fraction_high"] == 0.0


@FEW
@given(
    st.lists(st.lists(LOGP, min_size=1, max_size=4), min_size=2, max_size=4),
    st.lists(st.integers(-3, 3).map(float), min_size=4, max_size=4),
    st.sampled_from(["normalised", "mean_only", "leave_one_out"]),
    st.sampled_from([{}, {"average": "completion"}, {"average": "constant", "constant_length": 5}]),
    st.sampled_from(["token", "sequence"]),
)
def test_at_ratio_1_it_is_reinforce_with_the_group_as_its_baseline(logps, rewards, kind, average, ratio):
    group = group_advantages(rewards[: len(logps)], kind)
    tree = rollout("p", [[value] * len(row) for value, row in zip(group, logps, strict=True)])
    _, clipped, _ = computed(GRPO(ratio=ratio, **average), tree, logps)
    _, plain, _ = computed(Reinforce(**average), tree, logps)
    assert clipped == pytest.approx(plain, rel=1e-6, abs=1e-9)
    assert any(clipped) == any(group)


def mean_only(reward):
    return lambda group: group_advantages([reward[output] for output in group], "mean_only")


def test_the_mean_gradient_over_all_groups_is_the_exact_one():
    """Over every pair and every triple of the 7 outputs. The mean of G holds R_i itself, which costs (G - 1) / G."""
    policy = Enumerable()
    reward = dict(zip(policy.outputs, REWARDS, strict=True))
    exact = policy.gradient(policy.expected(reward))
    assert float(exact.norm()) > 0.1
    objective = GRPO(average="constant", constant_length=1)
    for size in (2, 3):
        found = policy.mean_gradient(objective, mean_only(reward), size=size)
        assert torch.allclose(-found, (size - 1) / size * exact, atol=1e-7)


def test_normalised_groups_of_two_with_right_and_wrong_answers_have_the_exact_gradient():
    """A pair that differs has the advantages 1 and -1; their mean gradient is that of the chance to be right."""
    policy = Enumerable(1)
    reward = {output: float(sum(output) % 2) for output in policy.outputs}
    exact = policy.gradient(policy.expected(reward))

    def advantages(group):
        return group_advantages([reward[output] for output in group], "normalised")

    found = policy.mean_gradient(GRPO(average="constant", constant_length=1), advantages, size=2)
    assert torch.allclose(-found, exact, atol=1e-7)


def test_an_average_over_completions_is_not_the_exact_gradient():
    """Why `constant` exists: dividing by its own length makes a long good answer worth less (Liu et al. 2025)."""
    policy = Enumerable(2)
    reward = dict(zip(policy.outputs, REWARDS, strict=True))
    exact = policy.gradient(policy.expected(reward))
    found = -policy.mean_gradient(GRPO(average="completion"), mean_only(reward), size=2)
    assert float(torch.nn.functional.cosine_similarity(found.flatten(), exact.flatten(), dim=0)) < 0.99


# The sequence ratio ---------------------------------------------------------------------------------------------------


@FEW
@given(
    st.lists(st.lists(st.tuples(LOGP, LOGP), min_size=1, max_size=5), min_size=1, max_size=4),
    st.lists(st.floats(-2, 2), min_size=4, max_size=4),
    st.floats(0.01, 0.5),
)
def test_the_sequence_ratio_is_gspo(rows, advantages, clip):
    """Zheng et al. 2025, eq. 5 and 7, written down and left to autograd: the same value and the same gradient."""
    tree = rollout(
        "p",
        [[a] * len(row) for a, row in zip(advantages, rows, strict=False)],
        columns=old([[before for _, before in row] for row in rows]),
    )
    now = [[value for value, _ in row] for row in rows]
    loss, gradient, _ = computed(GRPO(ratio="sequence", average="completion", clip_low=clip, clip_high=clip), tree, now)
    leaves = [flat([row]) for row in now]
    each = []
    for leaf, row, advantage in zip(leaves, rows, advantages, strict=False):
        before = torch.tensor([value for _, value in row], dtype=torch.float32).double()
        ratio = (leaf - before).mean().exp()
        advantage_ = float(torch.tensor(advantage))
        each.append(torch.minimum(ratio * advantage_, ratio.clamp(1 - clip, 1 + clip) * advantage_))
    wanted = -torch.stack(each).mean()
    slopes = torch.cat(torch.autograd.grad(wanted, leaves))
    assert loss == pytest.approx(float(wanted.detach()), rel=1e-5, abs=1e-6)
    assert gradient == pytest.approx(slopes.tolist(), rel=1e-4, abs=1e-6)


def test_the_sequence_ratio_is_one_for_the_whole_completion():
    """Tokens at 4 and 1/4 have the ratio 1 together; by tokens the one would be clipped."""
    tree = rollout("p", [[1.0, 1.0]], columns=old([[-2.0, -2.0]]))
    logp = [[-2.0 + math.log(4), -2.0 - math.log(4)]]
    _, whole, metrics = computed(GRPO(ratio="sequence"), tree, logp)
    _, single, _ = computed(GRPO(), tree, logp)
    assert whole == pytest.approx([-0.5, -0.5])
    assert single == pytest.approx([0.0, -0.125])
    assert metrics["ratio_max"] == pytest.approx(1.0)


@FEW
@given(st.lists(st.lists(st.tuples(LOGP, LOGP), min_size=1, max_size=4), min_size=2, max_size=5), st.integers(1, 4))
def test_neither_order_nor_split_matters(rows, cut):
    advantages = [[float(i - 1)] * len(row) for i, row in enumerate(rows)]
    objective = GRPO(average="completion", ratio="sequence")

    def parts(places):
        tree = rollout(
            "p",
            [advantages[i] for i in places],
            columns=old([[before for _, before in rows[i]] for i in places]),
        )
        return pack([tree]), {"logp": flat([[now for now, _ in rows[i]] for i in places])}

    def found(groups):
        batches = [parts(places) for places in groups if places]
        losses = [objective.loss(outputs, batch, {}) for batch, outputs in batches]
        weight = sum(objective.weights(batch)["policy"] for batch, _ in batches)
        loss = sum(float(one.terms["policy"].detach()) for one in losses) / weight
        return {"loss": loss, **values(merged([one.metrics for one in losses]))}

    order = list(range(len(rows)))
    mixed = order[::-1]
    assert found([mixed[:cut], mixed[cut:]]) == pytest.approx(found([order]), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"clip_low": -0.1}, "clip_low"),
        ({"clip_low": 1.5}, "clip_low"),
        ({"ratio": "group"}, "ratio"),
        ({"kl_estimator": "k1"}, "k1 pulls nowhere in a loss: the mean of its gradient is 0; set it to k2"),
        ({"kl_estimator": "k4"}, "kl_estimator"),
        ({"average": "constant"}, "needs constant_length"),
        ({"constant_length": 5}, "average token does not read it"),
        ({"max_importance": 0}, "max_importance"),
        ({"kl_weight": -1}, "kl_weight"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        load(GRPO, wrong)
