"""ORPO: the worked number, its two terms, and its numbers at the edges of float32."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.batch import Tree
from burnish.config import load
from burnish.errors import ConfigError, DataError
from burnish.metrics import values
from burnish.objectives.orpo import ORPO, log1mexp
from tests.objectives.tables import batch_of, branch, pair

FEW = settings(max_examples=20, deadline=None)
LOGPS = st.lists(st.floats(-6, -0.01), min_size=1, max_size=4)


def computed(objective: ORPO, chosen: list[float], rejected: list[float]):
    """The terms over their weights, the gradient of their sum, and the metrics."""
    batch, logp = batch_of([pair("a", chosen, rejected)], {"a": [chosen, rejected]})
    found = objective.loss({"logp": logp}, batch, {})
    assert objective.weights(batch) == {"sft": 1.0, "odds_ratio": 1.0}
    torch.stack(list(found.terms.values())).sum().backward()
    assert logp.grad is not None
    terms = {name: float(term.detach()) for name, term in found.terms.items()}
    return terms, logp.grad.tolist(), values(found.metrics)


def odds(answer: list[float]) -> float:
    probability = math.exp(sum(answer) / len(answer))
    return probability / (1 - probability)


def test_the_worked_number():
    """P = 1/2 and 1/3 per token: log 2 = 0.6931472, and 0.1 * log(3/2) = 0.0405465 from the odds ratio 2."""
    terms, _, metrics = computed(ORPO(odds_weight=0.1), [math.log(1 / 2)] * 3, [math.log(1 / 3)] * 2)
    assert terms == pytest.approx({"sft": 0.6931472, "odds_ratio": 0.0405465}, abs=1e-7)
    assert metrics["margin"] == pytest.approx(math.log(2))
    assert metrics["reward_chosen"] == pytest.approx(0.0, abs=1e-7)
    assert "kl_proxy" not in metrics


@FEW
@given(LOGPS, LOGPS, st.floats(0.01, 2))
def test_the_two_terms(chosen: list[float], rejected: list[float], weight: float):
    """The first is the chosen answer's mean NLL, the second Bradley-Terry on log-odds, o_w / (o_w + o_l)."""
    terms, _, _ = computed(ORPO(odds_weight=weight), chosen, rejected)
    assert terms["sft"] == pytest.approx(-sum(chosen) / len(chosen), rel=1e-5)
    share = odds(chosen) / (odds(chosen) + odds(rejected))
    assert terms["odds_ratio"] == pytest.approx(-weight * math.log(share), rel=1e-4, abs=1e-6)


@FEW
@given(LOGPS, LOGPS)
def test_the_gradient_of_the_odds_ratio(chosen: list[float], rejected: list[float]):
    """Hong et al., eq. 8 to 10: delta = 1 / (1 + odds ratio), and each side's 1 / (1 - P)."""
    _, gradient, _ = computed(ORPO(odds_weight=1.0), chosen, rejected)
    delta = 1 / (1 + odds(chosen) / odds(rejected))
    up = delta * (1 + odds(chosen)) / len(chosen) + 1 / len(chosen)
    down = delta * (1 + odds(rejected)) / len(rejected)
    assert gradient == pytest.approx([-up] * len(chosen) + [down] * len(rejected), rel=1e-3)


def test_the_sft_term_reads_the_chosen_answer_alone():
    """Not the rejected one, and not the prompt, which has no scored token."""
    first, _, _ = computed(ORPO(), [-1.0, -2.0], [-0.5])
    other, _, _ = computed(ORPO(), [-1.0, -2.0], [-5.0, -3.0])
    assert first["sft"] == other["sft"] == pytest.approx(1.5)


def test_log1mexp_keeps_its_digits():
    value = torch.tensor([-1e-12, -1e-3, -0.5, -math.log(2), -1.0, -40.0], dtype=torch.float64)
    exact = [math.log(-math.expm1(v)) if v > -0.6 else math.log1p(-math.exp(v)) for v in value.tolist()]
    assert log1mexp(value).tolist() == pytest.approx(exact, rel=1e-14, abs=0)
    points = torch.tensor([-1e-3, -0.5, -0.7, -3.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(log1mexp, (points,), eps=1e-8)


def test_certain_and_hopeless_answers_stay_finite():
    """In float32 a mean log-prob of 0 would have infinite odds, and one of -200 a probability that rounds to 0."""
    batch, _ = batch_of([pair("a", [-1.0], [-1.0, -1.0])], {"a": [[-1.0], [-1.0, -1.0]]})
    for rows in ([0.0, -200.0, -200.0], [-200.0, 0.0, 0.0], [0.0, 0.0, 0.0], [-1e-30, -1e-8, -1e-8]):
        logp = torch.tensor(rows, requires_grad=True)
        found = ORPO().loss({"logp": logp}, batch, {})
        torch.stack(list(found.terms.values())).sum().backward()
        assert all(torch.isfinite(term) for term in found.terms.values())
        assert logp.grad is not None
        assert torch.isfinite(logp.grad).all()


def test_what_it_needs_and_refuses():
    assert ORPO().needs == ()
    assert ORPO(watch_reference=True).needs == ("reference_logp",)
    with pytest.raises(DataError, match="'a': chosen and rejected are the same"):
        ORPO().check([Tree(id="a", prompt=[1], branches=(branch([-1.0], rank=0), branch([-1.0], rank=1)))])
    with pytest.raises(ConfigError):
        load(ORPO, {"odds_weight": 0})
