"""DoReMi's weights: the worked update, the update in numpy, what smoothing is for, means, state."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data.mixing.reweighting import ONE_HOT, DomainWeights, effective_domains, reweighted

FEW = settings(max_examples=40, deadline=None)
EXCESS = st.lists(st.floats(0, 20), min_size=2, max_size=6)


def test_the_worked_update():
    """a = (1.5, 0.5), so 0.75 and 0.25; smoothed 0.8 * 0.75 + 0.2 / 2 = 0.7 and 0.3."""
    found = reweighted({"a": 0.5, "b": 0.5}, {"a": math.log(3), "b": 0.0}, step_size=1.0, smoothing=0.2)
    assert found == pytest.approx({"a": 0.7, "b": 0.3}, rel=1e-12)
    again = reweighted(found, {"a": 0.0, "b": math.log(3)}, step_size=0.5, smoothing=0.0)
    root = math.sqrt(3)
    assert again == pytest.approx({"a": 0.7 / (0.7 + 0.3 * root), "b": 0.3 * root / (0.7 + 0.3 * root)}, rel=1e-12)


@FEW
@given(EXCESS, st.floats(0.01, 3), st.floats(0, 1), st.integers(0, 99))
def test_it_is_the_update_of_the_paper(excess, step_size, smoothing, seed):
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(excess)))
    grown = weights * np.exp(step_size * np.array(excess))
    expected = (1 - smoothing) * grown / grown.sum() + smoothing / len(excess)
    names = [str(place) for place in range(len(excess))]
    found = reweighted(
        dict(zip(names, weights.tolist(), strict=True)),
        dict(zip(names, excess, strict=True)),
        step_size=step_size,
        smoothing=smoothing,
    )
    assert list(found.values()) == pytest.approx(expected.tolist(), rel=1e-9, abs=1e-15)
    assert sum(found.values()) == pytest.approx(1)
    assert min(found.values()) >= smoothing / len(excess) - 1e-15


def test_only_differences_count_and_nothing_overflows():
    weights = {"a": 0.2, "b": 0.8}
    near = reweighted(weights, {"a": 1.0, "b": 0.5}, step_size=2.0, smoothing=0.01)
    far = reweighted(weights, {"a": 5001.0, "b": 5000.5}, step_size=2.0, smoothing=0.01)
    assert far == pytest.approx(near, rel=1e-9)
    assert reweighted(weights, {"a": 0.0, "b": 1e6}, step_size=1.0, smoothing=0.0) == {"a": 0.0, "b": 1.0}
    assert reweighted({"a": 0.0, "b": 1.0}, {"a": 1e6, "b": 0.0}, step_size=1.0, smoothing=0.0)["a"] == 0.0


def followed(smoothing: float, leads: list[float]) -> DomainWeights:
    """Three domains, of which the first is ahead of the others by each lead in turn."""
    weights = DomainWeights(("a", "b", "c"), step_size=1.0, smoothing=smoothing)
    for lead in leads:
        weights.hear({"a": max(lead, 0.0), "b": max(-lead, 0.0), "c": max(-lead, 0.0)})
        weights.count()
    return weights


def test_without_smoothing_the_weights_collapse_and_stay_collapsed():
    """100 steps of a lead of 0.2 nats, then 50 steps the other way round: one-hot, to the end."""
    leads = [0.2] * 100 + [-0.2] * 50
    assert followed(0.0, leads[:100]).now["a"] > 1 - 1e-8
    assert followed(0.0, leads).now["a"] > 0.999
    assert max(followed(0.0, leads).means.values()) > ONE_HOT


def test_with_smoothing_they_come_back():
    leads = [0.2] * 100 + [-0.2] * 50
    for smoothing in (1e-3, 0.1):
        assert min(followed(smoothing, leads[:100]).now.values()) >= smoothing / 3
        back = followed(smoothing, leads).now
        assert back["a"] < 0.2
        assert back["b"] == pytest.approx(back["c"])
    assert effective_domains(followed(0.1, leads[:100]).now) > 1.5 > effective_domains(followed(0.0, leads[:100]).now)


def test_a_domain_comes_back_from_the_floor_in_the_steps_that_the_page_names():
    """From c / k to the half in ln(k / c) / lead steps, give or take what the smoothing itself adds."""
    weights = followed(1e-3, [0.5] * 200)
    steps = 0
    while weights.now["b"] + weights.now["c"] < 0.5:
        weights.hear({"a": 0.0, "b": 0.5, "c": 0.5})
        steps += 1
    assert steps <= math.log(3 / 1e-3) / 0.5 + 1
    assert steps >= 0.5 * math.log(3 / 1e-3) / 0.5


def test_what_is_kept_are_the_means_of_the_weights_that_were_trained_with():
    weights = DomainWeights(("a", "b"), step_size=1.0, smoothing=0.0)
    assert weights.means == {"a": 0.5, "b": 0.5}
    weights.count()
    weights.hear({"a": math.log(3), "b": 0.0})
    assert weights.means == {"a": 0.5, "b": 0.5}, "heard, but not trained with yet"
    weights.count()
    assert weights.means == pytest.approx({"a": (0.5 + 0.75) / 2, "b": (0.5 + 0.25) / 2})


def test_a_domain_that_was_not_seen_keeps_its_last_excess():
    weights = DomainWeights(("a", "b"), step_size=1.0, smoothing=0.0)
    weights.hear({"b": math.log(2)})
    assert weights.now == pytest.approx({"a": 1 / 3, "b": 2 / 3}), "never seen: 0"
    weights.hear({"a": 0.0})
    assert weights.now == pytest.approx({"a": 1 / 5, "b": 4 / 5})


def test_the_state_goes_through_json_and_on():
    def step(weights: DomainWeights, number: int) -> dict[str, float]:
        weights.hear({"a": 0.3 * number, "b": 0.1})
        weights.count()
        return weights.now

    through = DomainWeights(("a", "b"), step_size=0.7, smoothing=0.01)
    for number in range(3):
        step(through, number)
    later = DomainWeights(("a", "b"), step_size=0.7, smoothing=0.01)
    later.restore(json.loads(json.dumps(through.state())))
    assert step(later, 3) == step(through, 3)
    assert later.means == through.means
    assert later.state() == through.state()


def test_effective_domains_count_equal_ones():
    assert effective_domains({"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25}) == pytest.approx(4)
    assert effective_domains({"a": 1.0, "b": 0.0}) == 1.0
