"""The weight of the KL: fixed, adaptive by Ziegler et al., its budget, and its state."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.config import load
from burnish.errors import ConfigError, DataError
from burnish.sampling.kl_control import AdaptiveKL, FixedKL, KLController

ADAPTIVE = AdaptiveKL(weight=0.1, target=6.0, horizon=1000)


def test_the_worked_numbers():
    """9 nats are half above the target, which counts as a fifth; 5.4 are a tenth below it."""
    controller = KLController(ADAPTIVE)
    controller.update(9.0, 100)
    assert controller.weight == pytest.approx(0.102)
    controller = KLController(ADAPTIVE)
    controller.update(5.4, 100)
    assert controller.weight == pytest.approx(0.099)


def test_their_k_beta():
    """Ziegler et al. 2019: beta <- beta (1 + 0.1 e); with batches of a tenth of the horizon it is the same."""
    controller = KLController(AdaptiveKL(weight=1.0, target=10.0, horizon=10240))
    controller.update(11.0, 1024)
    assert controller.weight == pytest.approx(1 + 0.1 * 0.1)


def test_a_fixed_weight_stays():
    controller = KLController(FixedKL(weight=0.3))
    for kl in (0.0, 100.0, -1.0):
        controller.update(kl, 10_000)
        assert controller.weight == 0.3
        assert controller.spent() == ""


@settings(max_examples=25, deadline=None)
@given(st.floats(-2, 50), st.integers(1, 1000))
def test_above_the_target_the_kl_gets_dearer_and_below_it_cheaper(kl: float, count: int):
    """The lifecycle document, section 4.5, step 5.4; never by more than a fifth per horizon, never below 0."""
    controller = KLController(ADAPTIVE)
    controller.update(kl, count)
    assert controller.weight > 0
    assert abs(controller.weight / 0.1 - 1) <= 0.2 * count / 1000 + 1e-12
    if abs(kl - 6.0) > 1e-6:
        assert (controller.weight > 0.1) == (kl > 6.0)


def test_it_holds_a_kl_that_answers_to_its_price():
    """A policy whose KL is 1 / beta settles at the target."""
    controller = KLController(AdaptiveKL(weight=1.0, target=5.0, horizon=500))
    for _ in range(400):
        controller.update(1 / controller.weight, 100)
    assert 1 / controller.weight == pytest.approx(5.0, rel=0.02)


def test_the_budget_is_a_hard_limit():
    controller = KLController(FixedKL(budget=8.0))
    assert controller.spent() == ""
    controller.update(8.0, 10)
    assert controller.spent() == ""
    controller.update(8.25, 10)
    assert controller.spent() == "the KL from the reference is 8.25 nats per completion, above the budget of 8"


def test_a_run_goes_on_with_the_weight_and_the_kl_it_had():
    controller = KLController(AdaptiveKL(weight=0.1, target=6.0, horizon=1000, budget=8.0))
    controller.update(9.0, 100)
    again = KLController(controller.control)
    again.restore(json.loads(json.dumps(controller.state())))
    assert again.weight == controller.weight
    assert again.spent() == controller.spent() != ""
    for one in (controller, again):
        one.update(5.0, 77)
    assert again.state() == controller.state()


@pytest.mark.parametrize("kl", [math.nan, math.inf])
def test_a_kl_that_is_not_finite_is_refused(kl: float):
    controller = KLController(ADAPTIVE)
    with pytest.raises(DataError, match=f"the KL of a rollout is {kl}"):
        controller.update(kl, 10)
    assert controller.weight == 0.1


def test_a_rollout_above_the_horizon_is_refused():
    with pytest.raises(DataError, match=r"1001 completions is above the horizon of 1000.* set horizon to 1001 or more"):
        KLController(ADAPTIVE).update(6.0, 1001)


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (FixedKL, {"target": 6.0}, "target"),
        (FixedKL, {"weight": -0.1}, "weight"),
        (FixedKL, {"budget": 0}, "budget"),
        (FixedKL, {"estimator": "k4"}, "estimator"),
        (AdaptiveKL, {"weight": 0}, "weight"),  # it would stay 0
        (AdaptiveKL, {"target": 0}, "target"),
        (AdaptiveKL, {"horizon": 0}, "horizon"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(kind: type, wrong: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        load(kind, wrong)
