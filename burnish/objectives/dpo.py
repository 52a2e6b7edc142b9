"""Direct preference optimisation (Rafailov et al. 2023, eq. 7), with conservative label smoothing.

    h = (log pi(y_w|x) - log ref(y_w|x)) - (log pi(y_l|x) - log ref(y_l|x))
    L = - (1 - eps) log sigmoid(beta h) - eps log sigmoid(-beta h)

The log-probs are sums over an answer's tokens. `beta (log pi - log ref)` is the answer's implicit reward, so this is a
Bradley-Terry model on implicit rewards, and the gradient of a pair carries the weight sigmoid(-beta h): the pairs that
the policy ranks wrong count most (lifecycle document, section 4.6.4). With label smoothing eps, a share eps of the
labels is taken to be flipped (Mitchell 2023). Reference-free takes the reference to be uniform, ref = const.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from torch.nn.functional import logsigmoid

from burnish.batch import Tree, TreeBatch
from burnish.config import setting, settings
from burnish.metrics import Number
from burnish.objectives.objective import Coupling, Loss, Objective, Outputs
from burnish.objectives.preference import check_pairs, num_pairs, pair_metrics, split_pairs


@settings
class DPO(Objective):
    """Raise the chosen answer above the rejected one, measured from where the policy started."""

    kind: Literal["dpo"] = setting("dpo", "direct preference optimisation")
    beta: float = setting(0.1, "strength of the pull towards the reference; larger stays closer", gt=0)
    label_smoothing: float = setting(0.0, "share of labels taken to be flipped", ge=0, lt=0.5)
    reference_free: bool = setting(False, "take the reference to be uniform; no reference pass")

    coupling: ClassVar[Coupling] = "group"

    @property
    def needs(self) -> tuple[str, ...]:
        """`reference_logp`, unless the reference is left out."""
        return () if self.reference_free else ("reference_logp",)

    def check(self, items: Sequence[Tree]) -> None:
        """Every tree must be a pair."""
        check_pairs(items)

    def weights(self, batch: TreeBatch) -> Mapping[str, float]:
        """The number of pairs."""
        return {"dpo": num_pairs(batch)}

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        """The summed loss of the pairs."""
        logp_C = batch.sum_C(outputs["logp"])
        log_ratio_C = logp_C if self.reference_free else logp_C - batch.columns["reference_logp"]
        reward_C = self.beta * log_ratio_C
        chosen, rejected = split_pairs(reward_C, batch)
        logit = chosen - rejected  # beta h
        keep, flip = 1 - self.label_smoothing, self.label_smoothing
        loss = -(keep * logsigmoid(logit) + flip * logsigmoid(-logit)).sum()
        known = None if self.reference_free else log_ratio_C
        return Loss(terms={"dpo": loss}, metrics=pair_metrics(logp_C, reward_C, batch, log_ratio_C=known))
