"""The source of offline training: batch k is a function of the seed and k."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import DataError
from burnish.training.source import Shuffled


def shuffled(count: int, batch_size: int, seed: int = 0) -> Shuffled[int]:
    return Shuffled(range(count), batch_size=batch_size, seed=seed)


@given(count=st.integers(1, 9), batch_size=st.integers(1, 20), epochs=st.integers(1, 4), seed=st.integers(0, 99))
def test_every_item_once_per_epoch(count: int, batch_size: int, epochs: int, seed: int):
    source = shuffled(count, batch_size, seed)
    batches = [source.next({}) for _ in range(-(-count * epochs // batch_size))]
    assert {len(batch) for batch in batches} == {batch_size}
    drawn = [item for batch in batches for item in batch][: count * epochs]
    for epoch in range(epochs):
        assert Counter(drawn[epoch * count : (epoch + 1) * count]) == Counter(range(count))


@given(stop=st.integers(0, 12), count=st.integers(1, 9), batch_size=st.integers(1, 6))
def test_a_restored_source_goes_on_as_if_never_stopped(stop: int, count: int, batch_size: int):
    straight = shuffled(count, batch_size)
    batches = [straight.next({}) for _ in range(15)]
    stopped = shuffled(count, batch_size)
    for _ in range(stop):
        stopped.next({})
    state = json.loads(json.dumps(stopped.state()))
    fresh = shuffled(count, batch_size)
    fresh.restore(state)
    assert [fresh.next({}) for _ in range(15 - stop)] == batches[stop:]


def test_the_order_changes_with_the_seed_and_the_epoch():
    one, other = shuffled(20, 20, seed=1), shuffled(20, 20, seed=2)
    first, second = one.next({}), one.next({})
    assert list(first) != list(second)
    assert list(first) != list(other.next({}))
    assert list(first) != list(range(20))


def test_no_items_are_refused():
    with pytest.raises(DataError, match="nothing to train on"):
        Shuffled([], batch_size=2, seed=0)
