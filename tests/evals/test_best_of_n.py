"""Best-of-N: the KL's bound, the expected best against brute force and pass@k, ties, unbiasedness."""

from __future__ import annotations

import itertools
import math
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.evals.best_of_n import best_of_n_kl, expected_best, sizes


def keys(*scores: float) -> list[tuple[float, ...]]:
    return [(score,) for score in scores]


def brute_force(scores: list[float], values: list[float], n: int) -> float:
    """The mean over all subsets, each with the mean over its tied best."""
    found = []
    for subset in itertools.combinations(range(len(scores)), n):
        best = max(scores[i] for i in subset)
        found.append(fmean(values[i] for i in subset if scores[i] == best))
    return fmean(found)


def test_the_worked_numbers_of_the_file():
    assert expected_best(keys(1, 2, 3), [1.0, 2.0, 3.0], 2) == pytest.approx(8 / 3)
    assert best_of_n_kl(8) == pytest.approx(1.2044415)
    pass_rate = 1 - 0.5**8
    exact = pass_rate * math.log(pass_rate / 0.5) + 0.5**8 * math.log(0.5**8 / 0.5)
    assert exact == pytest.approx(0.6675877)
    assert exact < math.log(2) < best_of_n_kl(8)


def test_the_kl_is_that_of_choosing_among_many_different_answers():
    count, n = 20_000, 4  # the policy is uniform; the i-th best is chosen with (i/M)^n - ((i-1)/M)^n
    place = np.arange(1, count + 1) / count
    chosen = place**n - (place - 1 / count) ** n
    assert float((chosen * np.log(chosen * count)).sum()) == pytest.approx(best_of_n_kl(n), abs=1e-3)
    assert best_of_n_kl(1) == 0.0
    with pytest.raises(ValueError, match="found 0 samples"):
        best_of_n_kl(0)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=7), st.data())
def test_it_is_the_mean_over_all_subsets_ties_shared_whatever_is_averaged(scores, data):
    values = data.draw(st.lists(st.floats(-5, 5), min_size=len(scores), max_size=len(scores)))
    n = data.draw(st.integers(1, len(scores)))
    assert expected_best(keys(*scores), values, n) == pytest.approx(brute_force(scores, values, n))


@pytest.mark.parametrize(("passing", "count", "n"), [(3, 10, 1), (3, 10, 4), (0, 5, 2), (5, 5, 3), (1, 200, 100)])
def test_scores_of_0_and_1_give_pass_at_k(passing: int, count: int, n: int):
    scores = [1.0] * passing + [0.0] * (count - passing)
    pass_at_k = 1 - math.comb(count - passing, n) / math.comb(count, n)
    assert expected_best(keys(*scores), scores, n) == pytest.approx(pass_at_k)


def test_one_sample_gives_the_mean_and_all_give_the_best():
    values = [0.5, -1.0, 3.0, 2.0]
    assert expected_best(keys(*values), values, 1) == pytest.approx(fmean(values))
    assert expected_best(keys(*values), values, 4) == 3.0


def test_it_is_unbiased():
    generator = np.random.default_rng(0)
    draws = [generator.normal(size=6) for _ in range(4000)]
    estimates = [expected_best(keys(*draw), list(draw), 3) for draw in draws]
    assert fmean(estimates) == pytest.approx(1.5 / math.sqrt(math.pi), abs=0.03)  # the expected largest of 3 normals


def test_choosing_by_one_score_may_lower_another():
    proxy, gold = [1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 1.0, -5.0]
    curve = [expected_best(keys(*proxy), gold, n) for n in (1, 2, 4)]
    assert curve[0] > curve[1] > curve[2] == -5.0


def test_impossible_questions_are_refused():
    with pytest.raises(ValueError, match="found 2 keys and 1 values"):
        expected_best(keys(1, 2), [1.0], 1)
    for n in (0, 3):
        with pytest.raises(ValueError, match=f"found n = {n} with 2 samples; expected 1 to 2"):
            expected_best(keys(1, 2), [1.0, 2.0], n)


@pytest.mark.parametrize(("most", "expected"), [(1, (1,)), (2, (1, 2)), (4, (1, 2, 4)), (6, (1, 2, 4, 6))])
def test_sizes_double_up_to_the_last(most: int, expected: tuple[int, ...]):
    assert sizes(most) == expected
