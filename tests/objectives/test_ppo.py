"""PPO: the policy's side is GRPO's, the critic's loss with and without its clip, what is logged of the critic."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.batch import Tree, pack
from burnish.config import load
from burnish.errors import ConfigError
from burnish.metrics import merged, values
from burnish.objectives.grpo import GRPO
from burnish.objectives.ppo import PPO
from burnish.sampling.advantages import gae
from tests.objectives.rollouts import Enumerable, Rows, flat, rollout

FEW = settings(max_examples=15, deadline=None)
QUARTERS = st.integers(-12, 12).map(lambda value: value / 4)


def valued(returns: Rows, old_values: Rows | None = None) -> Tree:
    columns = {"return": returns, **({} if old_values is None else {"old_value": old_values})}
    return rollout("p", [[0.0] * len(row) for row in returns], columns=columns)


def critic(objective: PPO, tree: Tree, value: Rows) -> tuple[float, list[float], dict[str, float]]:
    """The critic's term per token, the gradient of each value, and the metrics."""
    batch, leaf = pack([tree]), flat(value)
    outputs = {"logp": torch.full_like(leaf, -1.0), "value": leaf}
    loss = objective.loss(outputs, batch, {})
    term = loss.terms["value"] / objective.weights(batch)["value"]
    (gradient,) = torch.autograd.grad(term, leaf)
    metrics = {name: float(number) for name, number in values(loss.metrics).items()}
    return float(term.detach()), gradient.tolist(), metrics


def test_the_worked_numbers():
    """V_old 0, V 0.5, clip 0.2: with G 1 the held value is the further one and teaches nothing; with G 0 it is not."""
    objective = PPO(value_weight=1.0)
    loss, gradient, metrics = critic(objective, valued([[1.0]], [[0.0]]), [[0.5]])
    assert loss == pytest.approx(0.64)
    assert gradient == [0.0]
    assert metrics["value_clip_fraction"] == 1.0
    loss, gradient, metrics = critic(objective, valued([[0.0]], [[0.0]]), [[0.5]])
    assert loss == pytest.approx(0.25)
    assert gradient == pytest.approx([1.0])
    assert metrics["value_clip_fraction"] == 0.0


def test_a_value_within_the_limit_is_not_counted_as_clipped():
    """Whatever rounding makes of the old value and the difference to it."""
    generator = torch.Generator().manual_seed(0)
    old, moved, off = torch.rand(3, 1, 500, generator=generator)
    old = 0.1 * old
    value = old + 0.3 * moved - 0.15
    batch = pack([valued((value + 0.001 * off).tolist(), old.tolist())])
    outputs = {"logp": torch.full((500,), -1.0), "value": value[0]}  # in float32, as a critic gives them
    assert float(values(PPO().loss(outputs, batch, {}).metrics)["value_clip_fraction"]) == 0.0


def test_without_the_clip_it_is_the_mean_square_times_its_weight():
    loss, gradient, metrics = critic(PPO(value_clip=None), valued([[1.0, 3.0], [0.0]]), [[0.5, 1.0], [2.0]])
    assert loss == pytest.approx(0.5 * (0.25 + 4.0 + 4.0) / 3)
    assert gradient == pytest.approx([0.5 * 2 * error / 3 for error in (-0.5, -2.0, 2.0)])
    assert metrics["value_loss"] == pytest.approx((0.25 + 4.0 + 4.0) / 3)
    assert metrics["value_mean"] == pytest.approx(3.5 / 3)
    assert metrics["return_mean"] == pytest.approx(4 / 3)
    assert "value_clip_fraction" not in metrics


@FEW
@given(st.lists(st.tuples(QUARTERS, QUARTERS, QUARTERS), min_size=1, max_size=6), st.floats(0.05, 2.0))
def test_closed_form(tokens, clip):
    """The larger of both errors."""
    each = []
    for value, old, target in tokens:
        held = old + max(-clip, min(clip, value - old))
        each.append(max((value - target) ** 2, (held - target) ** 2))
    value, old, target = ([[token[i] for token in tokens]] for i in range(3))
    loss, _, _ = critic(PPO(value_weight=0.3, value_clip=clip), valued(target, old), value)
    assert loss == pytest.approx(0.3 * sum(each) / len(each), rel=1e-5, abs=1e-6)


def test_in_the_first_update_the_clip_does_nothing():
    """Where the values are still the old ones, error and gradient are those of the plain square."""
    old = [[0.25, -0.5, 1.0]]
    clipped = critic(PPO(value_clip=0.1), valued([[1.0, 0.0, 1.0]], old), old)
    plain = critic(PPO(value_clip=None), valued([[1.0, 0.0, 1.0]]), old)
    assert clipped[0] == pytest.approx(plain[0])
    assert clipped[1] == pytest.approx(plain[1])


@pytest.mark.parametrize("average", [{}, {"average": "completion"}, {"average": "constant", "constant_length": 9}])
def test_the_policy_s_side_is_grpo_s(average):
    columns = {
        "old_logp": [[-1.0], [-2.0, -0.5]],
        "reference_logp": [[-1.25], [-2.0, -1.0]],
        "return": [[1.0], [0.0, 0.5]],
        "old_value": [[0.0], [0.0, 0.0]],
    }
    batch = pack([rollout("p", [[1.0], [-0.5, 2.0]], columns=columns)])
    leaf = flat([[-0.5], [-2.5, -0.25]])
    shared = {"kl_weight": 0.1, "clip_high": 0.3, **average}
    grpo = GRPO(**shared)
    ppo = PPO(**shared)
    found = ppo.loss({"logp": leaf, "value": torch.zeros_like(leaf)}, batch, {})
    wanted = grpo.loss({"logp": leaf}, batch, {})
    assert {name: float(term.detach()) for name, term in wanted.terms.items()} == {
        name: float(term.detach()) for name, term in found.terms.items() if name != "value"
    }
    assert ppo.weights(batch) == {**grpo.weights(batch), "value": 3.0}
    assert {name: found.metrics[name] for name in wanted.metrics} == dict(wanted.metrics)


def test_the_policy_and_the_critic_do_not_pull_on_each_other():
    batch = pack([rollout("p", [[1.0, -1.0]], columns={"return": [[1.0, 0.0]], "old_value": [[0.0, 0.0]]})])
    logp, value = flat([[-1.0, -2.0]]), flat([[0.5, 0.5]])
    terms = PPO().loss({"logp": logp, "value": value}, batch, {}).terms
    for name, other in (("policy", value), ("value", logp)):
        assert torch.autograd.grad(terms[name], other, allow_unused=True, retain_graph=True) == (None,)


@FEW
@given(st.lists(st.tuples(QUARTERS, QUARTERS), min_size=2, max_size=8), st.integers(1, 7))
def test_explained_variance_is_of_the_whole_batch(tokens, cut):
    value, target = zip(*tokens, strict=True)
    spread = torch.tensor(target).double()
    wanted = 1 - (spread - torch.tensor(value).double()).var(correction=0) / spread.var(correction=0)
    pieces = [tokens[:cut], tokens[cut:]] if cut < len(tokens) else [tokens]
    objective = PPO(value_clip=None)
    parts = []
    for piece in pieces:
        own, returns = ([[token[i] for token in piece]] for i in range(2))
        leaf = flat(own)
        outputs = {"logp": torch.full_like(leaf, -1.0), "value": leaf}
        parts.append(objective.loss(outputs, pack([valued(returns)]), {}).metrics)
    found = values(merged(parts))["explained_variance"]
    expected = math.nan if len(set(target)) == 1 else float(wanted)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9, nan_ok=True)


def test_a_critic_converges_to_the_known_value():
    """Three steps to a reward of 1 or 0 by a coin; the value before each is the chance of what may still come."""
    value = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([value], lr=0.5)
    objective = PPO(value_clip=None, value_weight=1.0)
    for _ in range(80):
        before = value.detach().tolist()
        rows = [gae([0.0, 0.0, score], before, discount=1.0, trace=0.5)[1] for score in (1.0, 1.0, 1.0, 0.0)]
        batch = pack([valued(rows)])
        outputs = {"logp": torch.full((12,), -1.0), "value": value.repeat(4)}
        loss = objective.loss(outputs, batch, {}).terms["value"] / objective.weights(batch)["value"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert value.tolist() == pytest.approx([0.75] * 3, abs=1e-4)


def test_a_value_is_of_the_state_before_its_token():
    """Exact values as the baseline, over all outputs: read before the token they keep the exact gradient.

    Read with the token in view, as in the lifecycle document's 4.5, the first token is never better than expected.
    """
    policy = Enumerable()
    reward = dict(zip(policy.outputs, (1.0, -2.0, 0.5, 3.0, 0.0, -1.0, 2.0), strict=True))
    exact = policy.gradient(policy.expected(reward))
    start = float(policy.expected(reward).detach())

    def after(first: int) -> float:
        """The expected reward once the first token is said."""
        behind = [output for output in policy.outputs if output[0] == first]
        chances = [float(policy.probability(output).detach()) for output in behind]
        return sum(c * reward[o] for c, o in zip(chances, behind, strict=True)) / sum(chances)

    def mean_gradient(seen: bool) -> torch.Tensor:
        mean = torch.zeros_like(policy.logits)
        objective = PPO(average="constant", constant_length=1, value_clip=None)
        for output in policy.outputs:
            values_ = [start, after(output[0])][: len(output)]
            if seen:
                values_ = [*values_[1:], reward[output]]
            rewards = [0.0] * (len(output) - 1) + [reward[output]]
            row, returns = gae(rewards, values_, discount=1.0, trace=1.0)
            batch = pack([rollout("p", [row], columns={"return": [returns]})])
            outputs = {"logp": policy.logps(output), "value": torch.zeros(len(output))}
            term = objective.loss(outputs, batch, {}).terms["policy"] / objective.weights(batch)["policy"]
            mean += float(policy.probability(output).detach()) * policy.gradient(term)
        return -mean

    assert torch.allclose(mean_gradient(seen=False), exact, atol=1e-6)
    assert float(exact[0].norm()) > 0.1
    assert float(mean_gradient(seen=True)[0].norm()) < 1e-6


def test_what_it_reads_and_needs():
    assert PPO().reads == ("logp", "value")
    assert PPO(entropy_weight=0.1).reads == ("logp", "entropy", "value")
    assert PPO().needs == ("advantage", "return", "old_value")
    assert PPO(value_clip=None, kl_weight=0.1).needs == ("advantage", "reference_logp", "return")


@pytest.mark.parametrize("wrong", [{"value_weight": 0}, {"value_clip": 0}, {"value_clip": -1}, {"kl_estimator": "k1"}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        load(PPO, wrong)
