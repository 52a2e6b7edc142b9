"""Figures of needles that were found or not."""

from __future__ import annotations

import pytest

from burnish.evals.needle import Search, needle_scores


def search(length: int, depth: float, *logps: float) -> Search:
    return Search(length=length, depth=depth, logps=logps)


def test_rates_by_length_and_depth():
    found = [search(64, 0.0, -1.0, -2.0), search(64, 1.0, -3.0, -1.0), search(128, 0.0, -1.0, -1.5)]
    scores = needle_scores([*found, search(128, 1.0, -2.0, -2.0)])
    assert scores["overall"]["pass_rate"] == 0.5, "equal is not found"
    assert scores["overall"]["margin"] == pytest.approx((1 - 2 + 0.5 + 0) / 4)
    assert scores["chance"] == 0.5
    assert [(row["length"], row["pass_rate"], row["count"]) for row in scores["by_length"]] == [
        (64, 0.5, 2),
        (128, 0.5, 2),
    ]
    assert [(row["depth"], row["pass_rate"]) for row in scores["by_depth"]] == [(0.0, 1.0), (1.0, 0.0)]
    assert len(scores["cells"]) == 4
    assert scores["cells"][1] == {
        "length": 64,
        "depth": 1.0,
        "pass_rate": 0.0,
        "low": pytest.approx(0.0),
        "high": pytest.approx(0.7935, abs=1e-3),
        "count": 1,
        "margin": -2.0,
    }
