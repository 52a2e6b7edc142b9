"""Ladders that do not determine a law: the constant and its bound are named, and nothing is planned on it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from burnish.errors import DataError
from burnish.evals.scaling_bounds import FLATTEST, STEEPEST, at_bounds, undetermined, unplannable
from burnish.evals.scaling_fit import Fit, fit_law
from burnish.evals.scaling_law import ScalingLaw, TrainedRun

SIZES, TOKENS = np.geomspace(5e7, 1e10, 4), np.geomspace(1e9, 3e11, 4)


def runs_of(loss) -> list[TrainedRun]:
    return [
        TrainedRun(name=f"{n:.3g}/{d:.3g}", parameters=n, tokens=d, loss=loss(n, d))
        for n, d in itertools.product(SIZES, TOKENS)
    ]


def law_of(**changes: float) -> ScalingLaw:
    """The constants of Hoffmann et al. 2022, with changes."""
    return ScalingLaw(
        **{
            "size_factor": 406.4,
            "size_exponent": 0.34,
            "token_factor": 410.7,
            "token_exponent": 0.28,
            "limit": 1.69,
            **changes,
        }
    )


def test_a_law_that_the_runs_determine_rests_on_no_bound():
    fit = fit_law(runs_of(law_of().loss), resamples=20)
    assert (fit.at_bounds, fit.unplannable, fit.warnings()) == ((), "", [])


@pytest.mark.parametrize(
    ("constant", "loss", "advice"),
    [
        ("alpha", lambda n, d: 1.8 + 0.3 * (n == SIZES[0]) + 400 * d**-0.3, "add sizes between which"),
        ("beta", lambda n, d: 1.8 + 0.3 * (d == TOKENS[0]) + 400 * n**-0.34, "add numbers of tokens between which"),
    ],
)
def test_losses_that_fall_once_leave_their_exponent_at_its_bound_and_nothing_is_planned(constant, loss, advice):
    fit = fit_law(runs_of(loss), resamples=20)
    (found,) = fit.at_bounds
    assert (found.constant, found.bound) == (constant, STEEPEST)
    (said,) = [sentence for sentence in fit.warnings() if sentence.startswith(f"{constant} is ")]
    assert "at the bound of the search (5): the ladder does not determine it" in said
    assert advice in said
    with pytest.raises(DataError, match=f"no plan for 1e.21 operations: the best size rests on {constant}, which"):
        fit.best(1e21)


def test_losses_far_above_their_limit_leave_it_at_zero_and_the_plan_says_so():
    law = law_of(limit=0.0)
    fit = fit_law(runs_of(law.loss), resamples=20)
    (found,) = fit.at_bounds
    assert (found.constant, found.bound) == ("L_inf", 0.0)
    assert fit.best(1e21)["parameters"].estimate == pytest.approx(law.best(1e21).parameters, rel=0.05)
    assert "so does the loss foretold beyond the runs" in fit.warnings()[0]


@pytest.mark.parametrize("loss", [lambda n, d: 2 + 400 * d**-0.3, lambda n, d: 2 + 400 * n**-0.34], ids=["N", "D"])
def test_nothing_is_planned_from_losses_that_do_not_change_with_one_of_the_two(loss):
    with pytest.raises(DataError, match=r"do not fall as|no plan for"):
        fit_law(runs_of(loss), resamples=20).best(1e21)


def test_a_constant_is_at_its_bound_where_no_run_would_notice_it():
    runs = runs_of(law_of().loss)
    least = min(run.loss for run in runs)
    assert [one.constant for one in at_bounds(law_of(limit=0.9e-3 * least), runs)] == ["L_inf"]
    assert at_bounds(law_of(limit=1.1e-3 * least), runs) == ()
    assert [one.constant for one in at_bounds(law_of(size_factor=1e-3, token_factor=1e-3), runs)] == ["A", "B"]
    both = at_bounds(law_of(size_exponent=STEEPEST, token_exponent=4.999), runs)
    assert [one.constant for one in both[:2]] == ["alpha", "beta"]
    assert unplannable(both[:2]).startswith("the best size rests on alpha and beta, which")
    assert undetermined(both[:1]) == {"alpha", "A", "a"}
    assert at_bounds(law_of(size_exponent=4.9, size_factor=1e38), runs) == ()


def test_an_interval_that_ends_at_a_bound_is_said_to():
    runs = tuple(runs_of(law_of().loss))
    steep = tuple(law_of(size_exponent=value) for value in (0.3, 0.4, *[STEEPEST] * 8))
    (said,) = Fit(law=law_of(), resampled=steep, runs=runs).warnings()
    assert said.startswith("alpha's interval ends at the bound of the search (5)")
    flat = tuple(law_of(token_exponent=value) for value in (0.3, 0.4, *[FLATTEST] * 8))
    (said,) = Fit(law=law_of(), resampled=flat, runs=runs).warnings()
    assert "the losses do not fall as tokens grow" in said
    assert Fit(law=law_of(), resampled=(law_of(),) * 20, runs=runs).warnings() == []
