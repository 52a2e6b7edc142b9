"""How far a policy has moved: KL from a reference, estimated on the policy's own answers.

    KL(pi || ref) = E over y ~ pi of  sum_t [ log pi(y_t | x, y_<t) - log ref(y_t | x, y_<t) ]

The estimate is the mean of that sum over the sampled answers, the estimator that Schulman (2020) calls k1: unbiased,
and below 0 by chance where the KL is small. Both log-probs are the models' own, at temperature 1. So it estimates the
KL where the answers were drawn at temperature 1 from the whole vocabulary; drawn otherwise, it is the mean log-ratio on
those answers, and says how far the policy moved where it was sampled. An answer that was cut counts up to its cut.

Per token the sums of all answers are divided by their tokens, so a long answer counts for its length.

Intervals are of a bootstrap over prompts (percentiles). Log-ratios of whole answers are skewed, a few answers carry
much of the mean, and the value per token is a ratio of two sums: Student's t fits neither well.

Worked: two answers of 2 tokens, log pi -1 and -2, log ref -3 and -2: the KL is (2 + 0) / 2 = 1 nat per answer and
2 / 4 = 0.5 nats per token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from burnish.numerics import seed_from
from burnish.stats import CONFIDENCE

RESAMPLES = 4000
"""Draws of the bootstrap; the ends of an interval then vary by a few percent of its width."""


def kl_scores(
    policy_logps: Sequence[float], reference_logps: Sequence[float], tokens: Sequence[int], prompts: Sequence[str]
) -> dict[str, Any]:
    """`kl` and `kl_per_token` as plain data, in nats; {} if fewer than two prompts make an interval impossible.

    Args:
        policy_logps: summed log-prob of each answer under the model that sampled it, at temperature 1.
        reference_logps: of the same tokens under the reference.
        tokens: how many tokens each sum is over.
        prompts: the prompt of each answer.

    Returns:
        Both as `{"mean", "low", "high", "count"}` with `count` answers, the 95% interval over prompts.

    Raises:
        ValueError: the sequences differ in length, or a log-prob is not finite.
    """
    if not len(policy_logps) == len(reference_logps) == len(tokens) == len(prompts):
        raise ValueError(f"found {len(policy_logps)} answers with {len(tokens)} lengths and {len(prompts)} prompts")
    log_ratios = np.subtract(policy_logps, reference_logps)
    if not np.isfinite(log_ratios).all():
        raise ValueError("found a log-prob that is not finite; a KL needs every answer to have one under both models")
    names = list(dict.fromkeys(prompts))
    if len(names) < 2:
        return {}
    place = {name: number for number, name in enumerate(names)}
    group = np.array([place[prompt] for prompt in prompts])
    columns = (log_ratios, np.ones(len(tokens)), np.asarray(tokens, dtype=np.float64))
    sums = np.stack([np.bincount(group, weights=column) for column in columns], axis=1)  # a row per prompt
    generator = np.random.default_rng(seed_from("kl", len(names)))
    drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES) @ sums
    totals = sums.sum(axis=0)
    return {
        "kl": _figure(totals[0] / totals[1], drawn[:, 0] / drawn[:, 1], len(tokens)),
        "kl_per_token": _figure(totals[0] / totals[2], drawn[:, 0] / drawn[:, 2], len(tokens)),
    }


def _figure(mean: float, drawn: np.ndarray[Any, Any], count: int) -> dict[str, float]:
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return {"mean": float(mean), "low": float(low), "high": float(high), "count": count}
