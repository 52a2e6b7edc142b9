"""PPO (Schulman et al. 2017, eq. 7 and 9): the clipped policy gradient with a critic, trained beside it.

    L = L_policy + value_weight * L_value          L_policy as in grpo.py, with an advantage for each token
    L_value = mean over tokens of  (V_t - G_t)^2

V_t is the critic's value of the state before token t, and G_t its target, the return; the rollout source makes G_t and
A_t from rewards and the critic's own values before the update (GAE, `burnish/sampling/advantages.py`). With
`value_clip` the new value is held within that distance of the old one, V'_t = V_old + clip(V_t - V_old), and the larger
of the two errors counts, so that a critic does not leave its old values in one update:

    L_value = mean over tokens of  max((V_t - G_t)^2, (V'_t - G_t)^2)

There is no factor 1/2 in it; `value_weight` is the paper's c1. Values are averaged over tokens whatever `average` is.

Worked: V_old = 0, V = 0.5, G = 1. The error is 0.25; with value_clip 0.2 the new value counts as 0.2, the error is
0.64, and nothing is learned from it. With G = 0 the errors are 0.25 and 0.04, so 0.25 counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from burnish.batch import TreeBatch
from burnish.config import setting, settings
from burnish.metrics import Explained, Mean, Metric, Number
from burnish.objectives.objective import Loss, Outputs
from burnish.objectives.policy_gradient import ClippedPolicyGradient
from burnish.objectives.policy_metrics import policy_metrics


@settings
class PPO(ClippedPolicyGradient):
    """Make tokens that did better than the critic expected likelier, and teach the critic."""

    kind: Literal["ppo"] = setting("ppo", "proximal policy optimisation")
    value_weight: float = setting(0.5, "of the critic's squared error beside the policy's loss", gt=0)
    value_clip: float | None = setting(0.2, "how far a value may move before it teaches nothing; none: no limit", gt=0)

    @property
    def reads(self) -> tuple[str, ...]:
        """What the policy's terms read, and `value`."""
        return (*super().reads, "value")

    @property
    def needs(self) -> tuple[str, ...]:
        """What the policy's terms need, `return`, and `old_value` if values are clipped."""
        old = () if self.value_clip is None else ("old_value",)
        return (*super().needs, "return", *old)

    def weights(self, batch: TreeBatch) -> Mapping[str, float]:
        """As for the policy's terms; the number of tokens for the critic's."""
        return {**super().weights(batch), "value": float(batch.weight_N.sum())}

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        """The terms on the policy and the critic's, summed over tokens."""
        surrogate_N, ratios = self.clipped(outputs, batch)
        error_N, values = self._value_error(outputs["value"], batch)
        terms = self.policy_terms(surrogate_N, outputs, batch)
        terms["value"] = self.value_weight * (batch.weight_N * error_N).sum()
        logged = policy_metrics(outputs, batch, max_importance=self.max_importance)
        return Loss(terms=terms, metrics={**logged, **ratios, **values})

    def _value_error(self, value_N: Tensor, batch: TreeBatch) -> tuple[Tensor, dict[str, Metric]]:
        """The squared error of each value, and what is logged of the critic."""
        target_N, count = batch.token_columns["return"], float(len(value_N))
        error_N = (value_N - target_N).square()
        metrics: dict[str, Metric] = {
            "value_mean": Mean(float(value_N.detach().sum()), count),
            "return_mean": Mean(float(target_N.sum()), count),
            "explained_variance": Explained.of(value_N, target_N),
        }
        if self.value_clip is not None:
            old_N = batch.token_columns["old_value"]
            moved_N = value_N - old_N
            # Within the limit it is the value itself: old + (new - old) may be off by a rounding.
            bounded_N = old_N + moved_N.clamp(-self.value_clip, self.value_clip)
            held_N = torch.where(moved_N.abs() > self.value_clip, bounded_N, value_N)
            plain_N, error_N = error_N, torch.maximum(error_N, (held_N - target_N).square())
            metrics["value_clip_fraction"] = Mean(float((error_N > plain_N).sum()), count)
        metrics["value_loss"] = Mean(float(error_N.detach().sum()), count)
        return error_N, metrics
