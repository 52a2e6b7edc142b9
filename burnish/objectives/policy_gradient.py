"""What the policy-gradient objectives share: how tokens are averaged, KL and entropy terms, importance weights.

    L = - mean of  w_t S_t   +  kl_weight * mean of  k(log pi_t - log ref_t)   -  entropy_weight * mean of  H_t
             policy                        kl_penalty                                   entropy_bonus

over the sampled tokens t, where S_t is the surrogate of the method (`reinforce.py`, `grpo.py`, `ppo.py`): its gradient
is A_t grad log pi_t at the policy that sampled. The advantages A_t are columns, made by the rollout source from rewards
(`burnish/sampling/advantages.py`), so a group's completions may be split over micro-batches. `average` is one of

    token         sum over all tokens / number of tokens                    every token counts alike (Yu et al. 2025)
    completion    mean over completions of the mean over their tokens       a long completion's tokens count less
    constant      sum over all tokens / (completions * constant_length)     no length is favoured (Liu et al. 2025)

`constant` alone is the gradient of the expected reward whatever the lengths are, divided by a constant.

w_t corrects for an engine whose numbers are not the trainer's: min(pi_old / pi_sampler, max_importance), a constant in
the gradient (truncated importance sampling; Ionides 2008, Yao et al. 2025). It weighs the policy term alone.

`old_logp` are the log-probs under the policy that sampled. Where a rollout is worth one update they are left out: the
policy that is updated is the one that sampled, its own log-probs stand in, and the ratio is exactly 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from burnish.batch import Branch, Tree, TreeBatch
from burnish.config import setting, settings
from burnish.divergences import Estimator, estimated
from burnish.errors import DataError
from burnish.metrics import Max, Mean, Metric
from burnish.objectives.objective import Objective, Outputs

ROUNDING = 1e-3
"""A log-prob may lie above 0 by this many nats: what rounding does in the lowest precision in use."""

LOGPS = ("old_logp", "sampler_logp", "reference_logp")


@settings
class PolicyGradient(Objective):
    """Settings and terms of every policy-gradient objective; a method adds its surrogate."""

    average: Literal["token", "completion", "constant"] = setting(
        "token", "token: every token counts alike; completion: every completion does; constant: no length is favoured"
    )
    constant_length: int | None = setting(
        None,
        "what constant divides by beside the completions: the longest one allowed",
        unit="tokens",
        ge=1,
    )
    kl_weight: float = setting(0.0, "of the divergence from the reference, per token; reads reference_logp", ge=0)
    kl_estimator: Estimator = setting("k3", "of the divergence in the loss: k2 or k3")
    entropy_weight: float = setting(0.0, "of the policy's entropy, per token; rewards being undecided", ge=0)
    max_importance: float | None = setting(
        None, "correct for the engine's own numbers by weights up to this one; none does not correct", gt=0
    )

    def __post_init__(self) -> None:
        if self.kl_estimator == "k1":
            raise ValueError(
                "kl_estimator is k1, and k1 pulls nowhere in a loss: the mean of its gradient is 0; set it to k2 "
                "(gradient of KL(policy || reference)) or k3, or put the KL into the reward, where k1 is right"
            )
        if self.average == "constant" and self.constant_length is None:
            raise ValueError(
                "average is constant, which needs constant_length; set it to the longest completion allowed"
            )
        if self.average != "constant" and self.constant_length is not None:
            raise ValueError(
                f"constant_length is {self.constant_length}, and average {self.average} does not read it; leave it out "
                "or set average to constant"
            )

    @property
    def reads(self) -> tuple[str, ...]:
        """Log-probs, and the entropy if it has a weight."""
        return ("logp", "entropy") if self.entropy_weight else ("logp",)

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns per token: `advantage`, and what the terms with a weight read."""
        reference = ("reference_logp",) if self.kl_weight else ()
        sampler = ("sampler_logp",) if self.max_importance is not None else ()
        return ("advantage", *reference, *sampler)

    def check(self, items: Sequence[Tree]) -> None:
        """Every completion must have a sampled token, and the columns that are read, finite on every token.

        Raises:
            DataError: names the example and what it has.
        """
        check_rollouts(items, self.needs, type(self).__name__)

    def weights(self, batch: TreeBatch) -> Mapping[str, float]:
        """The number of tokens, or of completions, for each term on the policy."""
        names = {"policy": 1.0, "kl_penalty": self.kl_weight, "entropy_bonus": self.entropy_weight}
        divisor = float(batch.weight_N.sum()) if self.average == "token" else float(batch.num_completions)
        return {name: divisor for name, weight in names.items() if weight}

    def policy_terms(self, surrogate_N: Tensor, outputs: Outputs, batch: TreeBatch) -> dict[str, Tensor]:
        """The terms on the policy, as sums.

        Args:
            surrogate_N: what is to be raised at each token.
            outputs: `logp`, and `entropy` if it has a weight.
            batch: with the columns of `needs`.
        """
        share_N = self.share_N(batch)
        terms = {"policy": -(share_N * self.importance_N(outputs, batch) * surrogate_N).sum()}
        if self.kl_weight:
            log_ratio_N = outputs["logp"] - batch.token_columns["reference_logp"]
            terms["kl_penalty"] = self.kl_weight * (share_N * estimated(log_ratio_N, self.kl_estimator)).sum()
        if self.entropy_weight:
            terms["entropy_bonus"] = -self.entropy_weight * (share_N * outputs["entropy"]).sum()
        return terms

    def share_N(self, batch: TreeBatch) -> Tensor:
        """What each token counts in the sums; `weights` is what the sums are divided by."""
        if self.average == "completion":
            return batch.weight_N / batch.sum_C(batch.weight_N)[batch.completion_N]
        return batch.weight_N if self.constant_length is None else batch.weight_N / self.constant_length

    def importance_N(self, outputs: Outputs, batch: TreeBatch) -> Tensor:
        """The truncated importance weight of each token, without gradient; 1 where nothing is corrected."""
        if self.max_importance is None:
            return torch.ones_like(batch.weight_N)
        return whole_importance_N(outputs, batch).clamp(max=self.max_importance)


@settings
class ClippedPolicyGradient(PolicyGradient):
    """A policy gradient that stops at a ratio to the policy that sampled (Schulman et al. 2017, eq. 7).

        S_t = min(r_t A_t, clip(r_t, 1 - clip_low, 1 + clip_high) A_t)

    r_t is the token's own ratio, pi / pi_old, or with `sequence` the completion's, s, per token:

        s = (pi(y) / pi_old(y))^(1 / |y|)                                           Zheng et al. 2025, eq. 7

    Each token carries its share of the gradient of s (their eq. 14, GSPO-token), which with one advantage for the
    whole completion adds up to the gradient of min(s A, clip(s) A) itself.
    """

    ratio: Literal["token", "sequence"] = setting("token", "what is clipped: a token's ratio or its whole completion's")
    clip_low: float = setting(0.2, "how far a ratio may fall below 1 and still be pushed down", ge=0, le=1)
    clip_high: float = setting(0.2, "how far a ratio may rise above 1 and still be pushed up; 0.28 in DAPO", ge=0)

    def clipped(self, outputs: Outputs, batch: TreeBatch) -> tuple[Tensor, dict[str, Metric]]:
        """The clipped surrogate of each token, and what is logged of ratios. (N,)"""
        advantage_N = batch.token_columns["advantage"]
        ratio_N = self.ratio_N(outputs["logp"], batch)
        bounded_N = ratio_N.clamp(1 - self.clip_low, 1 + self.clip_high)
        surrogate_N = torch.minimum(ratio_N * advantage_N, bounded_N * advantage_N)
        number_N, count = ratio_N.detach(), float(len(ratio_N))
        low_N = (number_N < 1 - self.clip_low) & (advantage_N < 0)
        high_N = (number_N > 1 + self.clip_high) & (advantage_N > 0)
        metrics: dict[str, Metric] = {
            "ratio_mean": Mean(float(number_N.sum()), count),
            "ratio_max": Max(float(number_N.max())),
            "clip_fraction_low": Mean(float(low_N.sum()), count),
            "clip_fraction_high": Mean(float(high_N.sum()), count),
        }
        return surrogate_N, metrics

    def ratio_N(self, logp_N: Tensor, batch: TreeBatch) -> Tensor:
        """The ratio to the policy that sampled, with the gradient that each token carries."""
        log_ratio_N = logp_N - old_logp_N(logp_N, batch)
        if self.ratio == "token":
            return log_ratio_N.exp()
        mean_C = batch.sum_C(log_ratio_N.detach()) / batch.num_scored_C()
        return (mean_C[batch.completion_N] + logp_N - logp_N.detach()).exp()


def old_logp_N(logp_N: Tensor, batch: TreeBatch) -> Tensor:
    """Log-probs under the policy that sampled: the column, or the ones at hand, without gradient."""
    column_N = batch.token_columns.get("old_logp")
    return logp_N.detach() if column_N is None else column_N


def whole_importance_N(outputs: Outputs, batch: TreeBatch) -> Tensor:
    """Old policy over what the engine drew from, for each token, without gradient and not truncated."""
    return (old_logp_N(outputs["logp"], batch) - batch.token_columns["sampler_logp"]).exp()


def check_rollouts(items: Sequence[Tree], needed: Sequence[str], kind: str) -> None:
    """Require sampled tokens, the columns in `needed`, and finite numbers, in every completion.

    Raises:
        DataError: names the example, the completion and what it has.
    """
    names = None
    for tree in items:
        for place, branch in enumerate(tree.branches):
            where = f"example '{tree.id}', completion {place}"
            if branch.num_scored == 0:
                raise DataError(f"{where} has no sampled token; an empty completion has nothing to learn from")
            _check_columns(branch, needed, kind, where)
            names = names or set(branch.token_columns)
            if set(branch.token_columns) != names:
                raise DataError(
                    f"{where} has the token columns ({_shown(branch.token_columns)}), and those before it have "
                    f"({_shown(names)}); fill the same ones on all completions of a rollout"
                )


def _check_columns(branch: Branch, needed: Sequence[str], kind: str, where: str) -> None:
    for name in needed:
        if name not in branch.token_columns:
            found = f"its token columns are ({_shown(branch.token_columns)})"
            if name in branch.columns:
                found = f"it has one number '{name}' for the whole completion"
            raise DataError(
                f"{where}: {kind} needs '{name}' for every token, and {found}; the rollout source must fill it"
            )
    for name, values in branch.token_columns.items():
        for token, value in enumerate(values):
            if not math.isfinite(value):
                raise DataError(f"{where}: '{name}' of token {token} is {value}; nothing is trained on such a number")
            if name in LOGPS and value > ROUNDING:
                raise DataError(f"{where}: '{name}' of token {token} is {value:g}; a log-probability is at most 0")


def _shown(names: Sequence[str] | set[str] | Mapping[str, object]) -> str:
    return ", ".join(sorted(names)) or "none"
