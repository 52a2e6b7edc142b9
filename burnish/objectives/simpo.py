"""SimPO (Meng et al. 2024, eq. 6): no reference, the average log-prob of a token as the reward, and a target margin.

    r(y) = beta / |y| * log pi(y|x)
    L    = - log sigmoid(r(y_w) - r(y_l) - gamma)

The reward is what decoding ranks by, the mean log-prob, so length cannot buy it. gamma is measured in rewards, as in
the paper; gamma / beta is the same margin in nats per token, and is what to keep when beta is changed. The paper's
settings have beta from 2 to 10 and gamma / beta from 0.1 to 0.8; here 2 and 0.5. Nothing ties the policy to where it
started but the learning rate, so that should be low.

`watch_reference` computes the reference's log-probs too, for the log alone (gain_chosen, gain_rejected, kl_proxy).

Worked: beta 2, gamma 1; a chosen answer of 2 tokens with log-prob -2, a rejected one of 4 tokens with -8. The rewards
are 2 * -1 = -2 and 2 * -2 = -4, the logit -2 + 4 - 1 = 1, the loss log(1 + 1/e) = 0.3132617.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from torch.nn.functional import logsigmoid

from burnish.batch import Tree, TreeBatch
from burnish.config import setting, settings
from burnish.metrics import Number
from burnish.objectives.objective import Coupling, Loss, Objective, Outputs
from burnish.objectives.preference import check_pairs, known_log_ratio, num_pairs, pair_metrics, split_pairs


@settings
class SimPO(Objective):
    """Raise the chosen answer's log-prob per token above the rejected one's by a margin; no reference."""

    kind: Literal["simpo"] = setting("simpo", "simple preference optimisation")
    beta: float = setting(2.0, "scale of the rewards, which are log-probs per token", gt=0)
    gamma: float = setting(1.0, "margin aimed at, in rewards; gamma / beta is in nats per token", ge=0)
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
        """The number of pairs."""
        return {"simpo": num_pairs(batch)}

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        """The summed loss of the pairs."""
        logp_C = batch.sum_C(outputs["logp"])
        reward_C = self.beta * logp_C / batch.num_scored_C()
        chosen, rejected = split_pairs(reward_C, batch)
        loss = -logsigmoid(chosen - rejected - self.gamma).sum()
        known = known_log_ratio(logp_C, batch)
        return Loss(terms={"simpo": loss}, metrics=pair_metrics(logp_C, reward_C, batch, log_ratio_C=known))
