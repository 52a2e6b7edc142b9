"""Intervals for pass rates, means and paired gains that respect which answers share a prompt.

Several answers to one prompt are not independent: a hard prompt fails all of them. Every function therefore takes
`clusters`, one label per outcome (the prompt's id); without it each outcome stands alone.

    proportion          Wilson's score interval (Wilson 1927). With clusters, at the effective number of answers
                            n' = n / max(1, deff),   deff = m/(m-1) * sum_i z_i^2 / (n p (1-p))
                        where z_i is the sum of (outcome - p) over prompt i of m (Kish's design effect; Wilson at n' is
                        what Franco et al. 2019 recommend for rates from clustered surveys).
    paired_difference   Newcombe's method 10 (Newcombe 1998, Statistics in Medicine 17:2635): the Wilson intervals of
                        both rates, joined by square-and-add with the correlation of the two,
                            low  = d - sqrt((pa-la)^2 - 2 r (pa-la)(ub-pb) + (ub-pb)^2)
                            high = d + sqrt((ua-pa)^2 - 2 r (ua-pa)(pb-lb) + (pb-lb)^2)
                        for d = pa - pb (after minus before). With clusters r is the correlation of the prompts' z_i,
                        which is Zou and Donner's general form (2008) and equals method 10 for one answer a prompt.
    mean_interval       Student's t with the cluster-robust variance and m - 1 degrees of freedom.

Why not a bootstrap: it gives a width of zero where every answer fails, as a start model does on half of the kinds, it
needs a seed, and its coverage is below the nominal one for the few dozen prompts that a kind has. The tests check the
coverage of all three by simulation.

What this does not do: correct for many comparisons, or for choices made after looking at the numbers.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

CONFIDENCE = 0.95
"""Confidence of every interval unless another is asked for."""

Floats = NDArray[np.float64]
Labels = Sequence[Hashable]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes:
        estimate: the rate, mean or difference, in the unit of what went in.
        low, high: ends of the interval.
        count: outcomes (or pairs of outcomes) behind it.
    """

    estimate: float
    low: float
    high: float
    count: int

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside of the interval."""
        return self.low > 0 or self.high < 0


def proportion(successes: float, count: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's interval of a pass rate over `count` independent outcomes.

    Args:
        successes: how many passed, 0 to `count`.
        count: how many there were, at least 1.
        confidence: probability that the interval is to cover the true rate.

    Raises:
        ValueError: the counts are impossible.
    """
    if count < 1 or not 0 <= successes <= count:
        raise ValueError(f"found {successes} successes of {count}; a rate needs 1 or more outcomes and 0..count passes")
    low, high = _wilson(successes / count, count, confidence)
    return Interval(estimate=successes / count, low=low, high=high, count=count)


def pass_rate(outcomes: Sequence[float], *, clusters: Labels | None = None, confidence: float = CONFIDENCE) -> Interval:
    """The interval of a pass rate from outcomes of 0 and 1, some of which may share a prompt.

    Args:
        outcomes: 0 or 1 (or False, True) each.
        clusters: the prompt of each outcome; `None` if no two share one.
        confidence: probability that the interval is to cover the true rate.

    Raises:
        ValueError: no outcomes, an outcome that is not 0 or 1, or labels of another length.
    """
    passed = _binary(outcomes)
    group = _groups(clusters, len(passed))
    rate = float(passed.mean())
    low, high = _wilson(rate, _effective_count(passed, group), confidence)
    return Interval(estimate=rate, low=low, high=high, count=len(passed))


def paired_difference(
    before: Sequence[float],
    after: Sequence[float],
    *,
    clusters: Labels | None = None,
    confidence: float = CONFIDENCE,
) -> Interval:
    """The interval of the gain in pass rate, `after` minus `before`, on the same prompts (Newcombe's method 10).

    Args:
        before, after: 0 or 1 each; position i of both answers the same prompt.
        clusters: the prompt of each position; `None` if no two positions share one.
        confidence: probability that the interval is to cover the true difference.

    Raises:
        ValueError: lengths differ, there are no outcomes, or one is not 0 or 1.
    """
    if len(before) != len(after):
        raise ValueError(f"found {len(before)} outcomes before and {len(after)} after; pairs need equally many")
    first, second = _binary(before), _binary(after)
    group = _groups(clusters, len(first))
    p_before, p_after = float(first.mean()), float(second.mean())
    low_before, high_before = _wilson(p_before, _effective_count(first, group), confidence)
    low_after, high_after = _wilson(p_after, _effective_count(second, group), confidence)
    correlation = _correlation(_residuals(first, group), _residuals(second, group))
    gain = p_after - p_before
    below = _square_and_add(p_after - low_after, high_before - p_before, correlation)
    above = _square_and_add(high_after - p_after, p_before - low_before, correlation)
    return Interval(estimate=gain, low=max(-1.0, gain - below), high=min(1.0, gain + above), count=len(first))


def mean_interval(
    values: Sequence[float], *, clusters: Labels | None = None, confidence: float = CONFIDENCE
) -> Interval:
    """The interval of a mean (a length, a log-probability), some of whose values may share a prompt.

    Args:
        values: finite numbers.
        clusters: the prompt of each value; `None` if no two share one.
        confidence: probability that the interval is to cover the true mean.

    Raises:
        ValueError: fewer than two clusters, or a value that is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    group = _groups(clusters, len(numbers))
    num_groups = int(group.max(initial=-1)) + 1
    if num_groups < 2 or not np.isfinite(numbers).all():
        raise ValueError(f"found {num_groups} independent values; a mean's interval needs 2 or more, all finite")
    residuals = _residuals(numbers, group)
    variance = num_groups / (num_groups - 1) * float(residuals @ residuals) / len(numbers) ** 2
    reach = float(stdtrit(num_groups - 1, (1 + confidence) / 2)) * variance**0.5
    mean = float(numbers.mean())
    return Interval(estimate=mean, low=mean - reach, high=mean + reach, count=len(numbers))


def _wilson(rate: float, count: float, confidence: float) -> tuple[float, float]:
    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    centre = (rate + z2 / (2 * count)) / (1 + z2 / count)
    reach = (z2 * (rate * (1 - rate) / count + z2 / (4 * count**2))) ** 0.5 / (1 + z2 / count)
    # At a rate of 0 or 1 one end is that rate exactly; rounding must not move it.
    return (0.0 if rate == 0 else max(0.0, centre - reach)), (1.0 if rate == 1 else min(1.0, centre + reach))


def _effective_count(passed: Floats, group: NDArray[np.int64]) -> float:
    count, num_groups = len(passed), int(group.max()) + 1
    spread = count * passed.mean() * (1 - passed.mean())
    if num_groups == count:
        return float(count)
    if spread == 0 or num_groups == 1:
        return float(num_groups)  # the correlation within a prompt cannot be seen, so assume the worst
    residuals = _residuals(passed, group)
    effect = num_groups / (num_groups - 1) * float(residuals @ residuals) / float(spread)
    return count / max(1.0, effect)


def _residuals(values: Floats, group: NDArray[np.int64]) -> Floats:
    """The sum of (value - mean) over each cluster."""
    sums = np.zeros(int(group.max()) + 1)
    np.add.at(sums, group, values - values.mean())
    return sums


def _correlation(first: Floats, second: Floats) -> float:
    """Correlation of the clusters' residuals, its numerator corrected for continuity if positive (method 10)."""
    scale = float(np.sqrt((first @ first) * (second @ second)))
    product = float(first @ second)
    corrected = max(product - 0.5, 0.0) if product > 0 else product
    return corrected / scale if scale > 0 else 0.0


def _square_and_add(one: float, other: float, correlation: float) -> float:
    return float(np.sqrt(max(0.0, one**2 - 2 * correlation * one * other + other**2)))


def _binary(outcomes: Sequence[float]) -> Floats:
    values = np.asarray(outcomes, dtype=np.float64)
    if not len(values):
        raise ValueError("found no outcomes; a rate needs 1 or more")
    wrong = values[(values != 0) & (values != 1)]
    if len(wrong):
        raise ValueError(f"found an outcome of {wrong[0]:g}; expected 0 or 1")
    return values


def _groups(clusters: Labels | None, count: int) -> NDArray[np.int64]:
    """The number of the cluster of each outcome, counted from 0."""
    if clusters is None:
        return np.arange(count, dtype=np.int64)
    if len(clusters) != count:
        raise ValueError(f"found {len(clusters)} cluster labels for {count} outcomes; expected one each")
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(label, len(number)) for label in clusters], dtype=np.int64)
