"""SimPO: the worked number, what gamma and beta mean, and that length buys nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.config import load
from burnish.errors import ConfigError, DataError
from burnish.metrics import values
from burnish.objectives.simpo import SimPO
from tests.objectives.tables import batch_of, branch, pair

FEW = settings(max_examples=20, deadline=None)
LOGPS = st.lists(st.floats(-6, 0), min_size=1, max_size=4)


def computed(
    objective: SimPO, chosen: list[float], rejected: list[float], reference: tuple[float, float] | None = None
):
    """The loss, the gradient of each token's log-prob, and the metrics."""
    batch, logp = batch_of([pair("a", chosen, rejected, reference)], {"a": [chosen, rejected]})
    found = objective.loss({"logp": logp}, batch, {})
    assert objective.weights(batch) == {"simpo": 1.0}
    found.terms["simpo"].backward()
    assert logp.grad is not None
    return float(found.terms["simpo"].detach()), logp.grad.tolist(), values(found.metrics)


def test_the_worked_number():
    """beta 2, gamma 1: rewards 2 * -1 and 2 * -2, the logit -2 + 4 - 1 = 1, the loss log(1 + 1/e) = 0.3132617."""
    loss, _, metrics = computed(SimPO(beta=2.0, gamma=1.0), [-1.5, -0.5], [-2.0] * 4)
    assert loss == pytest.approx(0.3132617, abs=1e-7)
    assert metrics["reward_chosen"] == pytest.approx(-2.0)
    assert metrics["reward_rejected"] == pytest.approx(-4.0)
    assert metrics["margin"] == pytest.approx(2.0)
    assert metrics["logp_chosen"] == pytest.approx(-2.0)
    assert metrics["length_rejected"] == 4.0
    assert "kl_proxy" not in metrics


@FEW
@given(LOGPS, LOGPS, st.floats(0.1, 5), st.floats(0, 3))
def test_closed_form(chosen: list[float], rejected: list[float], beta: float, gamma: float):
    """beta (mean_w - mean_l - gamma / beta): the margin is gamma / beta nats per token."""
    logit = beta * (sum(chosen) / len(chosen) - sum(rejected) / len(rejected) - gamma / beta)
    loss, gradient, _ = computed(SimPO(beta=beta, gamma=gamma), chosen, rejected)
    assert loss == pytest.approx(math.log1p(math.exp(-logit)), rel=1e-5, abs=1e-6)
    pull = beta / (1 + math.exp(logit))
    expected = [-pull / len(chosen)] * len(chosen) + [pull / len(rejected)] * len(rejected)
    assert gradient == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_length_buys_nothing():
    short, long = ([-1.0], [-2.0]), ([-1.0] * 7, [-2.0])
    assert computed(SimPO(), *short)[0] == pytest.approx(computed(SimPO(), *long)[0])


def test_at_the_margin_the_loss_is_log_2():
    assert computed(SimPO(beta=2.5, gamma=0.5), [-1.0, -1.0], [-1.2])[0] == pytest.approx(math.log(2), abs=1e-6)


def test_a_watched_reference_changes_the_log_alone():
    assert SimPO().needs == ()
    assert SimPO(watch_reference=True).needs == ("reference_logp",)
    plain, gradient, _ = computed(SimPO(), [-1.0], [-3.0])
    watched, same, metrics = computed(SimPO(watch_reference=True), [-1.0], [-3.0], (-2.0, -1.0))
    assert (watched, same) == (plain, gradient)
    assert (metrics["gain_chosen"], metrics["gain_rejected"], metrics["kl_proxy"]) == (1.0, -2.0, 1.5)


def test_what_it_refuses():
    single = pair("a", [-1.0], [-2.0, -1.0])
    with pytest.raises(DataError, match="'a' has 1 completions"):
        SimPO().check([type(single)(id="a", prompt=[1], branches=(branch([-1.0], rank=0),))])
    for wrong in ({"beta": 0}, {"gamma": -0.1}):
        with pytest.raises(ConfigError):
            load(SimPO, wrong)
