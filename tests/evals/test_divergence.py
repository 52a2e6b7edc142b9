"""KL on the policy's own answers: worked by hand, right on a distribution whose KL is known, intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest

from burnish.evals.divergence import kl_scores


def test_the_worked_example_of_the_file():
    found = kl_scores([-1.0, -2.0], [-3.0, -2.0], [2, 2], ["a", "b"])
    assert (found["kl"]["mean"], found["kl_per_token"]["mean"]) == (1.0, 0.5)
    assert found["kl"]["count"] == found["kl_per_token"]["count"] == 2


def test_a_long_answer_counts_for_its_length_per_token_and_once_per_answer():
    found = kl_scores([-1.0, -2.0, -9.0], [-2.0, -4.0, -9.0], [1, 2, 7], ["a", "a", "b"])
    assert found["kl"]["mean"] == pytest.approx((1 + 2 + 0) / 3)
    assert found["kl_per_token"]["mean"] == pytest.approx((1 + 2 + 0) / 10)


def test_a_model_is_no_distance_from_itself():
    assert kl_scores([-3.0, -4.0], [-3.0, -4.0], [5, 6], ["a", "b"])["kl"] == {
        "mean": 0.0,
        "low": 0.0,
        "high": 0.0,
        "count": 2,
    }


def test_the_estimate_and_its_interval_find_a_known_kl():
    policy, reference = np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.3, 0.5])
    known = float(policy @ np.log(policy / reference))
    generator = np.random.default_rng(0)
    covered, means = 0, []
    for _ in range(60):
        drawn = generator.choice(3, size=200, p=policy)
        found = kl_scores(np.log(policy)[drawn], np.log(reference)[drawn], [1] * 200, [str(i) for i in range(200)])
        covered += found["kl"]["low"] <= known <= found["kl"]["high"]
        means.append(found["kl"]["mean"])
        assert found["kl"] == found["kl_per_token"]
    assert np.mean(means) == pytest.approx(known, abs=0.02)
    assert 52 <= covered <= 60


def test_answers_to_one_prompt_share_its_luck():
    values = list(np.random.default_rng(1).normal(size=10))
    apart = kl_scores(values * 4, [0.0] * 40, [1] * 40, [str(i) for i in range(40)])["kl"]
    together = kl_scores(values * 4, [0.0] * 40, [1] * 40, [str(i % 10) for i in range(40)])["kl"]
    assert together["mean"] == pytest.approx(apart["mean"])
    assert together["high"] - together["low"] > 1.6 * (apart["high"] - apart["low"])


def test_the_same_answers_give_the_same_interval_and_one_prompt_gives_none():
    given = ([-1.0, -2.0, -4.0], [-3.0, -2.5, -4.0], [2, 2, 3], ["a", "b", "c"])
    assert kl_scores(*given) == kl_scores(*given)
    assert kl_scores([-1.0, -2.0], [-3.0, -2.0], [2, 2], ["a", "a"]) == {}


def test_what_has_no_kl_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        kl_scores([-1.0, -2.0], [-3.0, float("-inf")], [2, 2], ["a", "b"])
    with pytest.raises(ValueError, match="2 answers with 1 lengths"):
        kl_scores([-1.0, -2.0], [-3.0, -2.0], [2], ["a", "b"])
