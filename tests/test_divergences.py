"""KL estimators against the exact KL, by enumeration: their means, their signs, and what pulls on the policy."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from burnish.divergences import Estimator, estimated

MANY = settings(max_examples=30, deadline=None)
LOGITS = st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=2, max_size=6)


def distributions(logits: list[tuple[float, float]]) -> tuple[Tensor, Tensor, Tensor]:
    """The policy's logits, its log-probs, and the reference's."""
    own, other = torch.tensor(logits, dtype=torch.float64).T
    leaf = own.clone().requires_grad_(True)
    return leaf, torch.log_softmax(leaf, 0), torch.log_softmax(other, 0)


def kl(first: Tensor, second: Tensor) -> Tensor:
    """The exact KL between two rows of log-probs."""
    return (first.exp() * (first - second)).sum()


def gradient(value: Tensor, leaf: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(value, leaf, retain_graph=True)
    return found


def test_the_worked_numbers():
    """x = log 2: the sample is twice as likely under p as under q."""
    x = torch.tensor([math.log(2.0)], dtype=torch.float64)
    assert float(estimated(x, "k1")) == pytest.approx(0.6931472)
    assert float(estimated(x, "k2")) == pytest.approx(0.2402265)
    assert float(estimated(x, "k3")) == pytest.approx(0.5 - 1 + 0.6931472)


@MANY
@given(LOGITS)
def test_k1_and_k3_have_the_exact_kl_as_their_mean(logits):
    _, policy, reference = distributions(logits)
    for kind in ("k1", "k3"):
        mean = (policy.exp() * estimated(policy - reference, kind)).sum()
        assert float(mean.detach()) == pytest.approx(float(kl(policy, reference).detach()), abs=1e-9)


@MANY
@given(LOGITS, st.floats(1e-3, 1e-2))
def test_k2_is_close_where_the_two_are(logits, step):
    policy = torch.log_softmax(torch.tensor([a for a, _ in logits], dtype=torch.float64), 0)
    change = torch.tensor([math.tanh(b) for _, b in logits], dtype=torch.float64)
    near = torch.log_softmax(policy + step * change, 0)
    mean = float((policy.exp() * estimated(policy - near, "k2")).sum())
    assert mean == pytest.approx(float(kl(policy, near)), rel=0.05, abs=1e-9)


def test_k2_is_biased_where_they_are_not():
    """p = (1/2, 1/2), q = (1/8, 7/8): KL 0.413, k2 0.559."""
    policy, reference = (torch.tensor(p, dtype=torch.float64).log() for p in ([0.5, 0.5], [0.125, 0.875]))
    mean = float((policy.exp() * estimated(policy - reference, "k2")).sum())
    assert float(kl(policy, reference)) == pytest.approx(0.41334, abs=1e-5)
    assert mean == pytest.approx(0.55875, abs=1e-5)


@MANY
@given(st.lists(st.floats(-20, 20), min_size=1, max_size=8))
def test_k2_and_k3_are_never_below_0_and_k1_is(values):
    x = torch.tensor(values, dtype=torch.float64)
    assert bool((estimated(x, "k2") >= 0).all())
    assert bool((estimated(x, "k3") >= 0).all())
    assert bool((estimated(-x.abs() - 1, "k1") < 0).all())


def test_k3_keeps_its_digits_near_0():
    """exp(-x) - 1 + x in float32 would give 0 or noise here; it is x^2 / 2."""
    x = torch.tensor([1e-3, -1e-3])
    assert estimated(x, "k3").tolist() == pytest.approx([5e-7, 5e-7], rel=0.1)


def in_the_loss(kind: Estimator, leaf: Tensor, policy: Tensor, reference: Tensor) -> Tensor:
    """The mean gradient of the estimator itself, the samples standing still."""
    return gradient((policy.exp().detach() * estimated(policy - reference, kind)).sum(), leaf)


def in_the_reward(kind: Estimator, leaf: Tensor, policy: Tensor, reference: Tensor) -> Tensor:
    """The mean gradient of what the estimator is paid for, by REINFORCE."""
    cost = estimated(policy - reference, kind).detach()
    return gradient((policy.exp().detach() * cost * policy).sum(), leaf)


@MANY
@given(LOGITS)
def test_what_each_estimator_pulls_towards(logits):
    leaf, policy, reference = distributions(logits)
    forward, backward = gradient(kl(policy, reference), leaf), gradient(kl(reference, policy), leaf)

    def same(found: Tensor, wanted: Tensor) -> bool:
        return torch.allclose(found, wanted, atol=1e-9)

    assert same(in_the_loss("k1", leaf, policy, reference), torch.zeros_like(leaf))
    assert same(in_the_loss("k2", leaf, policy, reference), forward)
    assert same(in_the_loss("k3", leaf, policy, reference), backward)
    assert same(in_the_reward("k1", leaf, policy, reference), forward)
    assert same(in_the_reward("k3", leaf, policy, reference), forward - backward)


def test_k2_in_the_reward_pulls_towards_neither():
    leaf, policy, reference = distributions([(0.0, 0.0), (1.0, -1.0), (-0.5, 2.0)])
    found = in_the_reward("k2", leaf, policy, reference)
    for other in (kl(policy, reference), kl(reference, policy)):
        wanted = gradient(other, leaf)
        assert float(torch.nn.functional.cosine_similarity(found, wanted, dim=0)) < 0.95
