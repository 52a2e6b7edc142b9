"""Advantages and returns: worked numbers, the naive double sum, what a group teaches, rewards with the KL inside."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.errors import DataError
from burnish.sampling.advantages import gae, group_advantages, token_rewards, whitened, without_variance

MANY = settings(max_examples=25, deadline=None)
NUMBER = st.floats(-10, 10).map(lambda value: round(value, 6))
KINDS = ("normalised", "mean_only", "leave_one_out")


def test_the_worked_group():
    """Rewards 1, 0, 0, 1: mu 0.5, sigma 0.5 with 1/G, as in ST7003."""
    rewards = [1.0, 0.0, 0.0, 1.0]
    assert group_advantages(rewards, "normalised") == [1.0, -1.0, -1.0, 1.0]
    assert group_advantages(rewards, "mean_only") == [0.5, -0.5, -0.5, 0.5]
    assert group_advantages(rewards, "leave_one_out") == pytest.approx([2 / 3, -2 / 3, -2 / 3, 2 / 3])


def test_sigma_divides_by_the_whole_group():
    """ST7003's step 2: sigma^2 = 1/G sum. With 1/(G - 1) these would be +-0.7071."""
    assert group_advantages([3.0, 1.0], "normalised") == [1.0, -1.0]


@MANY
@given(st.lists(NUMBER, min_size=2, max_size=8))
def test_closed_forms(rewards: list[float]):
    count, mean = len(rewards), math.fsum(rewards) / len(rewards)
    if without_variance(rewards):
        assert all(group_advantages(rewards, kind) == [0.0] * count for kind in KINDS)
        return
    others = [(math.fsum(rewards) - own) / (count - 1) for own in rewards]
    spread = math.sqrt(math.fsum((own - mean) ** 2 for own in rewards) / count)
    normalised, centred, left_out = (group_advantages(rewards, kind) for kind in KINDS)
    assert centred == pytest.approx([own - mean for own in rewards])
    assert left_out == pytest.approx([own - rest for own, rest in zip(rewards, others, strict=True)], abs=1e-9)
    assert normalised == pytest.approx([(own - mean) / spread for own in rewards], rel=1e-6, abs=1e-9)
    assert math.fsum(value**2 for value in normalised) / count == pytest.approx(1.0)


@MANY
@given(st.lists(st.integers(-5, 5).map(float), min_size=2, max_size=6), st.integers(-50, 50), st.integers(1, 9))
def test_a_shift_of_the_rewards_changes_nothing_and_a_scale_leaves_the_normalised_alone(rewards, shift, scale):
    moved = [reward + shift for reward in rewards]
    for kind in KINDS:
        assert group_advantages(moved, kind) == pytest.approx(group_advantages(rewards, kind), abs=1e-9)
    scaled = [reward * scale for reward in rewards]
    assert group_advantages(scaled, "normalised") == pytest.approx(group_advantages(rewards, "normalised"), abs=1e-9)


@pytest.mark.parametrize("rewards", [[0.3, 0.3, 0.1 + 0.2], [2.0, 2.0], [0.0, 0.0, 0.0], [-7.5, -7.5 * (1 + 4e-6)]])
def test_a_group_without_variance_teaches_nothing_and_does_not_explode(rewards: list[float]):
    """0.1 + 0.2 is not 0.3, and a reward model in float32 scores one text in two ways: that is no difference."""
    assert without_variance(rewards)
    assert all(group_advantages(rewards, kind) == [0.0] * len(rewards) for kind in KINDS)


def test_small_rewards_are_not_equal_rewards():
    assert not without_variance([0.0, 1e-9])
    assert group_advantages([0.0, 1e-9], "normalised") == pytest.approx([-1.0, 1.0])
    assert group_advantages([0.0, 1e-200], "normalised") == pytest.approx([-1.0, 1.0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_group_of_one_is_refused(kind):
    with pytest.raises(DataError, match=r"a group of 1 has nothing to compare .* sample 2 or more"):
        group_advantages([1.0], kind)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused(bad: float):
    for refuse in (
        lambda: group_advantages([1.0, bad], "normalised"),
        lambda: gae([0.0, bad], [0.0, 0.0], discount=1.0, trace=1.0),
        lambda: gae([0.0, 0.0], [0.0, bad], discount=1.0, trace=1.0),
        lambda: whitened([[1.0], [bad]]),
        lambda: token_rewards(1.0, [0.0, bad], 0.1),
        lambda: token_rewards(bad, [0.0, 0.0], 0.1),
    ):
        with pytest.raises(DataError, match=f"is {bad}; nothing is trained on such a number"):
            refuse()


# GAE ------------------------------------------------------------------------------------------------------------------


def test_the_worked_trace():
    advantages, returns = gae([0.0, 1.0], [0.5, 0.25], discount=1.0, trace=0.5)
    assert advantages == [0.125, 0.75]
    assert returns == [0.625, 1.0]


def test_the_advantages_of_the_lecture():
    """ST7003: V 0.6, Q 0.9 for "learn" and 0.2 for "sleep": A is 0.3 and -0.4."""
    assert gae([0.9], [0.6], discount=1.0, trace=0.95)[0] == pytest.approx([0.3])
    assert gae([0.2], [0.6], discount=1.0, trace=0.95)[0] == pytest.approx([-0.4])


@MANY
@given(st.lists(st.tuples(NUMBER, NUMBER), min_size=1, max_size=9), st.floats(0, 1), st.floats(0, 1))
def test_the_naive_double_sum(steps: list[tuple[float, float]], discount: float, trace: float):
    rewards, values = [list(column) for column in zip(*steps, strict=True)]
    after = [*values[1:], 0.0]
    deltas = [r + discount * v1 - v for r, v, v1 in zip(rewards, values, after, strict=True)]
    naive = [
        sum((discount * trace) ** (later - token) * deltas[later] for later in range(token, len(deltas)))
        for token in range(len(deltas))
    ]
    advantages, returns = gae(rewards, values, discount=discount, trace=trace)
    assert advantages == pytest.approx(naive, abs=1e-9)
    assert returns == pytest.approx([own + value for own, value in zip(naive, values, strict=True)], abs=1e-9)


@MANY
@given(st.lists(st.tuples(NUMBER, NUMBER), min_size=1, max_size=9), st.floats(0, 1))
def test_trace_1_is_the_discounted_sum_and_trace_0_one_step(steps: list[tuple[float, float]], discount: float):
    rewards, values = [list(column) for column in zip(*steps, strict=True)]
    sums = [sum(discount ** (k - t) * rewards[k] for k in range(t, len(rewards))) for t in range(len(rewards))]
    assert gae(rewards, values, discount=discount, trace=1.0)[1] == pytest.approx(sums, abs=1e-8)
    after = [*values[1:], 0.0]
    one_step = [r + discount * v1 for r, v1 in zip(rewards, after, strict=True)]
    assert gae(rewards, values, discount=discount, trace=0.0)[1] == pytest.approx(one_step, abs=1e-9)


def test_a_perfect_critic_leaves_no_advantage():
    """Values that are the rewards to come: the only news is none."""
    rewards = [0.1, -0.2, 0.0, 1.0]
    values = [0.9, 0.8, 1.0, 1.0]
    assert gae(rewards, values, discount=1.0, trace=0.9)[0] == pytest.approx([0.0] * 4)


@pytest.mark.parametrize(("rewards", "values"), [([], []), ([1.0], []), ([1.0], [1.0, 2.0])])
def test_every_token_needs_a_reward_and_a_value(rewards, values):
    with pytest.raises(DataError, match=f"found {len(rewards)} rewards and {len(values)} values"):
        gae(rewards, values, discount=1.0, trace=1.0)


# Over a rollout -------------------------------------------------------------------------------------------------------


@MANY
@given(st.lists(st.lists(NUMBER, max_size=4), min_size=1, max_size=5))
def test_whitened_numbers_have_mean_0_and_spread_1_over_all_rows(rows: list[list[float]]):
    found = whitened(rows)
    assert [len(row) for row in found] == [len(row) for row in rows]
    flat, before = ([value for row in table for value in row] for table in (found, rows))
    if not flat or without_variance(before):
        assert all(value == 0.0 for value in flat)
        return
    assert math.fsum(flat) / len(flat) == pytest.approx(0.0, abs=1e-6)
    assert math.fsum(value**2 for value in flat) / len(flat) == pytest.approx(1.0, rel=1e-6)
    assert max(flat) == flat[before.index(max(before))]


def test_whitening_is_over_the_rollout_and_not_over_each_completion():
    assert whitened([[1.0, 1.0], [3.0, 3.0]]) == [[-1.0, -1.0], [1.0, 1.0]]


def test_the_score_stands_on_the_last_token_and_the_kl_on_every_one():
    assert token_rewards(2.0, [0.5, -1.0, 0.25], 0.1) == pytest.approx([-0.05, 0.1, 1.975])
    assert token_rewards(2.0, [0.5], 0.0) == [2.0]
    assert math.fsum(token_rewards(2.0, [0.5, -1.0, 0.25], 0.1)) == pytest.approx(2.0 - 0.1 * -0.25)
    with pytest.raises(DataError, match="no place for its score"):
        token_rewards(1.0, [], 0.1)
