"""Metrics add up over micro-batches before they are divided."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from burnish.metrics import Explained, Max, Mean, Perplexity, Spread, Sum, merged, values

WHOLE = st.integers(-1000, 1000).map(float)


def test_a_mean_is_a_pair_of_sums_and_not_an_average_of_averages():
    parts = [{"loss": Mean(6.0, 3.0)}, {"loss": Mean(2.0, 1.0)}, {"loss": Mean(0.0, 4.0)}]
    assert values(merged(parts)) == {"loss": 1.0}


def test_each_kind_reduces_in_its_own_way():
    parts = [{"tokens": Sum(3), "worst": Max(2.0)}, {"tokens": Sum(4), "worst": Max(-1.0)}]
    assert values(merged(parts)) == {"tokens": 7, "worst": 2.0}


def test_a_mean_without_weight_is_not_a_number():
    assert math.isnan(Mean(0.0, 0.0).value)
    assert Mean(0.0, 0.0).merge(Mean(3.0, 2.0)).value == 1.5


def test_a_perplexity_is_that_of_the_mean_and_not_a_mean_of_perplexities():
    parts = [{"perplexity": Perplexity(6 * math.log(2), 3.0)}, {"perplexity": Perplexity(math.log(2), 4.0)}]
    assert values(merged(parts))["perplexity"] == pytest.approx(2.0)
    assert math.isnan(Perplexity(0.0, 0.0).value)
    assert Perplexity(1e6, 1.0).value == math.inf


def test_a_name_may_be_missing_in_a_part():
    parts = [{"loss": Mean(1.0, 1.0)}, {}, {"loss": Mean(3.0, 1.0), "extra": Sum(1)}]
    assert values(merged(parts)) == {"loss": 2.0, "extra": 1}


def test_merging_nothing_gives_nothing():
    assert merged([]) == {}


def test_vectors_add_up():
    loads = [{"load": Mean(torch.tensor([1.0, 3.0]), 2.0)}, {"load": Mean(torch.tensor([3.0, 1.0]), 2.0)}]
    assert torch.equal(values(merged(loads))["load"], torch.tensor([1.0, 1.0]))


def test_the_parts_are_left_as_they_were():
    part = {"load": Sum(torch.tensor([1.0]))}
    merged([part, part])
    assert part["load"].total.item() == 1.0


def test_one_name_with_two_kinds_is_refused():
    with pytest.raises(TypeError, match="metric 'loss' is a Mean here and a Sum there"):
        merged([{"loss": Mean(1.0, 1.0)}, {"loss": Sum(1.0)}])


@given(st.lists(st.tuples(WHOLE, WHOLE), min_size=1), st.integers(0, 20))
def test_any_split_gives_the_same_values(pairs, cut):
    parts = [{"mean": Mean(total, abs(weight)), "sum": Sum(total), "max": Max(weight)} for total, weight in pairs]
    whole = merged(parts)
    assert merged([merged(parts[:cut]), merged(parts[cut:])]) == whole
    assert merged(reversed(parts)) == whole
    assert whole["max"].value == max(weight for _, weight in pairs)


# Spreads --------------------------------------------------------------------------------------------------------------

NUMBERS = st.lists(st.floats(-100, 100, allow_subnormal=False), min_size=1, max_size=12)


@given(NUMBERS, st.integers(0, 12))
def test_a_spread_is_the_standard_deviation_whatever_the_split(numbers, cut):
    whole = torch.tensor(numbers, dtype=torch.float64)
    parts = [{"s": Spread.of(part)} for part in (whole[:cut], whole[cut:])]
    found = values(merged(parts))["s"]
    assert found == pytest.approx(float(whole.std(correction=0)), rel=1e-9, abs=1e-9)
    assert merged(parts)["s"].mean == pytest.approx(float(whole.mean()), abs=1e-9)


def test_a_spread_keeps_its_digits_far_from_0():
    """The mean of squares less the square of the mean would be 0, or below."""
    parts = [{"s": Spread.of(torch.tensor([1e8 + value], dtype=torch.float64))} for value in (0.0, 1.0, 2.0)]
    assert values(merged(parts))["s"] == pytest.approx(math.sqrt(2 / 3), rel=1e-6)


def test_the_spread_of_nothing_is_not_a_number():
    empty = Spread.of(torch.zeros(0))
    assert math.isnan(empty.value)
    assert math.isnan(empty.merge(empty).value)
    assert empty.merge(Spread.of(torch.tensor([1.0, 3.0]))).value == 1.0


def test_explained_variance():
    target = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert Explained.of(target, target).value == 1.0
    assert Explained.of(target + 5, target).value == 1.0, "a constant shift is no variance"
    assert Explained.of(torch.zeros(4), target).value == 0.0
    assert Explained.of(-target, target).value == -3.0
    assert math.isnan(Explained.of(target, torch.ones(4)).value)


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=9), st.integers(0, 9))
def test_explained_variance_is_not_an_average_of_shares(pairs, cut):
    prediction, target = torch.tensor(pairs, dtype=torch.float64).T
    parts = [{"e": Explained.of(prediction[piece], target[piece])} for piece in (slice(cut), slice(cut, None))]
    wanted = 1 - (target - prediction).var(correction=0) / target.var(correction=0) if target.var() else math.nan
    assert values(merged(parts))["e"] == pytest.approx(float(wanted), rel=1e-6, abs=1e-9, nan_ok=True)
