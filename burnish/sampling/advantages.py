"""Advantages: how much better a completion, or a token, was than expected. Plain numbers in float64, without torch.

Of a group, the completions of one prompt with rewards R_1 .. R_G, mu their mean:

    normalised      (R_i - mu) / sigma,  sigma^2 = 1/G sum (R_j - mu)^2      GRPO, Shao et al. 2024, section 4.1.2
    mean_only       R_i - mu                                                 Dr. GRPO, Liu et al. 2025
    leave_one_out   R_i - mean of the others  =  G / (G - 1) (R_i - mu)      RLOO, Ahmadian et al. 2024

Only the last has a baseline that does not depend on R_i, so only it leaves the mean of the gradient as it is; mean_only
shrinks it by (G - 1) / G. Dividing by sigma weighs a prompt by how hard it is to tell its completions apart.

A group whose rewards are equal teaches nothing: all its advantages are 0. Equal means within `EQUAL` of the largest
reward, because a reward model in float32 scores the same text not quite the same beside other texts, and dividing by
such a spread would turn rounding into advantages of 1.

Of a completion with a critic, V_t the value of the state before token t, and V after the last token 0 (Schulman et al.
2015, eq. 11 and 16):

    delta_t = r_t + discount V_(t+1) - V_t
    A_t     = sum over l >= 0 of (discount trace)^l delta_(t+l)              return G_t = A_t + V_t

Worked: rewards 1, 0, 0, 1 have mu 0.5 and sigma 0.5: normalised 1, -1, -1, 1; mean_only 0.5, -0.5, -0.5, 0.5;
leave_one_out 2/3, -2/3, -2/3, 2/3. Rewards (0, 1), values (0.5, 0.25), discount 1, trace 0.5: deltas -0.25 and 0.75,
so A = (-0.25 + 0.5 * 0.75, 0.75) = (0.125, 0.75) and G = (0.625, 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from burnish.errors import DataError

GroupKind = Literal["normalised", "mean_only", "leave_one_out"]

EQUAL = 1e-5
"""Rewards that differ by less than this share of the largest one count as equal."""


def group_advantages(rewards: Sequence[float], kind: GroupKind) -> list[float]:
    """The advantage of each completion of one prompt.

    Args:
        rewards: of the prompt's completions.
        kind: what is taken from a reward, and what the difference is divided by.

    Raises:
        DataError: there are fewer than two rewards, or one is not finite.
    """
    if len(rewards) < 2:
        raise DataError(
            f"a group of {len(rewards)} has nothing to compare a completion with; sample 2 or more to each prompt"
        )
    if without_variance(rewards):
        return [0.0] * len(rewards)
    mean = math.fsum(rewards) / len(rewards)
    apart = [reward - mean for reward in rewards]
    if kind == "mean_only":
        return apart
    if kind == "leave_one_out":
        return [value * len(rewards) / (len(rewards) - 1) for value in apart]
    spread = _spread(apart)
    return [value / spread for value in apart]


def without_variance(rewards: Sequence[float]) -> bool:
    """Whether all rewards of a group are equal, so that no completion is better than another.

    Raises:
        DataError: a reward is not finite.
    """
    _require_finite(rewards, "reward")
    return max(rewards) - min(rewards) <= EQUAL * max(map(abs, rewards))


def gae(
    rewards: Sequence[float], values: Sequence[float], *, discount: float, trace: float
) -> tuple[list[float], list[float]]:
    """Generalised advantage estimates and returns of one completion.

    Args:
        rewards: of each token.
        values: of the state before each token; after the last one nothing is left to come.
        discount: gamma, 0 to 1.
        trace: lambda, 0 to 1; 1 trusts the rewards alone, 0 the critic alone after one step.

    Returns:
        Advantages, and returns, the critic's targets.

    Raises:
        DataError: the two differ in length, there is no token, or a number is not finite.
    """
    if len(rewards) != len(values) or not rewards:
        raise DataError(
            f"found {len(rewards)} rewards and {len(values)} values; a completion needs one of each per token"
        )
    _require_finite(rewards, "reward")
    _require_finite(values, "value")
    advantages = [0.0] * len(rewards)
    next_value, following = 0.0, 0.0
    for token in reversed(range(len(rewards))):
        delta = rewards[token] + discount * next_value - values[token]
        following = delta + discount * trace * following
        advantages[token], next_value = following, values[token]
    return advantages, [own + value for own, value in zip(advantages, values, strict=True)]


def whitened(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """The same numbers shifted to mean 0 and scaled to spread 1 over all rows; zeros if they are all equal.

    Args:
        rows: advantages by completion and token, of a whole rollout: a part of it would be scaled by its own spread.

    Raises:
        DataError: a number is not finite.
    """
    numbers = [value for row in rows for value in row]
    if not numbers or without_variance(numbers):
        return [[0.0] * len(row) for row in rows]
    mean = math.fsum(numbers) / len(numbers)
    spread = _spread([value - mean for value in numbers])
    return [[(value - mean) / spread for value in row] for row in rows]


def token_rewards(score: float, kl_per_token: Sequence[float], weight: float) -> list[float]:
    """Rewards per token with the KL inside: - weight * KL at each, and the score added on the last.

    Args:
        score: of the completion.
        kl_per_token: an estimate at each sampled token, nats; log pi - log ref is k1, whose mean is the KL.
        weight: beta.

    Raises:
        DataError: there is no token to put the score on, or a number is not finite.
    """
    if not kl_per_token:
        raise DataError("a completion without a token has no place for its score; leave it out")
    _require_finite([score], "score")
    _require_finite(kl_per_token, "KL")
    rewards = [-weight * kl for kl in kl_per_token]
    rewards[-1] += score
    return rewards


def _spread(apart: Sequence[float]) -> float:
    """Population standard deviation of numbers whose mean is 0 already."""
    return math.hypot(*apart) / math.sqrt(len(apart))  # squares of tiny rewards would vanish


def _require_finite(numbers: Sequence[float], what: str) -> None:
    for place, value in enumerate(numbers):
        if not math.isfinite(value):
            raise DataError(f"{what} {place} is {value}; nothing is trained on such a number")
