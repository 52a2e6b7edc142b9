"""Intervals: worked numbers from the papers, parity with scipy, identities, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from burnish.stats import Interval, mean_interval, paired_difference, pass_rate, proportion

outcomes = st.lists(st.integers(0, 1), min_size=1, max_size=40)
paired_outcomes = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40)


def paired_table(both: int, only_before: int, only_after: int, neither: int) -> tuple[list[int], list[int]]:
    before = [1] * both + [1] * only_before + [0] * only_after + [0] * neither
    after = [1] * both + [0] * only_before + [1] * only_after + [0] * neither
    return before, after


def clustered_draws(rng, num_clusters: int, size: int, rate: float, concentration: float):
    """Outcomes whose prompts differ in how hard they are: a beta distribution of pass rates around `rate`."""
    hardness = rng.beta(rate * concentration, (1 - rate) * concentration, num_clusters)
    labels = np.repeat(np.arange(num_clusters), size)
    return (rng.random(num_clusters * size) < hardness[labels]).astype(float), labels


@pytest.mark.parametrize(("successes", "count"), [(0, 20), (1, 20), (10, 20), (20, 20), (81, 263), (1, 1)])
def test_proportion_equals_scipy(successes, count):
    theirs = scipy.stats.binomtest(successes, count).proportion_ci(0.95, method="wilson")
    ours = proportion(successes, count)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert (ours.estimate, ours.count) == (successes / count, count)


def test_proportion_worked_number_of_the_paper():
    # Newcombe 1998, Two-sided confidence intervals for the single proportion, table I, method 3: 81 of 263.
    interval = proportion(81, 263)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.2553, 0.3662)


def test_proportion_ends_are_exact_where_nothing_or_everything_passes():
    assert proportion(0, 500).low == 0.0
    assert proportion(500, 500).high == 1.0
    assert proportion(0, 500).high > 0.0


@pytest.mark.parametrize(("successes", "count"), [(1, 0), (-1, 5), (6, 5)])
def test_proportion_refuses_impossible_counts(successes, count):
    with pytest.raises(ValueError, match=f"{successes} successes of {count}"):
        proportion(successes, count)


@given(outcomes)
def test_pass_rate_with_one_answer_a_prompt_is_proportion(values):
    expected = proportion(sum(values), len(values))
    assert pass_rate(values) == expected
    assert pass_rate(values, clusters=[f"p{i}" for i in range(len(values))]) == expected


@given(outcomes)
def test_repeating_each_answer_adds_no_certainty(values):
    once = pass_rate(values)
    thrice = pass_rate(
        [v for v in values for _ in range(3)], clusters=[i for i in range(len(values)) for _ in range(3)]
    )
    assert thrice.estimate == pytest.approx(once.estimate)
    assert thrice.low <= once.low + 1e-9
    assert thrice.high >= once.high - 1e-9
    assert thrice.count == 3 * once.count


def test_answers_that_agree_within_prompts_widen_the_interval():
    values = [1, 1, 1, 1, 0, 0, 0, 0] * 10
    alone = pass_rate(values)
    grouped = pass_rate(values, clusters=[i // 4 for i in range(80)])
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


@pytest.mark.parametrize(
    ("cells", "low", "high"),
    [((36, 12, 2, 0), 0.0569, 0.3404), ((20, 12, 2, 16), 0.0562, 0.3292), ((0, 54, 0, 0), 0.9061, 1.0)],
)
def test_paired_difference_worked_numbers(cells, low, high):
    # The first is an example of Newcombe 1998 for method 10; the last is sqrt(2) times Wilson's reach at 54/54.
    after, before = paired_table(*cells)
    interval = paired_difference(before, after)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)
    assert interval.estimate == pytest.approx((cells[1] - cells[2]) / sum(cells))


@given(paired_outcomes)
def test_paired_difference_changes_sign_when_the_models_are_swapped(pairs):
    before, after = [a for a, _ in pairs], [b for _, b in pairs]
    gain, loss = paired_difference(before, after), paired_difference(after, before)
    assert (gain.estimate, gain.low, gain.high) == pytest.approx((-loss.estimate, -loss.high, -loss.low), abs=1e-12)
    assert -1 <= gain.low <= gain.estimate + 1e-12
    assert gain.estimate - 1e-12 <= gain.high <= 1


@given(paired_outcomes)
def test_one_answer_a_prompt_needs_no_clusters(pairs):
    before, after = [a for a, _ in pairs], [b for _, b in pairs]
    assert paired_difference(before, after, clusters=list(range(len(pairs)))) == paired_difference(before, after)


def test_pairing_narrows_the_interval_of_models_that_agree():
    before, after = paired_table(40, 2, 8, 50)
    shuffled = np.random.default_rng(0).permutation(after).tolist()
    paired, unpaired = paired_difference(before, after), paired_difference(before, shuffled)
    assert paired.high - paired.low < 0.6 * (unpaired.high - unpaired.low)


def test_no_difference_and_no_variance_still_have_a_width():
    interval = paired_difference([0] * 30, [0] * 30)
    assert interval.estimate == 0
    assert interval.low < -0.05
    assert interval.high > 0.05
    assert not interval.excludes_zero


def test_paired_difference_refuses_what_cannot_be_paired():
    with pytest.raises(ValueError, match="3 outcomes before and 2 after"):
        paired_difference([0, 1, 1], [1, 1])
    with pytest.raises(ValueError, match=r"outcome of 0\.5; expected 0 or 1"):
        paired_difference([0.5], [1])
    with pytest.raises(ValueError, match="no outcomes"):
        pass_rate([])
    with pytest.raises(ValueError, match="2 cluster labels for 3 outcomes"):
        pass_rate([0, 1, 1], clusters=["a", "b"])


def test_mean_interval_equals_students_t():
    values = np.random.default_rng(1).normal(3.0, 2.0, 17)
    theirs = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    ours = mean_interval(values.tolist())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_mean_interval_of_repeated_values_is_that_of_the_prompts():
    values = [1.0, 4.0, 2.0, 8.0]
    repeated = mean_interval([v for v in values for _ in range(5)], clusters=[v for v in values for _ in range(5)])
    assert (repeated.low, repeated.high) == pytest.approx((mean_interval(values).low, mean_interval(values).high))
    with pytest.raises(ValueError, match="found 1 independent values"):
        mean_interval([1.0, 2.0], clusters=["a", "a"])
    with pytest.raises(ValueError, match="all finite"):
        mean_interval([1.0, float("nan")])


def covered(intervals: list[Interval], truth: float) -> float:
    return float(np.mean([interval.low <= truth <= interval.high for interval in intervals]))


@pytest.mark.parametrize(
    ("rate", "size", "concentration"), [(0.1, 1, 1.0), (0.1, 4, 1.0), (0.5, 4, 2.0), (0.9, 8, 1.0)]
)
def test_coverage_of_pass_rate(rate, size, concentration):
    rng = np.random.default_rng(7)
    draws = [clustered_draws(rng, 40, size, rate, concentration) for _ in range(1000)]
    assert 0.925 <= covered([pass_rate(v, clusters=c) for v, c in draws], rate) <= 0.985
    if size > 1:  # what the clusters are for
        assert covered([pass_rate(v) for v, _ in draws], rate) < 0.90


@pytest.mark.parametrize(("size", "shared"), [(1, 0.7), (4, 0.7), (4, 0.0)])
def test_coverage_of_paired_difference(size, shared):
    """Two models that fail on the same hard prompts (`shared`), 10% against 40%."""
    rng = np.random.default_rng(11)
    truth, intervals = 0.3, []
    for _ in range(1000):
        hard = rng.random(40)
        own = rng.random(40)
        same = rng.random(40) < shared
        first, second = hard, np.where(same, hard, own)
        labels = np.repeat(np.arange(40), size)
        # Each prompt's pass rate is 0 or twice the mean, so answers of one prompt agree.
        before = (rng.random(40 * size) < np.where(first < 0.5, 0.2, 0.0)[labels]).astype(float)
        after = (rng.random(40 * size) < np.where(second < 0.5, 0.8, 0.0)[labels]).astype(float)
        intervals.append(paired_difference(before, after, clusters=labels))
    assert 0.93 <= covered(intervals, truth) <= 0.99


def test_coverage_of_mean_interval():
    rng = np.random.default_rng(13)
    labels = np.repeat(np.arange(30), 4)
    intervals = [
        mean_interval(10 + rng.normal(0, 3, 30)[labels] + rng.normal(0, 1, 120), clusters=labels) for _ in range(1000)
    ]
    assert 0.93 <= covered(intervals, 10.0) <= 0.97
