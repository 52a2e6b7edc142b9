"""Estimators of a KL divergence from samples, by name (Schulman 2020, "Approximating KL Divergence").

    x = log p(y) - log q(y) on samples y ~ p            KL(p || q) = E[x]

    k1   x                     unbiased; below 0 on single samples, and its spread is large
    k2   x^2 / 2               never below 0; biased, by little where p and q are close
    k3   exp(-x) - 1 + x       never below 0, unbiased, and of small spread while q / p is not large

As a number to look at, k1 and k3 agree on average. As a cost they do not. With p = pi, the policy, and q = ref, the
mean gradient for one token, given what stands before it, is

          in the loss: E[grad k]                       inside the reward: E[k grad log pi]
    k1    0: it pulls nowhere                          grad KL(pi || ref)
    k2    grad KL(pi || ref)                           of neither divergence
    k3    grad KL(ref || pi), with the same minimum    grad (KL(pi || ref) - KL(ref || pi)), which may pull away

In the loss only log pi carries a gradient and the samples stand still; what a token does to the KL of later tokens is
left out. Inside the reward it is there. The tests hold all of this by enumeration.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Estimator = Literal["k1", "k2", "k3"]


def estimated(log_ratio: Tensor, kind: Estimator) -> Tensor:
    """The divergence from p to q at each sample of p, nats; its mean over samples is the estimate.

    Args:
        log_ratio: log p - log q of each sample, any shape.
        kind: the estimator.
    """
    if kind == "k1":
        return log_ratio
    if kind == "k2":
        return log_ratio.square() / 2
    return torch.expm1(-log_ratio) + log_ratio
