"""Schedules at chosen steps, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.training.schedule import Constant, Cosine, Linear, Schedule, WarmupStableDecay


@pytest.mark.parametrize(
    ("schedule", "steps", "factors"),
    [
        (Constant(), 10, {0: 1, 9: 1}),
        (Constant(warmup=4), 10, {0: 0.25, 1: 0.5, 3: 1, 4: 1, 9: 1}),
        (Linear(), 10, {0: 1, 5: 0.5, 9: 0.1}),
        (Linear(warmup=2, final=0.2), 10, {0: 0.5, 1: 1, 2: 1, 6: 0.6, 9: 0.3}),
        (Cosine(final=0), 4, {0: 1, 1: (1 + 2**-0.5) / 2, 2: 0.5, 3: (1 - 2**-0.5) / 2}),
        (Cosine(final=0.1, warmup=5), 15, {0: 0.2, 4: 1, 5: 1, 10: 0.55}),
        (WarmupStableDecay(decay=0.5, warmup=2), 12, {0: 0.5, 1: 1, 5: 1, 6: 1, 9: 0.5, 11: 1 / 6}),
        (WarmupStableDecay(decay=0.2, final=0.5), 10, {7: 1, 8: 1, 9: 0.75}),
        (WarmupStableDecay(decay=1.0, warmup=4), 8, {3: 1, 4: 1, 6: 0.5}),
    ],
)
def test_by_hand(schedule: Schedule, steps: int, factors: dict[int, float]):
    assert {step: schedule.factor(step, steps) for step in factors} == pytest.approx(factors)


WARMUP = st.integers(0, 12)
FINAL = st.floats(0, 1)
SCHEDULES = st.one_of(
    st.builds(Constant, warmup=WARMUP),
    st.builds(Linear, warmup=WARMUP, final=FINAL),
    st.builds(Cosine, warmup=WARMUP, final=FINAL),
    st.builds(WarmupStableDecay, warmup=WARMUP, final=FINAL, decay=st.floats(0.05, 1)),
)


@given(SCHEDULES, st.integers(1, 40))
def test_a_factor_is_between_0_and_1_and_no_update_is_lost_to_the_warmup(schedule: Schedule, steps: int):
    factors = [schedule.factor(step, steps) for step in range(steps)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert factors[0] > 0
    rising = factors[: schedule.warmup]
    assert rising == sorted(rising)
    falling = factors[schedule.warmup :]
    assert falling == sorted(falling, reverse=True)


@pytest.mark.parametrize("schedule", [Linear(warmup=10), Cosine(warmup=10), WarmupStableDecay(warmup=10)])
def test_a_warmup_longer_than_the_run(schedule: Schedule):
    assert [schedule.factor(step, 5) for step in range(5)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
