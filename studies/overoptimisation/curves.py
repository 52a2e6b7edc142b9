"""Gold and proxy along an optimisation: where the gold score peaks, how far it falls, what another way makes of it.

A curve is a list of points at growing optimisation: n of best-of-n, or updates of RL. Each holds the scores of the same
prompts in the same order, so every difference is taken prompt by prompt; its interval is Student's t over prompts
(`burnish.stats.mean_interval`).

The highest of several points is also the luckiest, so a fall from the best point, all measured on the same prompts,
would be found where there is none. `fall` therefore chooses the best point on every other prompt and measures on those
between, both ways round. It is also what stopping early is worth, with half of the prompts to stop by.

A price on the KL, or an ensemble, may end higher only because it has gone less far. `at_kl` compares two curves where
they have gone equally far.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from burnish.stats import Interval, mean_interval

Values = tuple[float, ...]
"""A number for each prompt."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One degree of optimisation.

    Attributes:
        at: n, or the number of updates.
        kl: from the policy at the start, nats per answer.
        proxy: what is optimised, of each prompt.
        gold: what is wanted, of each prompt.
        words: how long the answers are, of each prompt.
    """

    at: int
    kl: float
    proxy: Values
    gold: Values
    words: Values


Curve = Sequence[Point]


def best_place(curve: Curve, prompts: Sequence[int] | None = None) -> int:
    """The place in the curve with the highest mean gold score, over these prompts if any are given; ties: the first."""
    chosen = range(len(curve[0].gold)) if prompts is None else prompts
    means = [statistics.fmean(point.gold[prompt] for prompt in chosen) for point in curve]
    return means.index(max(means))


def stopped(curve: Curve) -> tuple[tuple[int, int], Values]:
    """Early stopping: the two stops, and the gold score of each prompt at the stop that the other half chose.

    Raises:
        ValueError: there are fewer than four prompts.
    """
    count = len(curve[0].gold)
    if count < 4:
        raise ValueError(f"found {count} prompts; choosing on one half and measuring on the other needs 4 or more")
    even, odd = range(0, count, 2), range(1, count, 2)
    for_even, for_odd = best_place(curve, odd), best_place(curve, even)
    values = tuple(curve[for_odd if prompt % 2 else for_even].gold[prompt] for prompt in range(count))
    return (curve[for_even].at, curve[for_odd].at), values


def fall(curve: Curve) -> Interval:
    """Gold at the stop less gold at the end, see above; about 0 where the gold score never turns."""
    return difference(stopped(curve)[1], curve[-1].gold)


def difference(one: Values, other: Values) -> Interval:
    """Mean of `one` less `other`, prompt by prompt."""
    return mean_interval([mine - theirs for mine, theirs in zip(one, other, strict=True)])


def reach(curve: Curve) -> float:
    """The largest KL of a curve."""
    return max(point.kl for point in curve)


def at_kl(curve: Curve, kl: float) -> Values:
    """The gold score of each prompt where the curve first reaches `kl`, on a straight line between two points.

    Raises:
        ValueError: it never goes that far.
    """
    if curve[0].kl >= kl:
        return curve[0].gold
    for before, after in itertools.pairwise(curve):
        if before.kl < kl <= after.kl:
            share = (kl - before.kl) / (after.kl - before.kl)
            return tuple(old + share * (new - old) for old, new in zip(before.gold, after.gold, strict=True))
    raise ValueError(f"the curve goes as far as {reach(curve):.4g} nats, and {kl:.4g} were asked for")


def mean_curve(curves: Sequence[Curve]) -> list[Point]:
    """The mean of curves at the same degrees and KLs, such as those of several proxies, each used alone."""
    return [
        Point(
            at=points[0].at,
            kl=statistics.fmean(point.kl for point in points),
            proxy=_means([point.proxy for point in points]),
            gold=_means([point.gold for point in points]),
            words=_means([point.words for point in points]),
        )
        for points in zip(*curves, strict=True)
    ]


def _means(rows: Sequence[Values]) -> Values:
    return tuple(statistics.fmean(values) for values in zip(*rows, strict=True))
