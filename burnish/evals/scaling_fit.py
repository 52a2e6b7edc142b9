"""Fitting a scaling law to the losses of runs (Hoffmann et al. 2022, approach 3), with bootstrap intervals.

    minimise  sum_i Huber_delta( LSE(a - alpha log N_i, b - beta log D_i, e) - log L_i ),   delta = 1e-3

with A = exp a, B = exp b, L_inf = exp e, by L-BFGS from the grid of starts of the paper's appendix D.3. Three things
are done otherwise, none of which changes the minimum:

- Logarithms are centred, so that a factor and its exponent are not told apart by the last digits alone.
- The Huber loss is divided by delta^2. Its values are near 1e-6 otherwise, where the optimiser thinks that it has
  arrived; a replication found the published constants to be short of the minimum (Besiroglu et al. 2024,
  arXiv:2404.10102).
- Each pair of exponents goes on from its best start only, under a delta that narrows, which leaves few local minima.

The intervals are percentiles over fits to runs drawn with replacement, 95%. A constant that ends at a bound of the
search says nothing about the runs: `scaling_bounds.py` names it, and no budget is planned on it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from burnish.errors import DataError
from burnish.evals.scaling_bounds import FLATTEST, STEEPEST, AtBound, at_bounds, open_ends, unplannable
from burnish.evals.scaling_law import LEAST_SIZES, Best, ScalingLaw, TrainedRun, require_fitting
from burnish.numerics import seed_from
from burnish.stats import CONFIDENCE, Interval

Floats = NDArray[np.float64]

DELTA = 1e-3
_WIDTHS = (1e-1, 1e-2, DELTA)
"""From nearly least squares to nearly least absolute differences."""

_EXPONENTS = (0.0, 0.5, 1.0, 1.5, 2.0)
_FACTORS = (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)
_LIMITS = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""The paper's grid of alpha and beta, of a and b, and of e."""

_LOWEST = np.array([-np.inf, -np.inf, -20.0, FLATTEST, FLATTEST])
_HIGHEST = np.array([np.inf, np.inf, np.inf, STEEPEST, STEEPEST])
"""Bounds of a, b, e, alpha and beta."""

_KEPT = 4
"""Starts that are followed to the end."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A fitted law.

    Attributes:
        law: of all runs.
        resampled: a law for each drawing of runs.
        runs: that it was fitted to.
    """

    law: ScalingLaw
    resampled: tuple[ScalingLaw, ...]
    runs: tuple[TrainedRun, ...]

    def interval(self, value: Callable[[ScalingLaw], float]) -> Interval:
        """A figure of the law, with the spread that it has over the drawings."""
        edge = (1 - CONFIDENCE) / 2
        low, high = np.quantile([value(law) for law in self.resampled], [edge, 1 - edge])
        return Interval(estimate=value(self.law), low=float(low), high=float(high), count=len(self.runs))

    def constants(self) -> dict[str, Interval]:
        """The constants by name."""

        def of(name: str) -> Interval:
            return self.interval(lambda law: law.constants()[name])

        return {name: of(name) for name in self.law.constants()}

    @property
    def at_bounds(self) -> tuple[AtBound, ...]:
        """The constants that the runs do not determine."""
        return at_bounds(self.law, self.runs)

    @property
    def unplannable(self) -> str:
        """Why no budget can be planned for, "" if it can."""
        return unplannable(self.at_bounds)

    def warnings(self) -> list[str]:
        """What of the constants and their intervals rests on the bounds of the search, as sentences."""
        found = self.at_bounds
        return [*map(str, found), *open_ends(self.constants(), found)]

    def best(self, flops: float) -> dict[str, Interval]:
        """How a budget is best spent: parameters, tokens, tokens_per_parameter, loss.

        Raises:
            DataError: that would rest on a constant which the runs do not determine.
        """
        if reason := self.unplannable:
            raise DataError(f"no plan for {flops:.3g} operations: {reason}; widen the ladder")

        def of(figure: Callable[[Best], float]) -> Interval:
            return self.interval(lambda law: figure(law.best(flops)))

        return {
            "parameters": of(lambda best: best.parameters),
            "tokens": of(lambda best: best.tokens),
            "tokens_per_parameter": of(lambda best: best.tokens / best.parameters),
            "loss": of(lambda best: best.loss),
        }


def fit_law(runs: Sequence[TrainedRun], *, resamples: int = 200, seed: int = 0) -> Fit:
    """Fit a law.

    Args:
        runs: at least six, of three sizes and three numbers of tokens.
        resamples: drawings that the intervals come from.
        seed: of the drawings.

    Raises:
        DataError: the runs cannot tell the constants apart, or their losses do not fall with size or tokens.
    """
    require_fitting(runs)
    points = _Points.of(runs)
    estimate = _minimum(points, _starts(points))
    for name, exponent in (("parameters", estimate[3]), ("tokens", estimate[4])):
        if exponent <= FLATTEST * 1.01:
            raise DataError(f"the losses do not fall as {name} grow, so there is no law to plan with; look at the runs")
    generator = np.random.default_rng(seed_from(seed, "scaling"))
    drawn = [_minimum(points.drawn(generator), estimate[None]) for _ in range(resamples)]
    return Fit(law=points.law(estimate), resampled=tuple(points.law(theta) for theta in drawn), runs=tuple(runs))


@dataclass(frozen=True, kw_only=True)
class _Points:
    """Runs as arrays: log N and log D without their means, log L, and the means."""

    size: Floats
    tokens: Floats
    loss: Floats
    means: tuple[float, float]

    @classmethod
    def of(cls, runs: Sequence[TrainedRun]) -> _Points:
        size, tokens, loss = (
            np.log(np.asarray(column, np.float64))
            for column in zip(*((run.parameters, run.tokens, run.loss) for run in runs), strict=True)
        )
        means = (float(size.mean()), float(tokens.mean()))
        return cls(size=size - means[0], tokens=tokens - means[1], loss=loss, means=means)

    def drawn(self, generator: np.random.Generator) -> _Points:
        """As many runs with replacement, again until the constants can be told from them."""
        while True:
            rows = generator.integers(0, len(self.loss), len(self.loss))
            if min(len(np.unique(self.size[rows])), len(np.unique(self.tokens[rows]))) >= LEAST_SIZES:
                return _Points(size=self.size[rows], tokens=self.tokens[rows], loss=self.loss[rows], means=self.means)

    def law(self, theta: Floats) -> ScalingLaw:
        """The law of centred constants."""
        a, b, e, alpha, beta = (float(value) for value in theta)
        return ScalingLaw(
            size_factor=float(np.exp(a + alpha * self.means[0])),
            size_exponent=alpha,
            token_factor=float(np.exp(b + beta * self.means[1])),
            token_exponent=beta,
            limit=float(np.exp(e)),
        )

    def terms(self, theta: Floats) -> Floats:
        """The three terms of the law, in logs. (..., 5) -> (..., runs, 3)"""
        a, b, e, alpha, beta = (theta[..., place, None] for place in range(5))
        limit = np.broadcast_to(e, (*theta.shape[:-1], len(self.loss)))
        return np.stack([a - alpha * self.size, b - beta * self.tokens, limit], axis=-1)

    def objective(self, theta: Floats, width: float) -> tuple[float, Floats]:
        """The Huber loss over width^2, and its gradient."""
        terms = self.terms(theta)
        apart = (logsumexp(terms, axis=-1) - self.loss) / width
        pull = np.clip(apart, -1.0, 1.0)
        value = np.where(np.abs(apart) <= 1, 0.5 * apart**2, np.abs(apart) - 0.5).sum()
        share = softmax(terms, axis=-1) * (pull / width)[:, None]
        slopes = (-(share[:, 0] * self.size).sum(), -(share[:, 1] * self.tokens).sum())
        return float(value), np.array([*share.sum(0), *slopes])


def _starts(points: _Points) -> Floats:
    """The best start of the grid for each pair of exponents, centred. (25, 5)"""
    found = []
    for alpha, beta in itertools.product(_EXPONENTS, _EXPONENTS):
        grid = np.array([(a, b, e, alpha, beta) for a, b, e in itertools.product(_FACTORS, _FACTORS, _LIMITS)])
        grid[:, 0] -= alpha * points.means[0]
        grid[:, 1] -= beta * points.means[1]
        apart = np.abs(logsumexp(points.terms(grid), axis=-1) - points.loss)
        found.append(grid[int(apart.sum(1).argmin())])
    return np.array(found)


def _minimum(points: _Points, starts: Floats) -> Floats:
    """The constants of least loss that are reached from the starts."""
    first = sorted((_descended(points, theta, _WIDTHS[0]) for theta in starts), key=lambda found: found[0])[:_KEPT]
    kept = [theta for _, theta in first]
    for width in _WIDTHS[1:]:
        kept = [_descended(points, theta, width)[1] for theta in kept]
    return min(kept, key=lambda theta: points.objective(theta, DELTA)[0])


def _descended(points: _Points, start: Floats, width: float) -> tuple[float, Floats]:
    """The minimum below a start, and the constants there."""
    found = minimize(
        points.objective,
        np.clip(start, _LOWEST, _HIGHEST),
        args=(width,),
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(_LOWEST, _HIGHEST, strict=True)),
        options={"maxiter": 3000, "maxfun": 6000, "ftol": 1e-13, "gtol": 1e-9},
    )
    return float(found.fun), np.asarray(found.x, np.float64)
