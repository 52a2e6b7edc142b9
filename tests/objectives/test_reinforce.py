"""REINFORCE and RLOO: the worked number, the exact gradient by enumeration, importance weights, KL and entropy."""

from __future__ import annotations

import math

import pytest
import torch

from burnish.batch import pack
from burnish.divergences import estimated
from burnish.objectives.grpo import GRPO
from burnish.objectives.reinforce import Reinforce
from burnish.sampling.advantages import group_advantages
from tests.objectives.rollouts import Enumerable, computed, flat, rollout, total

EXACT = Reinforce(average="constant", constant_length=1)
REWARDS = (1.0, -2.0, 0.5, 3.0, 0.0, -1.0, 2.0)


def policy_and_rewards() -> tuple[Enumerable, dict[tuple[int, ...], float]]:
    policy = Enumerable()
    return policy, dict(zip(policy.outputs, REWARDS, strict=True))


def test_the_worked_number():
    loss, gradient, _ = computed(Reinforce(), rollout("p", [[1.0], [-1.0]]), [[-1.0], [-2.0]])
    assert loss == pytest.approx(-0.5)
    assert gradient == pytest.approx([-0.5, 0.5])


def test_the_toy_is_a_distribution():
    policy, _ = policy_and_rewards()
    assert float(torch.stack([policy.probability(output) for output in policy.outputs]).sum().detach()) == (
        pytest.approx(1.0)
    )


@pytest.mark.parametrize("baseline", [0.0, 0.7, -5.0])
def test_the_mean_gradient_is_that_of_the_expected_reward_whatever_the_baseline(baseline: float):
    policy, reward = policy_and_rewards()
    exact = policy.gradient(policy.expected(reward))
    assert float(exact.norm()) > 0.1
    found = policy.mean_gradient(EXACT, lambda group: [reward[group[0]] - baseline], size=1)
    assert torch.allclose(-found, exact, atol=1e-6)


@pytest.mark.parametrize("size", [2, 3])
def test_leaving_one_out_keeps_the_mean_gradient(size: int):
    """RLOO, over every pair and every triple of outputs."""
    policy, reward = policy_and_rewards()

    def advantages(group):
        return group_advantages([reward[output] for output in group], "leave_one_out")

    found = policy.mean_gradient(EXACT, advantages, size=size)
    assert torch.allclose(-found, policy.gradient(policy.expected(reward)), atol=1e-6)


def test_leaving_one_out_spreads_less_than_no_baseline():
    """Over all pairs: the mean is the same, the squared distance from it is not."""
    policy, reward = policy_and_rewards()
    reward = {output: value + 3 for output, value in reward.items()}
    exact = policy.gradient(policy.expected(reward))

    def spread(kind: str) -> float:
        squares = 0.0
        for one in policy.outputs:
            for other in policy.outputs:
                rewards = [reward[one], reward[other]]
                own = group_advantages(rewards, "leave_one_out") if kind == "rloo" else rewards
                rows = [[own[0]] * len(one), [own[1]] * len(other)]
                logp = torch.cat([policy.logps(one), policy.logps(other)])
                found = -policy.gradient(total(EXACT, {"logp": logp}, pack([rollout("g", rows)])))
                chance = float((policy.probability(one) * policy.probability(other)).detach())
                squares += chance * float((found - exact).square().sum())
        return squares

    assert spread("rloo") < 0.5 * spread("plain")


# Importance weights ---------------------------------------------------------------------------------------------------


def test_importance_weights_are_truncated_and_weigh_the_policy_term():
    """old - sampler: log 2, log 4, -log 2; cut at 3: weights 2, 3, 1/2."""
    log2 = math.log(2)
    columns = {"old_logp": [[-1.0] * 3], "sampler_logp": [[-1.0 - log2, -1.0 - 2 * log2, -1.0 + log2]]}
    tree = rollout("p", [[1.0] * 3], columns=columns)
    for objective in (Reinforce(max_importance=3.0), GRPO(max_importance=3.0)):
        _, gradient, metrics = computed(objective, tree, [[-1.0] * 3])
        assert gradient == pytest.approx([-2 / 3, -3 / 3, -0.5 / 3])
        assert metrics["importance_mean"] == pytest.approx(5.5 / 3)
        assert metrics["importance_truncated"] == pytest.approx(1 / 3)
    _, gradient, metrics = computed(Reinforce(), tree, [[-1.0] * 3])
    assert gradient == pytest.approx([-1 / 3] * 3)
    assert "importance_mean" not in metrics
    assert metrics["sampler_gap_mean"] == pytest.approx(4 * log2 / 3)


def test_importance_weights_leave_the_kl_and_the_entropy_alone():
    columns = {"old_logp": [[-1.0]], "sampler_logp": [[-1.0 - math.log(2)]], "reference_logp": [[-1.5]]}
    tree = rollout("p", [[0.0]], columns=columns)
    given = {"kl_weight": 1.0, "entropy_weight": 1.0}
    plain, slope, _ = computed(Reinforce(**given), tree, [[-1.0]], entropy=[[0.5]])
    weighed, same, _ = computed(Reinforce(**given, max_importance=9.0), tree, [[-1.0]], entropy=[[0.5]])
    assert (plain, slope) == (weighed, same)
    assert plain == pytest.approx(math.exp(-0.5) - 1 + 0.5 - 0.5)


def test_importance_weights_bring_the_gradient_of_another_distribution_back():
    """Outputs of one token, drawn by an engine at twice the temperature; weights that are not cut give the gradient."""
    policy, _ = policy_and_rewards()
    logp = torch.log_softmax(policy.logits[0], -1)
    engine = torch.log_softmax(policy.logits[0].detach() / 2, -1)
    reward = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    exact = policy.gradient((logp.exp() * reward).sum())

    def found(objective: Reinforce) -> torch.Tensor:
        mean = torch.zeros_like(policy.logits)
        for token in range(3):
            tree = rollout("p", [[float(reward[token])]], columns={"sampler_logp": [[float(engine[token])]]})
            one = torch.log_softmax(policy.logits[0], -1)[token : token + 1]
            mean += float(engine[token].exp()) * policy.gradient(total(objective, {"logp": one}, pack([tree])))
        return -mean

    assert torch.allclose(found(Reinforce(max_importance=1e6)), exact, atol=1e-6)
    assert float((found(Reinforce()) - exact).norm()) > 0.1 * float(exact.norm())


# KL and entropy in the loss -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["k2", "k3"])
def test_the_kl_term_pulls_towards_the_reference_as_its_estimator_says(kind):
    """The mean gradient over all first tokens: k2 that of KL(pi || ref), k3 that of KL(ref || pi)."""
    policy, _ = policy_and_rewards()
    reference = torch.log_softmax(Enumerable(5).logits[0].detach(), -1)
    own = torch.log_softmax(policy.logits[0], -1)
    forward, backward = (own.exp() * (own - reference)).sum(), (reference.exp() * (reference - own)).sum()
    wanted = policy.gradient(forward if kind == "k2" else backward)
    objective = Reinforce(kl_weight=0.5, kl_estimator=kind)
    mean = torch.zeros_like(policy.logits)
    for token in range(3):
        logp = torch.log_softmax(policy.logits[0], -1)[token : token + 1]
        tree = rollout("p", [[0.0]], columns={"reference_logp": [[float(reference[token])]]})
        mean += float(logp.detach().exp()) * policy.gradient(total(objective, {"logp": logp}, pack([tree])))
    assert torch.allclose(mean, 0.5 * wanted, atol=1e-6)


def test_the_entropy_is_of_the_whole_distribution_because_samples_of_it_pull_nowhere():
    """ST7003's - E[log pi(a)] on sampled tokens has a mean gradient of 0; the term has the gradient of the entropy."""
    policy, _ = policy_and_rewards()
    logp = torch.log_softmax(policy.logits[0], -1)
    chances, entropy = logp.detach().exp(), -(logp.exp() * logp).sum()
    exact = policy.gradient(entropy)
    assert float(exact.norm()) > 0.05
    sampled = sum(float(chances[t]) * policy.gradient(-torch.log_softmax(policy.logits[0], -1)[t]) for t in range(3))
    assert torch.allclose(sampled, torch.zeros_like(exact), atol=1e-12)
    again = torch.log_softmax(policy.logits[0], -1)
    outputs = {"logp": again[:1], "entropy": -(again.exp() * again).sum()[None]}
    loss = total(Reinforce(entropy_weight=0.5), outputs, pack([rollout("p", [[0.0]])]))
    assert torch.allclose(policy.gradient(loss), -0.5 * exact)


def test_terms_are_named_and_averaged_as_the_policy_is():
    columns = {"reference_logp": [[-2.0], [-1.0, -1.5]]}
    tree = rollout("p", [[1.0], [0.5, 0.5]], columns=columns)
    batch, logp, entropy = pack([tree]), flat([[-1.0], [-1.0, -2.0]]), flat([[1.0], [2.0, 4.0]])
    objective = Reinforce(average="completion", kl_weight=0.1, kl_estimator="k2", entropy_weight=0.01)
    terms = objective.loss({"logp": logp, "entropy": entropy}, batch, {}).terms
    k2 = [float(estimated(torch.tensor(x), "k2")) for x in (1.0, 0.0, -0.5)]
    assert float(terms["policy"].detach()) == pytest.approx(1.0 + (0.5 + 1.0) / 2)
    assert float(terms["kl_penalty"].detach()) == pytest.approx(0.1 * (k2[0] + (k2[1] + k2[2]) / 2))
    assert float(terms["entropy_bonus"].detach()) == pytest.approx(-0.01 * (1.0 + 3.0))
    assert objective.reads == ("logp", "entropy")
    assert objective.needs == ("advantage", "reference_logp")


def test_what_has_no_weight_is_neither_read_nor_needed():
    assert Reinforce().reads == ("logp",)
    assert Reinforce().needs == ("advantage",)
    assert Reinforce(max_importance=2.0).needs == ("advantage", "sampler_logp")
    assert Reinforce().weights(pack([rollout("p", [[1.0]])])) == {"policy": 1.0}
