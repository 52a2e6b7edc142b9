"""Documents in windows, bits per byte with its interval, and figures by position."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.evals.texts import Measured, Text, bits_per_byte, document_rows, measured, text_scores, windows


def text(count: int) -> Text:
    return Text(id="t", tokens=np.arange(1, count + 1), first=0, num_bytes=3 * count)


def found(*documents: list[float], num_bytes: int = 4) -> list[Measured]:
    return [
        Measured(id=str(n), num_bytes=num_bytes, nats=np.array(nats), seen=np.arange(len(nats)) + 1)
        for n, nats in enumerate(documents)
    ]


def test_the_windows_of_the_picture():
    trees = windows(text(9), window=5, overlap=2)
    assert [(list(tree.prompt), list(tree.branches[0].tokens)) for tree in trees] == [
        ([0], [1, 2, 3, 4]),
        ([3, 4], [5, 6, 7]),
        ([6, 7], [8, 9]),
    ]


@given(st.integers(1, 60), st.integers(2, 20), st.data())
def test_every_token_is_predicted_once_from_all_that_a_window_holds(count: int, window: int, data: st.DataObject):
    overlap = data.draw(st.integers(1, window - 1))
    trees = windows(text(count), window=window, overlap=overlap)
    assert [token for tree in trees for token in tree.branches[0].tokens] == list(range(1, count + 1))
    for tree in trees:
        row = [*tree.prompt, *tree.branches[0].tokens]
        assert row == list(range(row[0], row[0] + len(row)))
        assert len(row) <= window
        assert set(tree.branches[0].weights) == {1.0}
    one = measured(text(count), trees, [[-float(t) for t in tree.branches[0].tokens] for tree in trees])
    assert one.nats.tolist() == list(range(1, count + 1))
    expected = [at if at < window else None for at in range(1, count + 1)]
    assert all(seen == want for seen, want in zip(one.seen.tolist(), expected, strict=True) if want is not None)
    assert all(overlap <= seen < window for seen in one.seen[window - 1 :])


def test_figures_of_two_documents():
    scores = text_scores(found([1.0, 2.0, 3.0], [2.0, 2.0], num_bytes=5))
    assert scores["bits_per_byte"]["estimate"] == pytest.approx(10 / math.log(2) / 10)
    assert scores["bits_per_byte"]["count"] == 2
    assert scores["perplexity"] == pytest.approx(math.exp(2.0))
    assert (scores["documents"], scores["tokens"], scores["bytes"]) == (2, 5, 10)
    assert scores["by_position"] == [
        {"from": 1, "to": 2, "tokens": 2, "nats_per_token": 1.5},
        {"from": 2, "to": 4, "tokens": 3, "nats_per_token": pytest.approx(7 / 3)},
    ]
    assert document_rows(found([1.0, 2.0]))[0] == {"id": "0", "bytes": 4, "tokens": 2, "nats": 3.0}


def test_the_interval_covers_the_ratio_as_often_as_it_says():
    """Documents of very different lengths, some of them easier: 95% of the intervals hold the true ratio."""
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(600):
        size = draw.lognormal(5, 1, 60)
        nats = size * draw.normal(1.2, 0.3, 60) * math.log(2)
        one = bits_per_byte(nats.tolist(), size.tolist())
        held += one.low < 1.2 < one.high
    assert 0.90 < held / 600 < 0.98


def test_a_difference_of_two_models_is_sharper_than_either():
    draw = np.random.default_rng(1)
    size = draw.integers(50, 5000, 80)
    first = size * draw.normal(1.2, 0.3, 80)
    second = first - 0.05 * size + draw.normal(0, 2, 80)
    one, gap = bits_per_byte(first.tolist(), size.tolist()), bits_per_byte((second - first).tolist(), size.tolist())
    assert gap.high < 0 < one.high - one.low
    assert gap.high - gap.low < (one.high - one.low) / 10
