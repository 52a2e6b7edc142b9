"""Scaling laws: known constants come back, intervals cover them, the published constants plan what was published."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import check_grad

from burnish.errors import DataError
from burnish.evals.scaling_fit import _Points, fit_law
from burnish.evals.scaling_law import ScalingLaw, TrainedRun

SIZES, TOKENS = np.geomspace(5e7, 1e10, 5), np.geomspace(1e9, 3e11, 5)


def published(size_exponent: float = 0.34, token_exponent: float = 0.28) -> ScalingLaw:
    """Hoffmann et al. 2022, equation 10."""
    return ScalingLaw(
        size_factor=406.4, size_exponent=size_exponent, token_factor=410.7, token_exponent=token_exponent, limit=1.69
    )


def runs_of(law: ScalingLaw, noise: float = 0.0, seed: int = 0) -> list[TrainedRun]:
    generator = np.random.default_rng(seed)
    return [
        TrainedRun(
            name=f"{n:.3g}/{d:.3g}", parameters=n, tokens=d, loss=law.loss(n, d) * math.exp(noise * generator.normal())
        )
        for n, d in itertools.product(SIZES, TOKENS)
    ]


def test_the_law_is_its_formula():
    law = ScalingLaw(size_factor=8.0, size_exponent=0.5, token_factor=27.0, token_exponent=1 / 3, limit=1.0)
    assert law.loss(16, 27) == pytest.approx(8 / 4 + 27 / 3 + 1)


@pytest.mark.parametrize("exponents", [(0.34, 0.28), (0.5, 0.1), (0.2, 0.35)])
def test_losses_without_noise_give_their_constants_back(exponents):
    law = published(*exponents)
    found = fit_law(runs_of(law), resamples=20).law
    for name, value in law.constants().items():
        assert found.constants()[name] == pytest.approx(value, rel=1e-5), name


def test_intervals_cover_the_constants_of_noisy_losses():
    law = published()
    covered = []
    for seed in range(4):
        fit = fit_law(runs_of(law, noise=0.004, seed=seed), resamples=30, seed=seed)
        constants = fit.constants()
        covered += [constants[name].low <= value <= constants[name].high for name, value in law.constants().items()]
        best = fit.best(5.76e23)["parameters"]
        covered.append(best.low <= law.best(5.76e23).parameters <= best.high)
        assert constants["alpha"].high - constants["alpha"].low < 0.15  # an interval that says nothing covers anything
    assert sum(covered) / len(covered) >= 0.8


def test_one_run_that_went_wrong_moves_hardly_anything():
    runs = runs_of(published(), noise=0.0005)
    runs[7] = TrainedRun(name="wrong", parameters=runs[7].parameters, tokens=runs[7].tokens, loss=runs[7].loss * 2)
    assert fit_law(runs, resamples=20).law.size_exponent == pytest.approx(0.34, abs=0.01)


def test_the_gradient_is_that_of_the_objective():
    points = _Points.of(runs_of(published(), noise=0.01))
    theta = np.array([1.0, 0.8, 0.4, 0.3, 0.2])
    for width in (10.0, 0.1):
        gap = check_grad(
            lambda t, w=width: points.objective(t, w)[0], lambda t, w=width: points.objective(t, w)[1], theta
        )
        assert gap < 1e-4 * np.abs(points.objective(theta, width)[1]).max() + 1e-6


def test_the_same_seed_gives_the_same_intervals():
    runs = runs_of(published(), noise=0.01)
    first, again, other = (fit_law(runs, resamples=20, seed=seed).constants() for seed in (1, 1, 2))
    assert first == again
    assert first["A"].low != other["A"].low


def test_no_other_split_of_a_budget_is_better():
    law = published()
    best = law.best(1e21)
    assert 6 * best.parameters * best.tokens == pytest.approx(1e21)
    for factor in (0.5, 0.9, 1.1, 2.0):
        assert law.loss(best.parameters * factor, best.tokens / factor) > best.loss
    assert law.flops_of(best.parameters) == pytest.approx(1e21)


TABLE_A3 = {  # size: operations, tokens; Hoffmann et al. 2022, table A3, approach 3
    4e8: (2.21e19, 9.2e9),
    1e9: (1.62e20, 27.1e9),
    1e10: (2.46e22, 410.1e9),
    6.7e10: (1.71e24, 4.1e12),
    1.75e11: (1.26e25, 12.0e12),
    2.8e11: (3.52e25, 20.1e12),
    5.2e11: (1.36e26, 43.5e12),
    1e12: (5.65e26, 94.1e12),
    1e13: (8.55e28, 1425.5e12),
}


@pytest.mark.parametrize("size", TABLE_A3)
def test_the_published_constants_plan_the_published_sizes_within_the_rounding_of_their_exponents(size):
    flops, tokens = TABLE_A3[size]
    corners = [published(0.34 + a, 0.28 + b) for a in (-0.005, 0.005) for b in (-0.005, 0.005)]
    budgets = [law.flops_of(size) for law in corners]
    assert min(budgets) <= flops <= max(budgets)
    sizes = [law.best(flops).parameters for law in corners]
    assert min(sizes) <= size <= max(sizes)
    assert tokens == pytest.approx(flops / (6 * size), rel=0.06)  # the table's own C = 6 N D, rounded


def test_the_exponents_of_the_paper_with_four_digits_give_its_40_billion_for_gophers_budget():
    best = published(0.3392, 0.2849).best(5.76e23)
    assert best.parameters == pytest.approx(40e9, rel=0.02)


def test_the_replication_plans_about_20_tokens_per_parameter():
    """Besiroglu et al. 2024, equation 6: with their constants approach 3 agrees with the 70B model that was trained."""
    law = ScalingLaw(
        size_factor=482.01, size_exponent=0.3478, token_factor=2085.43, token_exponent=0.3658, limit=1.8172
    )
    best = law.best(5.76e23)
    assert best.parameters == pytest.approx(70e9, rel=0.05)
    assert 17 < best.tokens / best.parameters < 21
    assert published().best(5.76e23).tokens / published().best(5.76e23).parameters > 70


@pytest.mark.parametrize(
    ("runs", "what"),
    [
        (runs_of(published())[:5], "5 runs, and a scaling law has 5 constants"),
        ([r for r in runs_of(published()) if r.parameters < 2e8] * 2, "2 different sizes"),
        ([r for r in runs_of(published()) if r.tokens < 2e9] * 3, "1 different numbers of tokens"),
        ([*runs_of(published()), TrainedRun(name="x", parameters=1e8, tokens=1e9, loss=math.nan)], "'x': loss is nan"),
        ([*runs_of(published()), TrainedRun(name="x", parameters=1e8, tokens=0, loss=2.0)], "'x': tokens is 0"),
    ],
)
def test_runs_that_no_law_can_be_told_from_are_refused(runs, what):
    with pytest.raises(DataError, match=what):
        fit_law(runs, resamples=20)


def test_losses_that_rise_with_size_are_refused():
    runs = [
        TrainedRun(name=f"{n}", parameters=n, tokens=d, loss=2 + 1e-10 * n + 400 * d**-0.3)
        for n, d in itertools.product(SIZES, TOKENS)
    ]
    with pytest.raises(DataError, match="do not fall as parameters grow"):
        fit_law(runs, resamples=20)


def test_the_printed_exponents_grow_the_size_more_slowly_than_the_tokens():
    """N as C^(beta / (alpha + beta)) = C^0.45, D as C^0.55: not half for each."""
    low, high = (published().best(budget) for budget in (1e20, 1e24))
    grown = [math.log(b / a) / math.log(1e4) for a, b in ((low.parameters, high.parameters), (low.tokens, high.tokens))]
    assert grown == pytest.approx([0.28 / 0.62, 0.34 / 0.62])
    assert [round(one, 2) for one in grown] == [0.45, 0.55]
