"""Figures of a reward model: worked numbers, rankings as all pairs, length, correlations, invariances, plain data."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import scipy.stats

from burnish.errors import DataError
from burnish.evals.correlation import correlation
from burnish.evals.reward import Comparison, pairs_of, reward_scores
from burnish.stats import proportion


def pair(id: str, chosen: tuple[float, int], rejected: tuple[float, int]) -> Comparison:
    """A chosen-rejected pair of (score, length)."""
    return Comparison(id=id, scores=(chosen[0], rejected[0]), ranks=(0, 1), lengths=(chosen[1], rejected[1]))


WORKED = [
    pair("a", (2.0, 10), (1.0, 20)),  # right, chosen shorter
    pair("b", (0.5, 30), (1.5, 20)),  # wrong, chosen longer
    pair("c", (3.0, 40), (0.0, 20)),  # right, chosen longer
    pair("d", (1.0, 15), (1.0, 15)),  # a tie, equally long
]


def invented(count: int, *, seed: int = 0, length_effect: float = 0.0) -> list[Comparison]:
    """Calibrated pairs, of which scores may follow length."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        size = abs(rng.normal(0, 1.5))
        margin = size if rng.random() < 1 / (1 + np.exp(-size)) else -size
        lengths = rng.integers(5, 200, 2)
        base = rng.normal()
        scores = base + np.array([margin, 0.0]) + length_effect * lengths
        made.append(Comparison(id=f"p{i}", scores=tuple(scores), ranks=(0, 1), lengths=tuple(map(int, lengths))))
    return made


def test_worked_numbers():
    found = reward_scores(WORKED)
    assert (found["prompts"], found["pairs"], found["ties"]) == (4, 4, 1)
    assert (found["accuracy"]["accuracy"], found["accuracy"]["count"]) == (2.5 / 4, 4)
    assert found["margin"]["mean"] == pytest.approx((1 - 1 + 3 + 0) / 4)
    assert found["rules"]["longer_wins"]["accuracy"] == 2.5 / 4
    assert found["rules"]["shorter_wins"]["accuracy"] == 1.5 / 4
    sides = {
        name: (row["accuracy"], row["count"]) for name, row in found["length_difference"].items() if name != "quantiles"
    }
    assert sides == {"chosen_shorter": (1.0, 1), "same_length": (0.5, 1), "chosen_longer": (0.5, 2)}
    margins, differences = np.array([1, -1, 3, 0]), np.array([-10, 10, 20, 0])
    expected = (margins @ differences) / np.sqrt((margins @ margins) * (differences @ differences))
    assert found["score_and_length"]["within_pairs"]["estimate"] == pytest.approx(expected)
    assert found["score_and_length"]["within_pairs"]["count"] == 4
    scores, lengths = [2, 1, 0.5, 1.5, 3, 0, 1, 1], [10, 20, 30, 20, 40, 20, 15, 15]
    assert found["score_and_length"]["pearson"]["estimate"] == pytest.approx(np.corrcoef(scores, lengths)[0, 1])
    spearman = scipy.stats.spearmanr(scores, lengths).statistic
    assert found["score_and_length"]["spearman"]["estimate"] == pytest.approx(spearman)
    assert found["calibrated"] is None  # four prompts make no five folds


def test_accuracy_has_wilsons_interval():
    found = reward_scores([pair(f"{i}", (float(i < 62), 5), (0.5, 9)) for i in range(100)])["accuracy"]
    expected = proportion(62, 100)
    assert (found["accuracy"], found["low"], found["high"]) == (0.62, expected.low, expected.high)


def test_a_ranking_makes_all_its_pairs():
    one = Comparison(id="r", scores=(0.0, 5.0, 1.0, 2.0), ranks=(2, 0, 1, 1), lengths=(4, 3, 2, 1))
    pairs = pairs_of([one])
    assert sorted(pairs.margins.tolist()) == [1.0, 2.0, 3.0, 4.0, 5.0]  # not the pair of equal rank
    assert sorted(pairs.length_differences.tolist()) == [-3.0, -2.0, -1.0, 1.0, 2.0]
    assert pairs.prompts == ("r",) * 5


def test_pairs_of_one_prompt_do_not_narrow_the_interval_as_independent_ones_would():
    rng = np.random.default_rng(0)
    right = rng.random(40) < 0.6
    alone = [pair(f"{i}", (float(r), 5), (0.5, 9)) for i, r in enumerate(right)]
    ranked = [
        Comparison(id=f"{i}", scores=(r, r, 0.5, 0.5), ranks=(0, 0, 1, 1), lengths=(5, 5, 9, 9))
        for i, r in enumerate(right.astype(float))
    ]
    one, four = reward_scores(alone)["accuracy"], reward_scores(ranked)["accuracy"]
    assert (four["accuracy"], four["count"]) == (one["accuracy"], 160)
    assert four["high"] - four["low"] == pytest.approx(one["high"] - one["low"], rel=0.03)


def test_a_calibrated_scorer_is_called_that():
    found = reward_scores(invented(4000))
    assert found["temperature"] == pytest.approx(1.0, abs=0.08)
    assert found["as_scored"]["ece"] < 0.03
    assert sum(one["count"] for one in found["as_scored"]["bins"]) == 4000
    folds = found["calibrated"]["temperature_of_folds"]
    assert folds["low"] < found["temperature"] < folds["high"]


def test_scaling_the_scores_scales_the_temperature_and_nothing_after_it():
    base = invented(300)
    scaled = [
        Comparison(id=c.id, scores=tuple(4 * s for s in c.scores), ranks=c.ranks, lengths=c.lengths) for c in base
    ]
    one, four = reward_scores(base), reward_scores(scaled)
    assert four["temperature"] == pytest.approx(4 * one["temperature"], rel=1e-6)
    assert four["calibrated"]["nll"] == pytest.approx(one["calibrated"]["nll"], rel=1e-6)
    assert four["calibrated"]["ece"] == pytest.approx(one["calibrated"]["ece"], rel=1e-4)
    assert four["accuracy"] == one["accuracy"]
    assert four["as_scored"]["nll"] > one["as_scored"]["nll"]
    assert four["score_and_length"]["pearson"] == pytest.approx(one["score_and_length"]["pearson"], rel=1e-9)


def test_a_scorer_that_follows_length_shows_it():
    plain, long = reward_scores(invented(600)), reward_scores(invented(600, length_effect=0.03))
    assert abs(plain["score_and_length"]["within_pairs"]["estimate"]) < 0.1
    assert long["score_and_length"]["within_pairs"]["low"] > 0.6
    assert long["length_difference"]["chosen_longer"]["low"] > long["length_difference"]["chosen_shorter"]["high"]
    shares = [row["accuracy"] for row in long["length_difference"]["quantiles"]]
    assert shares == sorted(shares)
    means = [row["mean"] for row in long["score_and_length"]["bins"]]
    assert means == sorted(means)


def test_the_order_of_prompts_and_answers_does_not_matter():
    base = [*invented(120), Comparison(id="r", scores=(0.0, 5.0, 1.0), ranks=(2, 0, 1), lengths=(4, 3, 2))]
    moved = [Comparison(id=c.id, scores=c.scores[::-1], ranks=c.ranks[::-1], lengths=c.lengths[::-1]) for c in base]
    random.Random(5).shuffle(moved)
    assert flat(reward_scores(moved)) == pytest.approx(flat(reward_scores(base)), rel=1e-6, abs=1e-9)


def flat(value, name: str = "") -> dict[str, float]:
    if isinstance(value, dict):
        return {k: v for key, inner in value.items() for k, v in flat(inner, f"{name}.{key}").items()}
    if isinstance(value, list):
        return {k: v for i, inner in enumerate(value) for k, v in flat(inner, f"{name}[{i}]").items()}
    return {name: value}


@pytest.mark.parametrize(
    "comparisons",
    [WORKED, [pair("a", (1.0, 5), (1.0, 5))], [pair("a", (1.0, 5), (0.0, 5)), pair("b", (1.0, 5), (0.0, 5))]],
)
def test_it_is_plain_data_without_nan(comparisons):
    found = reward_scores(comparisons)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_refused_by_name(score):
    with pytest.raises(DataError, match="'bad' has the scores"):
        reward_scores([*WORKED, pair("bad", (score, 1), (0.0, 2))])


def test_comparisons_without_a_preference_are_refused():
    tied = Comparison(id="t", scores=(1.0, 2.0), ranks=(0, 0), lengths=(1, 1))
    with pytest.raises(DataError, match="no pair in 1 examples"):
        reward_scores([tied])


def test_the_interval_of_a_correlation_covers_and_knows_clusters():
    rng = np.random.default_rng(0)
    covered, naive = 0, 0
    for _ in range(300):
        shared = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 40)
        values = np.repeat(shared, 4, axis=0)  # four equal answers to each prompt
        labels = [f"p{i // 4}" for i in range(160)]
        found = correlation(values[:, 0], values[:, 1], clusters=labels)
        covered += found.low <= 0.5 <= found.high
        apart = correlation(values[:, 0], values[:, 1], clusters=[str(i) for i in range(160)])
        naive += apart.low <= 0.5 <= apart.high
    assert covered >= 0.91 * 300
    assert naive < 0.8 * 300


def test_correlations_at_the_edges():
    x = np.arange(6.0)
    labels = [str(i) for i in range(6)]
    assert correlation(x, np.ones(6), clusters=labels) is None
    assert correlation(x, -2 * x, clusters=labels).estimate == pytest.approx(-1.0)
    few = correlation(x, x**2, clusters=["a", "a", "a", "b", "b", "b"])
    assert (few.low, few.high) == (-1.0, 1.0)
