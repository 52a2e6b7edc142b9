"""IPO: the worked number, its optimum, and its difference from the lifecycle document and from averages."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.batch import Tree
from burnish.config import load
from burnish.errors import ConfigError, DataError
from burnish.metrics import values
from burnish.objectives.ipo import IPO
from tests.objectives.tables import batch_of, branch, pair

FEW = settings(max_examples=20, deadline=None)


def computed(objective: IPO, chosen: list[float], rejected: list[float], reference: tuple[float, float]):
    """The loss, the gradient of each token's log-prob, and the metrics."""
    batch, logp = batch_of([pair("a", chosen, rejected, reference)], {"a": [chosen, rejected]})
    found = objective.loss({"logp": logp}, batch, {})
    assert objective.weights(batch) == {"ipo": 1.0}
    found.terms["ipo"].backward()
    assert logp.grad is not None
    return float(found.terms["ipo"].detach()), logp.grad.tolist(), values(found.metrics)


def test_the_worked_number():
    """tau 0.1, log-ratios 1 and -1: h = 2, the target 1/(2 tau) = 5, the loss (2 - 5)^2 = 9."""
    loss, gradient, metrics = computed(IPO(tau=0.1), [-1.5, -0.5], [-4.0], (-3.0, -3.0))
    assert loss == pytest.approx(9.0)
    assert gradient == pytest.approx([-6.0, -6.0, 6.0])
    assert metrics["reward_chosen"] == pytest.approx(0.1)
    assert metrics["margin"] == pytest.approx(0.2)
    assert metrics["accuracy"] == 1.0


@FEW
@given(st.floats(0.05, 2), st.floats(-4, 4))
def test_the_optimum_is_at_1_over_2_tau(tau: float, off: float):
    """The loss is the squared distance from there, the gradient twice the distance, and both are 0 at the optimum."""
    best = 1 / (2 * tau)
    loss, gradient, metrics = computed(IPO(tau=tau), [-1.0], [-1.0], (-1.0 - best - off, -1.0))
    assert loss == pytest.approx(off**2, rel=1e-3, abs=1e-5)
    assert gradient == pytest.approx([2 * off, -2 * off], rel=1e-3, abs=1e-4)
    if off == 0:
        assert metrics["margin"] == pytest.approx(0.5)


def test_gradient_descent_stops_at_the_optimum():
    """Where DPO would go on for ever."""
    batch, logp = batch_of([pair("a", [-3.0], [-3.0], (-3.0, -3.0))], {"a": [[-3.0], [-3.0]]})
    for _ in range(100):
        (gradient,) = torch.autograd.grad(IPO(tau=0.25).loss({"logp": logp}, batch, {}).terms["ipo"], logp)
        logp = (logp - 0.1 * gradient).detach().requires_grad_(True)
    assert float((logp[0] - logp[1]).detach()) == pytest.approx(1 / (2 * 0.25), abs=1e-5)


def test_the_document_would_apply_beta_twice_and_averages_would_change_the_target():
    """Errata: h = 2 at tau 0.1, and the paper's loss is 9.

    The document's rewards already hold beta: (0.2 - 5)^2 = 23.04. With each log-ratio divided by its tokens, as in TRL,
    it would be (1/2 + 1 - 5)^2 = 12.25.
    """
    loss, _, _ = computed(IPO(tau=0.1), [-1.5, -0.5], [-4.0], (-3.0, -3.0))
    assert loss == pytest.approx(9.0)
    assert abs(loss - 23.04) > 1
    assert abs(loss - 12.25) > 1


def test_what_it_needs_and_refuses():
    assert IPO().needs == ("reference_logp",)
    with pytest.raises(DataError, match="'a': chosen and rejected are the same"):
        IPO().check([Tree(id="a", prompt=[1], branches=(branch([-1.0], rank=0), branch([-1.0], rank=1)))])
    with pytest.raises(ConfigError):
        load(IPO, {"tau": 0})
