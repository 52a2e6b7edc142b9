"""What every policy-gradient objective logs of a rollout: how far the policy has gone, and what it is taught with.

    length                                  sampled tokens of a completion
    advantage_mean, advantage_spread        over tokens
    advantage_zero                          share of completions that teach nothing, such as those of a group without
                                            variance
    entropy                                 of the policy per token, where it is read
    kl_old_new                              KL from the policy that sampled to the one being updated, per token (k3)
    kl_k1_per_token, kl_k3_per_token        KL of the policy that sampled from the reference, nats per token
    kl_k1_per_completion, kl_k3_...         the same, summed over a completion: what the reward pays for
    sampler_gap_mean, sampler_gap_max       |log-prob of the trainer - log-prob of the engine|, per token
    sampler_kl                              KL from the engine's distribution to the trainer's, per token (k3)
    importance_mean, importance_truncated   weights that correct the gap; share of them that were cut

An estimator is unbiased only on samples of its first distribution. Those are the policy that sampled's, so its
log-probs stand in all of them, whatever update of the rollout this is; the KL of the policy being updated shows in the
next rollout. Lines whose columns are absent are left out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from burnish.batch import TreeBatch
from burnish.divergences import estimated
from burnish.metrics import Max, Mean, Metric, Spread
from burnish.objectives.objective import Outputs
from burnish.objectives.policy_gradient import old_logp_N, whole_importance_N


@torch.no_grad()
def policy_metrics(outputs: Outputs, batch: TreeBatch, *, max_importance: float | None) -> dict[str, Metric]:
    """The metrics of a micro-batch.

    Args:
        outputs: `logp`, and `entropy` if it is read.
        batch: a rollout's completions.
        max_importance: where importance weights are cut, None if there are none.
    """
    advantage_N = batch.token_columns["advantage"]
    old_N = old_logp_N(outputs["logp"], batch)
    silent_C = batch.sum_C((advantage_N != 0).float()) == 0
    metrics: dict[str, Metric] = {
        "length": _mean(batch.num_scored_C()),
        "advantage_mean": _mean(advantage_N),
        "advantage_spread": Spread.of(advantage_N),
        "advantage_zero": _mean(silent_C.float()),
        "kl_old_new": _mean(estimated(old_N - outputs["logp"], "k3")),
    }
    if "entropy" in outputs:
        metrics["entropy"] = _mean(outputs["entropy"])
    if "reference_logp" in batch.token_columns:
        metrics |= _reference_metrics(old_N - batch.token_columns["reference_logp"], batch)
    if "sampler_logp" in batch.token_columns:
        metrics |= _sampler_metrics(batch.token_columns["sampler_logp"] - old_N)
    if max_importance is not None:
        weight_N = whole_importance_N(outputs, batch)
        metrics["importance_mean"] = _mean(weight_N.clamp(max=max_importance))
        metrics["importance_truncated"] = _mean((weight_N > max_importance).float())
    return metrics


def _reference_metrics(log_ratio_N: Tensor, batch: TreeBatch) -> dict[str, Metric]:
    k1_N, k3_N = estimated(log_ratio_N, "k1"), estimated(log_ratio_N, "k3")
    return {
        "kl_k1_per_token": _mean(k1_N),
        "kl_k3_per_token": _mean(k3_N),
        "kl_k1_per_completion": _mean(batch.sum_C(k1_N)),
        "kl_k3_per_completion": _mean(batch.sum_C(k3_N)),
    }


def _sampler_metrics(log_ratio_N: Tensor) -> dict[str, Metric]:
    gap_N = log_ratio_N.abs()
    return {
        "sampler_gap_mean": _mean(gap_N),
        "sampler_gap_max": Max(float(gap_N.max())),
        "sampler_kl": _mean(estimated(log_ratio_N, "k3")),
    }


def _mean(value: Tensor) -> Mean:
    return Mean(float(value.sum()), float(len(value)))
