"""Preference optimisation on rankings of K answers: Plackett-Luce (Luce 1959; Plackett 1975) on implicit rewards.

    r(y) = beta (log pi(y|x) - log ref(y|x))
    L    = - sum_k [ r(y_k) - log sum_{j >= k} exp r(y_j) ],        y_1 the best, y_K the worst

The ranking is read as K - 1 choices: the best of all, the best of the rest, and so on (Rafailov et al. 2023, appendix
A.3, eq. 20). The last has no alternative and adds 0. With K = 2 this is DPO. Each prompt keeps all its K answers in one
micro-batch and counts once, whatever K is; K may differ from prompt to prompt.

Only the order of the ranks matters, 0 is the best. A ranking with ties is refused, because the model gives a tie no
probability, and breaking it by chance would teach an order that nobody stated.

Worked: beta 1 and log-ratios 1, 0, -1 from best to worst.

    best of three    log(e + 1 + 1/e) - 1     0.4076060
    best of two      log(1 + 1/e) - 0         0.3132617
    L                                         0.7208677
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch

from burnish.batch import Tree, TreeBatch
from burnish.config import setting, settings
from burnish.metrics import Number
from burnish.objectives.objective import Coupling, Loss, Objective, Outputs
from burnish.objectives.preference import better_CC, check_rankings, pair_metrics


@settings
class PlackettLuce(Objective):
    """Raise K answers in the order of their ranks, measured from where the policy started."""

    kind: Literal["plackett_luce"] = setting("plackett_luce", "rankings of K answers")
    beta: float = setting(0.1, "strength of the pull towards the reference; larger stays closer", gt=0)
    reference_free: bool = setting(False, "take the reference to be uniform; no reference pass")

    coupling: ClassVar[Coupling] = "group"

    @property
    def needs(self) -> tuple[str, ...]:
        """`reference_logp`, unless the reference is left out."""
        return () if self.reference_free else ("reference_logp",)

    def check(self, items: Sequence[Tree]) -> None:
        """Every tree must be a ranking without ties."""
        check_rankings(items)

    def weights(self, batch: TreeBatch) -> Mapping[str, float]:
        """The number of rankings."""
        return {"plackett_luce": float(len(batch.ids))}

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        """The summed loss of the rankings."""
        logp_C = batch.sum_C(outputs["logp"])
        log_ratio_C = logp_C if self.reference_free else logp_C - batch.columns["reference_logp"]
        reward_C = self.beta * log_ratio_C
        own = torch.eye(batch.num_completions, dtype=torch.bool, device=reward_C.device)
        among_CC = better_CC(batch) | own  # what completion i is chosen from: itself and all that rank below it
        rest_C = torch.logsumexp(reward_C.expand_as(among_CC).masked_fill(~among_CC, -torch.inf), dim=1)
        known = None if self.reference_free else log_ratio_C
        return Loss(
            terms={"plackett_luce": (rest_C - reward_C).sum()},
            metrics=pair_metrics(logp_C, reward_C, batch, log_ratio_C=known),
        )
