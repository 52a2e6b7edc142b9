"""Direct preference optimisation (Rafailov et al. 2023, eq. 7), and the variants that differ in a line.

    h = (log pi(y_w|x) - log ref(y_w|x)) - (log pi(y_l|x) - log ref(y_l|x))
    L = - (1 - eps) log sigmoid(beta h) - eps log sigmoid(-beta h)                                  loss: sigmoid

The log-probs are sums over an answer's tokens. `beta (log pi - log ref)` is the answer's implicit reward, so this is a
Bradley-Terry model on implicit rewards, and the gradient of a pair carries the weight sigmoid(-beta h): the pairs that
the policy ranks wrong count most (lifecycle document, section 4.6.4). With label smoothing eps, a share eps of the
labels is taken to be flipped: conservative DPO (Mitchell 2023).

    L = (- (1 - eps) log sigmoid(beta h) + eps log sigmoid(-beta h)) / (1 - 2 eps)                  loss: robust
    L = max(0, 1 - beta h)                                                                          loss: hinge

Robust (Chowdhury et al. 2024) is unbiased: its mean over labels flipped with chance eps is the loss without
noise. The conservative loss is not, and has a finite best margin. The hinge (SLiC, Zhao et al. 2023, with log-ratios as
in RSO, Liu et al. 2023) leaves pairs alone that are apart by 1/beta nats.

Reference-free takes the reference to be uniform, ref = const. `length_normalised` divides each log-ratio by its
answer's scored tokens (LN-DPO, in Meng et al. 2024), which wants a beta some ten times as large.

`sft_weight` adds a second term, the chosen answer's negative log-likelihood per token, averaged over pairs, so that
every pair counts once whatever its length (Pang et al. 2024, eq. 1). Liu et al. 2024 (RPO) add the sum over the
answer's tokens instead. It holds up the chosen answer's log-prob, which DPO alone lets fall.

    L + sft_weight * mean over pairs of  - log pi(y_w|x) / |y_w|

Worked: beta 0.5, log-ratios 1 and -1, so h = 2 and beta h = 1.

    sigmoid                  log(1 + 1/e)                     0.3132617
    sigmoid, eps 0.1         0.3132617 + 0.1 * 1              0.4132617
    robust, eps 0.1          0.3132617 - 0.1 * 1 / 0.8        0.1882617
    hinge                    max(0, 1 - 1)                    0; at beta 0.25: 0.5
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from burnish.batch import Tree, TreeBatch
from burnish.config import setting, settings
from burnish.metrics import Number
from burnish.objectives.objective import Coupling, Loss, Objective, Outputs
from burnish.objectives.preference import check_pairs, num_pairs, pair_metrics, split_pairs


@settings
class DPO(Objective):
    """Raise the chosen answer above the rejected one, measured from where the policy started."""

    kind: Literal["dpo"] = setting("dpo", "direct preference optimisation")
    loss_kind: Literal["sigmoid", "robust", "hinge"] = setting("sigmoid", "what a pair's margin costs")
    beta: float = setting(0.1, "strength of the pull towards the reference; larger stays closer", gt=0)
    label_smoothing: float = setting(0.0, "share of labels taken to be flipped", ge=0, lt=0.5)
    reference_free: bool = setting(False, "take the reference to be uniform; no reference pass")
    length_normalised: bool = setting(False, "divide each log-ratio by its answer's tokens")
    sft_weight: float = setting(0.0, "of the chosen answer's negative log-likelihood per token", ge=0)

    coupling: ClassVar[Coupling] = "group"

    def __post_init__(self) -> None:
        if self.loss_kind == "hinge" and self.label_smoothing:
            raise ValueError(
                f"label_smoothing is {self.label_smoothing:g}, and the hinge does not read it; leave it out, or set "
                "loss_kind to sigmoid or robust"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        """`reference_logp`, unless the reference is left out."""
        return () if self.reference_free else ("reference_logp",)

    def check(self, items: Sequence[Tree]) -> None:
        """Every tree must be a pair."""
        check_pairs(items)

    def weights(self, batch: TreeBatch) -> Mapping[str, float]:
        """The number of pairs, for both terms."""
        return dict.fromkeys(("dpo", "sft") if self.sft_weight else ("dpo",), num_pairs(batch))

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        """The summed loss of the pairs."""
        logp_C, length_C = batch.sum_C(outputs["logp"]), batch.num_scored_C()
        log_ratio_C = logp_C if self.reference_free else logp_C - batch.columns["reference_logp"]
        reward_C = self.beta * (log_ratio_C / length_C if self.length_normalised else log_ratio_C)
        chosen, rejected = split_pairs(reward_C, batch)
        terms = {"dpo": self._cost(chosen - rejected).sum()}
        if self.sft_weight:
            terms["sft"] = -self.sft_weight * split_pairs(logp_C / length_C, batch)[0].sum()
        known = None if self.reference_free else log_ratio_C
        return Loss(terms=terms, metrics=pair_metrics(logp_C, reward_C, batch, log_ratio_C=known))

    def _cost(self, logit: Tensor) -> Tensor:
        """What each pair costs; `logit` is beta h."""
        if self.loss_kind == "hinge":
            return relu(1 - logit)
        right, flipped = -logsigmoid(logit), -logsigmoid(-logit)
        eps = self.label_smoothing
        if self.loss_kind == "robust":
            return ((1 - eps) * right - eps * flipped) / (1 - 2 * eps)
        return (1 - eps) * right + eps * flipped
