"""Best-of-N: what choosing the best of n samples would give, for every n, and how far from the policy that is.

    KL(best-of-n || policy) <= log n - (n - 1) / n                                  nats, for one prompt

(Stiennon et al. 2020, appendix G.3). It is the KL itself where no two samples tie and no single answer has much of the
policy's probability; with ties it is an upper bound, and may be far above (Beirami et al. 2024). Example: answers pass
or fail, half of them pass, and chance decides between equals. Best-of-8 passes with 1 - 1/2^8, so its KL is below
log 2 = 0.693 nats, while the bound is log 8 - 7/8 = 1.204.

The expected score of the best of n, for every n up to N, comes from the same N samples. Averaged over all subsets of
size n it is, with the samples in ascending order,

    E(n) = sum over i of  C(i - 1, n - 1) / C(N, n) * value_(i)

because the i-th is the best of a subset if the other n - 1 are among the i - 1 below it. This is unbiased; for scores
of 0 and 1 it is the pass@k estimator of Chen et al. 2021, equation 1. Where chosen samples tie, chance decides between
them, so each of the tied has the same share.

What is chosen by (`keys`) and what is looked at (`values`) may differ: with the same keys, another score as the value
shows what choosing by the one does to the other.

Worked: keys 1, 2, 3 and n = 2. The subsets {1,2}, {1,3}, {2,3} have the best 2, 3, 3: E(2) = 8/3.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

Key = tuple[float, ...]
"""What samples are ordered by: a score, or several numbers of which the first that differ decide."""


def best_of_n_kl(n: int) -> float:
    """Upper bound of the KL of best-of-n from the policy, nats per answer.

    Raises:
        ValueError: `n` is below 1.
    """
    if n < 1:
        raise ValueError(f"found {n} samples; best-of-n needs 1 or more")
    return math.log(n) - (n - 1) / n


def expected_best(keys: Sequence[Key], values: Sequence[float], n: int) -> float:
    """Unbiased estimate of the value of the best of `n` samples, from `len(keys)` samples of one prompt.

    Args:
        keys: what is chosen by; the largest is the best, and chance decides between equal ones.
        values: what is averaged, one for each key.
        n: samples of which the best is taken, 1 to `len(keys)`.

    Raises:
        ValueError: there are not as many values as keys, or `n` is out of range.
    """
    if len(keys) != len(values):
        raise ValueError(f"found {len(keys)} keys and {len(values)} values; expected one value for each key")
    if not 1 <= n <= len(keys):
        raise ValueError(f"found n = {n} with {len(keys)} samples; expected 1 to {len(keys)}")
    order = sorted(range(len(keys)), key=lambda place: keys[place])
    subsets = math.comb(len(keys), n)
    total, below = 0.0, 0
    for _, group in itertools.groupby(order, key=lambda place: keys[place]):
        tied = [values[place] for place in group]
        up_to = below + len(tied)
        share = (math.comb(up_to, n) - math.comb(below, n)) / subsets  # of the subsets whose best is one of these
        total += share * math.fsum(tied) / len(tied)
        below = up_to
    return total


def sizes(most: int) -> tuple[int, ...]:
    """1, 2, 4, ... up to `most`, which is among them."""
    powers = itertools.takewhile(lambda n: n < most, (2**exponent for exponent in itertools.count()))
    return (*powers, most)
