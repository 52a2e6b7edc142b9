"""ORPO (Hong et al. 2024, eq. 6 and 7): fine-tuning and preference in one stage, without a reference.

    log P(y)  = 1/|y| sum_t log pi(y_t | x, y_<t)           the average log-prob of a token (eq. 1)
    odds(y)   = P(y) / (1 - P(y))
    L         = - log P(y_w)  -  odds_weight * log sigmoid(log odds(y_w) - log odds(y_l))
                    sft                         odds_ratio

Two terms, each with its own name in the log and each averaged over pairs. The first is the negative log-likelihood of
the chosen answer alone, per token; the prompt is not part of it. The second is a Bradley-Terry model whose rewards are
the log-odds: it weighs a pair by how wrong its odds are, and where P is small it is nearly a difference of log-probs.
`odds_weight` is the paper's lambda.

`log odds = log P - log(1 - P)` loses all digits near P = 0 and P = 1 if written so; `log1mexp` keeps them (Maechler
2012). A P that rounds to 1 counts as 1 - eps, so its odds are finite.

`watch_reference` computes the reference's log-probs too, for the log alone (gain_chosen, gain_rejected, kl_proxy).

Worked: P(y_w) = 1/2 and P(y_l) = 1/3 per token, odds_weight 0.1. The odds are 1 and 1/2, their ratio 2:

    sft          log 2                          0.6931472
    odds_ratio   0.1 * -log(2 / 3)              0.0405465
    L                                           0.7336937
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from burnish.batch import Tree, TreeBatch
from burnish.config import setting, settings
from burnish.metrics import Number
from burnish.objectives.objective import Coupling, Loss, Objective, Outputs
from burnish.objectives.preference import check_pairs, known_log_ratio, num_pairs, pair_metrics, split_pairs


@settings
class ORPO(Objective):
    """Learn the chosen answer, and raise its odds above the rejected one's; no reference."""

    kind: Literal["orpo"] = setting("orpo", "odds ratio preference optimisation")
    odds_weight: float = setting(0.1, "of the odds ratio beside the negative log-likelihood", gt=0)
    watch_reference: bool = setting(False, "compute the reference's log-probs too, for the log alone")

    coupling: ClassVar[Coupling] = "group"

    @property
    def needs(self) -> tuple[str, ...]:
        """`reference_logp`, if it is to be watched."""
        return ("reference_logp",) if self.watch_reference else ()

    def check(self, items: Sequence[Tree]) -> None:
        """Every tree must be a pair."""
        check_pairs(items)

    def weights(self, batch: TreeBatch) -> Mapping[str, float]:
        """The number of pairs, for both terms."""
        return dict.fromkeys(("sft", "odds_ratio"), num_pairs(batch))

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        """Both terms, summed over the pairs."""
        logp_C = batch.sum_C(outputs["logp"])
        mean_C = logp_C / batch.num_scored_C()
        odds_C = mean_C - log1mexp(mean_C)  # log odds
        chosen, rejected = split_pairs(odds_C, batch)
        sft = -split_pairs(mean_C, batch)[0].sum()
        odds_ratio = -self.odds_weight * logsigmoid(chosen - rejected).sum()
        known = known_log_ratio(logp_C, batch)
        metrics = pair_metrics(logp_C, odds_C, batch, log_ratio_C=known)
        return Loss(terms={"sft": sft, "odds_ratio": odds_ratio}, metrics=metrics)


def log1mexp(value: Tensor) -> Tensor:
    """log(1 - exp(value)) for value < 0, to full precision; a value within rounding of 0 counts as -eps."""
    value = value.clamp(max=-torch.finfo(value.dtype).eps)
    # Below 0 both sides are finite and so are their gradients, so the unused one cannot spoil `where`.
    return torch.where(value > -math.log(2), torch.log(-torch.expm1(value)), torch.log1p(-torch.exp(value)))
