"""Correlation with an interval that respects which values share a prompt.

The interval is Fisher's: z = atanh(r) with Student's t, and the standard error of the jackknife that leaves out one
cluster at a time (Efron and Stein 1981), which needs neither a seed nor normal values. For Spearman's correlation give
ranks; they are those of all values, not made anew for each cluster left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from burnish.stats import CONFIDENCE, Interval, Labels

Floats = NDArray[np.float64]


def correlation(first: Floats, second: Floats, *, clusters: Labels) -> Interval | None:
    """Pearson's correlation with an interval that respects clusters; None if one of the two does not vary.

    The interval is the whole of -1 to 1 where there are fewer than three clusters, or leaving one out leaves nothing
    that varies.
    """
    group = np.unique([str(label) for label in clusters], return_inverse=True)[1]
    sums = _moments(first, second)
    all_of = sums.sum(axis=1)
    estimate = float(_pearson(all_of[:, None])[0])
    if not np.isfinite(estimate):
        return None
    each = np.stack([np.bincount(group, weights=row) for row in sums])
    left = _pearson(all_of[:, None] - each)
    low, high = _jackknife(estimate, left) if len(left) >= 3 and np.isfinite(left).all() else (-1.0, 1.0)
    return Interval(estimate=estimate, low=low, high=high, count=len(first))


def _moments(first: Floats, second: Floats) -> Floats:
    """The sums that a correlation is made of, before summing: shape (6, values)."""
    x, y = first - first.mean(), second - second.mean()
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y])


def _pearson(sums: Floats) -> Floats:
    """Correlations from sums of shape (6, G); nan where one side does not vary."""
    count, x, y, xx, yy, xy = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        var_x, var_y = xx - x * x / count, yy - y * y / count
        small = (var_x <= 1e-12 * np.abs(xx)) | (var_y <= 1e-12 * np.abs(yy))
        value = (xy - x * y / count) / np.sqrt(var_x * var_y)
    return np.where(small, np.nan, np.clip(value, -1, 1))


def _jackknife(estimate: float, left: Floats) -> tuple[float, float]:
    count = len(left)
    z = np.arctanh(np.clip(left, -1 + 1e-12, 1 - 1e-12))
    error = float(np.sqrt((count - 1) / count * np.sum((z - z.mean()) ** 2)))
    centre = float(np.arctanh(np.clip(estimate, -1 + 1e-12, 1 - 1e-12)))
    reach = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * error
    return min(estimate, float(np.tanh(centre - reach))), max(estimate, float(np.tanh(centre + reach)))
