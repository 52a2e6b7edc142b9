"""GRPO (Shao et al. 2024, eq. 3) and its kin: clipped policy gradients whose baseline is the prompt's own group.

    r_t = pi(y_t | x, y_<t) / pi_old(y_t | x, y_<t)
    L   = - mean over tokens of  min(r_t A_t, clip(r_t, 1 - clip_low, 1 + clip_high) A_t)  +  kl_weight * KL
    A_i = (R_i - mean of the group) / spread of the group,  the same on every token of completion i

No critic is trained or held. The source makes the advantages (`burnish/sampling/advantages.py`); the variants differ in
them, in what is clipped, and in what counts alike:

    GRPO      average completion, kl_weight 0.04 with k3             Shao et al. 2024
    DAPO      average token, clip_high 0.28, groups without variance left out by the source      Yu et al. 2025
    Dr. GRPO  average constant, advantages not divided by the spread                             Liu et al. 2025
    GSPO      ratio sequence, average completion, clip_low 3e-4, clip_high 4e-4                  Zheng et al. 2025

The clip takes the gradient away where the policy has gone far enough in the direction that the advantage asks for; it
does not bring a ratio back. At ratio 1, in the first update of a rollout, nothing is clipped and the gradient is that
of REINFORCE with the group as its baseline.

Worked (ST7003, PPO): a token of probability 0.1 before and 0.3 now has the ratio 3; at clip_high 0.2 it counts as 1.2,
so with A = 1 it adds 1.2 and has no gradient. With A = -1 it adds -3, and is pushed down.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from burnish.batch import TreeBatch
from burnish.config import setting, settings
from burnish.metrics import Number
from burnish.objectives.objective import Loss, Outputs
from burnish.objectives.policy_gradient import ClippedPolicyGradient
from burnish.objectives.policy_metrics import policy_metrics


@settings
class GRPO(ClippedPolicyGradient):
    """Make completions that beat their group likelier, and stop at a ratio."""

    kind: Literal["grpo"] = setting("grpo", "group relative policy optimisation")

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        """The terms on the policy, summed over tokens."""
        surrogate_N, ratios = self.clipped(outputs, batch)
        terms = self.policy_terms(surrogate_N, outputs, batch)
        logged = policy_metrics(outputs, batch, max_importance=self.max_importance)
        return Loss(terms=terms, metrics={**logged, **ratios})
