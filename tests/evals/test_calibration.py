"""Calibration: worked numbers, the two readings of a pair, temperatures that follow the scale, honest cross-fits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.evals.calibration import NUM_FOLDS, calibration, cross_fitted, fitted_temperature, share_won, wins
from burnish.stats import proportion


def calibrated_margins(count: int, *, seed: int = 0, spread: float = 1.5) -> np.ndarray:
    """Margins of a scorer whose sigmoid(margin) is exactly the probability that the chosen answer is the better one."""
    rng = np.random.default_rng(seed)
    size = np.abs(rng.normal(0, spread, count))
    came_true = rng.random(count) < 1 / (1 + np.exp(-size))
    return np.where(came_true, size, -size)


def prompts(count: int) -> list[str]:
    return [f"p{i}" for i in range(count)]


def test_worked_numbers():
    # sigmoid(log 3) = 3/4. Three right, one wrong, all 75% sure: the share is 3/4 as predicted, so the ECE is 0.
    margins = math.log(3) * np.array([1.0, 1.0, 1.0, -1.0])
    found = calibration(margins, clusters=prompts(4))
    assert found.nll == pytest.approx((3 * math.log(4 / 3) + math.log(4)) / 4)
    assert found.brier == pytest.approx((3 / 16 + 9 / 16) / 4)
    assert found.ece == pytest.approx(0.0)
    (only,) = found.bins
    assert (only.low, only.high, only.predicted) == pytest.approx((0.75, 0.75, 0.75))
    assert (only.observed.estimate, only.observed.count) == (0.75, 4)
    assert found.ece_if_calibrated == pytest.approx(math.sqrt(2 / math.pi) * math.sqrt(4 * 3 / 16) / 4)
    # All four wrong at 75%: the share that came true is 0, not 1 (which "chosen first" would have shown).
    assert calibration(-np.abs(margins), clusters=prompts(4)).ece == pytest.approx(0.75)


def test_knowing_nothing():
    found = calibration(np.zeros(6), clusters=prompts(6))
    assert (found.nll, found.brier, found.ece) == pytest.approx((math.log(2), 0.25, 0.0))
    assert found.bins[0].observed.estimate == 0.5


@given(st.lists(st.integers(-800, 800).filter(bool).map(lambda n: n / 100), min_size=1, max_size=60))
def test_the_oriented_reading_has_the_ece_of_the_symmetrised_one(values):
    margins = np.array(values)
    found = calibration(margins, clusters=prompts(len(values)))
    both = np.concatenate([1 / (1 + np.exp(-margins)), 1 / (1 + np.exp(margins))])
    outcome = np.concatenate([np.ones(len(margins)), np.zeros(len(margins))])
    edges = [one.low for one in found.bins]
    upper = np.searchsorted(np.array(edges) - 1e-12, np.maximum(both, 1 - both), side="right")
    place = np.where(both > 0.5, upper, -upper)
    gaps = [abs(np.sum(both[place == n]) - np.sum(outcome[place == n])) for n in np.unique(place)]
    assert found.ece == pytest.approx(sum(gaps) / len(both), abs=1e-9)


def test_a_calibrated_scorer_has_a_small_ece_and_a_temperature_of_one():
    margins = calibrated_margins(20_000)
    found = calibration(margins, clusters=prompts(20_000))
    assert found.ece < 0.015
    assert found.ece < 2 * found.ece_if_calibrated
    assert fitted_temperature(margins) == pytest.approx(1.0, abs=0.04)
    assert all(one.observed.low - 0.01 < one.predicted < one.observed.high + 0.01 for one in found.bins)
    overconfident = calibration(3 * margins, clusters=prompts(20_000))
    assert overconfident.ece > 0.08
    assert overconfident.nll > found.nll


def test_the_expected_ece_of_a_calibrated_scorer_is_what_simulation_gives():
    found = [calibration(calibrated_margins(300, seed=seed), clusters=prompts(300)) for seed in range(60)]
    assert np.mean([one.ece for one in found]) == pytest.approx(np.mean([f.ece_if_calibrated for f in found]), rel=0.1)


@pytest.mark.parametrize("scale", [1e-4, 0.3, 7.0, 1e5])
def test_scaled_scores_scale_the_temperature(scale):
    margins = calibrated_margins(400)
    base = fitted_temperature(margins)
    assert fitted_temperature(scale * margins) == pytest.approx(scale * base, rel=1e-6)
    assert cross_fitted(scale * margins, clusters=prompts(400)) == pytest.approx(
        scale * np.array(cross_fitted(margins, clusters=prompts(400))), rel=1e-6
    )


def test_the_fit_is_where_the_gradient_is_zero():
    margins = calibrated_margins(200, seed=4)
    inverse = 1 / fitted_temperature(margins)
    assert np.mean(margins / (1 + np.exp(inverse * margins))) == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("margins", [[1.0, 2.0], [-1.0, -2.0], [1.0, -1.0], [0.0, 0.0], [0.0, 3.0], []])
def test_no_temperature_where_the_likelihood_has_no_optimum(margins):
    assert fitted_temperature(np.array(margins)) is None


def test_a_pair_does_not_see_its_own_fold():
    margins = calibrated_margins(50, seed=2)
    before = cross_fitted(margins, clusters=prompts(50))
    changed = margins.copy()
    changed[7] *= -30
    after = cross_fitted(changed, clusters=prompts(50))
    assert after[7] == before[7]
    same = [a == b for a, b in zip(after, before, strict=True)]
    assert sum(same) == 50 // NUM_FOLDS


def test_pairs_of_a_prompt_share_a_fold_and_too_few_prompts_have_none():
    margins = calibrated_margins(60, seed=3)
    labels = [f"p{i % 20}" for i in range(60)]
    fits = cross_fitted(margins, clusters=labels)
    for name in set(labels):
        assert len({fit for fit, label in zip(fits, labels, strict=True) if label == name}) == 1
    assert cross_fitted(margins, clusters=[f"p{i % (NUM_FOLDS - 1)}" for i in range(60)]) is None


def test_the_order_of_the_pairs_does_not_matter():
    margins, labels = calibrated_margins(97), prompts(97)
    order = np.random.default_rng(1).permutation(97)
    moved = [labels[i] for i in order]
    one, other = calibration(margins, clusters=labels), calibration(margins[order], clusters=moved)
    assert [b.observed for b in other.bins] == [b.observed for b in one.bins]
    assert (other.nll, other.brier, other.ece) == pytest.approx((one.nll, one.brier, one.ece), rel=1e-12)
    fits = dict(zip(moved, cross_fitted(margins[order], clusters=moved), strict=True))
    expected = dict(zip(labels, cross_fitted(margins, clusters=labels), strict=True))
    assert fits == pytest.approx(expected, rel=1e-6)


def test_bins_hold_equally_many():
    assert {one.observed.count for one in calibration(calibrated_margins(200), clusters=prompts(200)).bins} == {20}


def test_ties_count_half_and_the_interval_is_about_wilsons():
    assert wins(np.array([2.0, 0.0, -1.0])).tolist() == [1.0, 0.5, 0.0]
    no_ties = share_won(np.array([1.0] * 60 + [0.0] * 40), clusters=prompts(100))
    assert no_ties == proportion(60, 100)
    ties = share_won(np.array([1.0] * 59 + [0.0] * 39 + [0.5] * 2), clusters=prompts(100))
    assert (ties.estimate, ties.count) == (0.6, 100)
    assert (ties.low, ties.high) == pytest.approx((no_ties.low, no_ties.high), abs=0.004)


@pytest.mark.parametrize("logits", [[], [1.0, math.inf], [math.nan]])
def test_what_cannot_be_calibrated_is_refused(logits):
    with pytest.raises(ValueError, match="1 or more, all finite"):
        calibration(np.array(logits), clusters=prompts(len(logits)))
