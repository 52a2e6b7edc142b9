"""Weights of domains from their sizes: temperature and a cap (lifecycle document, section 3.5).

    weight_k = min(N_k, M)^(1/tau) / sum_j min(N_j, M)^(1/tau)

tau = 1 is in proportion to size, a large tau near equal weights. The cap M acts first, as in examples-proportional
mixing (Raffel et al. 2020, section 3.5.2), where it bounds what one large domain can take.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Key = TypeVar("Key", str, int)


def tempered(sizes: Mapping[str, int], *, temperature: float = 1.0, cap: int | None = None) -> dict[str, float]:
    """The weight of each domain; they sum to 1.

    Args:
        sizes: N, in tokens, above 0.
        temperature: tau, at least 1.
        cap: M, in tokens; None for no limit.
    """
    capped = {name: size if cap is None else min(size, cap) for name, size in sizes.items()}
    largest = max(capped.values())
    powers = {name: (size / largest) ** (1 / temperature) for name, size in capped.items()}  # the ratio: no overflow
    return normalised(powers)


def normalised(weights: Mapping[Key, float]) -> dict[Key, float]:
    """The same weights with the sum 1."""
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}
