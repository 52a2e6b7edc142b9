"""Weights of domains from a small model's losses: DoReMi (Xie et al. 2023, arXiv:2305.10429, algorithm 1).

A proxy learns on batches that draw every domain alike. lambda_i is by how much it is worse than a reference on domain
i, in nats per token, no token counting below 0. The weights follow lambda by exponentiated gradient ascent with the
step size eta, and a share c of them is always spread evenly over the k domains:

    a_i = w_i exp(eta lambda_i),    w_i' = (1 - c) a_i / sum_j a_j + c / k

What is kept are the means of the weights over the steps.

Without smoothing (c = 0) only the ratio of two weights counts, and it is e to the power of all excess that one had more
than the other since the beginning. A lead of 0.1 nats over 100 steps is a ratio of 22,000, which as many steps the
other way round must first take back: the weights are one-hot, and stay so. With smoothing no weight is below c / k, and
each comes back from there in ln(k / c) / (eta lead) steps.

Worked: two domains with equal weights, lambda = (ln 3, 0), eta = 1, c = 0.2. a = (1.5, 0.5), of the sum 0.75 and 0.25;
w' = 0.8 * 0.75 + 0.1 = 0.7 and 0.3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from burnish.data.mixing.weights import normalised

ONE_HOT = 0.9
"""Share from which on one domain is said to have taken all weight: what is left cannot teach the others."""


def reweighted(
    weights: Mapping[str, float], excess: Mapping[str, float], *, step_size: float, smoothing: float
) -> dict[str, float]:
    """The weights of the next step; they sum to 1.

    Args:
        weights: of this one, w; 0 is allowed and stays 0 without smoothing.
        excess: lambda of each domain, nats per token, not below 0.
        step_size: eta.
        smoothing: c, from 0 to 1.
    """
    logs = {
        name: math.log(weight) + step_size * excess[name] if weight > 0 else -math.inf
        for name, weight in weights.items()
    }
    largest = max(logs.values())
    moved = normalised({name: math.exp(value - largest) for name, value in logs.items()})  # no overflow
    return {name: (1 - smoothing) * share + smoothing / len(moved) for name, share in moved.items()}


def effective_domains(weights: Mapping[str, float]) -> float:
    """e to the power of the entropy of weights that sum to 1: k where they are equal, 1 where one has all."""
    return math.exp(-sum(weight * math.log(weight) for weight in weights.values() if weight > 0))


class DomainWeights:
    """The weights of domains as a run goes on.

    Args:
        names: of the domains.
        step_size: eta.
        smoothing: c.

    Attributes:
        now: the weights of the coming step; even at first.
    """

    def __init__(self, names: Sequence[str], *, step_size: float, smoothing: float) -> None:
        self.step_size = step_size
        self.smoothing = smoothing
        self.now = dict.fromkeys(names, 1 / len(names))
        self._excess = dict.fromkeys(names, 0.0)
        self._sums = dict.fromkeys(names, 0.0)
        self._steps = 0

    def hear(self, excess: Mapping[str, float]) -> None:
        """Follow the excess losses of a step.

        Args:
            excess: of the domains that the step had tokens of; the others keep what they had when they were last seen,
                0 before that.
        """
        self._excess |= excess
        self.now = reweighted(self.now, self._excess, step_size=self.step_size, smoothing=self.smoothing)

    def count(self) -> None:
        """A step is taken with the weights as they are."""
        self._sums = {name: total + self.now[name] for name, total in self._sums.items()}
        self._steps += 1

    @property
    def means(self) -> dict[str, float]:
        """Over the steps so far; above 0, because the first ones were even. The even ones before the first."""
        return normalised(self._sums) if self._steps else dict(self.now)

    def state(self) -> dict[str, Any]:
        """Everything that decides what comes next, as JSON."""
        return {"now": self.now, "excess": self._excess, "sums": self._sums, "steps": self._steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.now, self._excess, self._sums = dict(state["now"]), dict(state["excess"]), dict(state["sums"])
        self._steps = int(state["steps"])
