"""Identity preference optimisation (Azar et al. 2023, eq. 17): a squared loss with a finite best margin.

    h = (log pi(y_w|x) - log ref(y_w|x)) - (log pi(y_l|x) - log ref(y_l|x))
    L = (h - 1 / (2 tau))^2

DPO pushes a pair that is always ranked one way towards an infinite margin, whatever beta is. Here the loss is 0 at
h = 1/(2 tau) and grows on both sides, so tau keeps its hold even where the preferences have no noise: a larger tau
stays closer to the reference.

The log-ratios are sums over an answer's tokens and tau stands once, as in the paper. The lifecycle document's implicit
reward already holds beta, so its target 1/(2 beta) applies beta twice; some libraries average over the tokens. See
`docs/errata.md`.

Worked: tau 0.1 and log-ratios 1 and -1: h = 2, the target is 5, and the loss (2 - 5)^2 = 9. Implicit rewards
tau * log-ratio: 0.1 and -0.1; at the best margin the rewards are 1/2 apart for every tau.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from burnish.batch import Tree, TreeBatch
from burnish.config import setting, settings
from burnish.metrics import Number
from burnish.objectives.objective import Coupling, Loss, Objective, Outputs
from burnish.objectives.preference import check_pairs, num_pairs, pair_metrics, split_pairs


@settings
class IPO(Objective):
    """Bring the chosen answer's log-ratio to a fixed distance above the rejected one's."""

    kind: Literal["ipo"] = setting("ipo", "identity preference optimisation")
    tau: float = setting(0.1, "pull towards the reference; the margin aimed at is 1/(2 tau) nats", gt=0)

    coupling: ClassVar[Coupling] = "group"

    @property
    def needs(self) -> tuple[str, ...]:
        """`reference_logp`."""
        return ("reference_logp",)

    def check(self, items: Sequence[Tree]) -> None:
        """Every tree must be a pair."""
        check_pairs(items)

    def weights(self, batch: TreeBatch) -> Mapping[str, float]:
        """The number of pairs."""
        return {"ipo": num_pairs(batch)}

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        """The summed loss of the pairs."""
        logp_C = batch.sum_C(outputs["logp"])
        log_ratio_C = logp_C - batch.columns["reference_logp"]
        chosen, rejected = split_pairs(log_ratio_C, batch)
        loss = (chosen - rejected - 1 / (2 * self.tau)).square().sum()
        return Loss(
            terms={"ipo": loss}, metrics=pair_metrics(logp_C, self.tau * log_ratio_C, batch, log_ratio_C=log_ratio_C)
        )
