"""DoReMi's proxy: causal language modelling in which domains count by their weights (Xie et al. 2023, algorithm 1).

    L = sum_i w_i  (sum over the tokens n of domain i of -log p(y_n | y_<n))  /  (tokens of domain i)

Every domain is a term of its own, so it is divided by its own tokens in the whole global batch. The paper's loss has
-log p_ref taken away from each token, which moves nothing. What the weights will follow is measured beside it,

    lambda_i = mean over the tokens n of domain i of  max(log p_ref(y_n | y_<n) - log p(y_n | y_<n), 0)

before the update, on the batch that is trained on; a source (`burnish.training.reweighted`) turns it into the weights
of the next batch. Batches say which domain a text is of, and with what weight, in the columns `domain` and
`domain_weight`. Text without them, such as held-out text, has the plain loss.

Worked: domain a has the weight 0.75 and tokens with log p -1 and -3, the reference -2 and -1; domain b 0.25 and one
token with log p -2, the reference -2.5. The shares of the loss are 0.75 * 2 = 1.5 and 0.25 * 2 = 0.5. Of a's tokens the
first is better than the reference's and counts 0, the second 2: lambda_a = 1; lambda_b = 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.batch import TreeBatch
from burnish.metrics import Mean, Metric, Number
from burnish.objectives.objective import Loss, Objective, Outputs
from burnish.objectives.sft import CausalLM

DOMAIN = "domain"
"""Column: number of the domain in `DoReMi.domains`."""

WEIGHT = "domain_weight"
"""Column: its weight in this update, and name of the metric `domain_weight/NAME`."""

EXCESS = "excess_loss"
"""The metric `excess_loss/NAME`: lambda of a domain."""


@dataclass(frozen=True, kw_only=True)
class DoReMi(Objective):
    """Causal language modelling by weighted domains.

    Attributes:
        domains: their names, in the order of the numbers in the column `domain`.
    """

    domains: tuple[str, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        """The proxy's log-probs, and the reference's."""
        return ("logp", "reference_logp")

    @property
    def needs(self) -> tuple[str, ...]:
        """Those of the plain loss."""
        return CausalLM().needs

    def weights(self, batch: TreeBatch) -> Mapping[str, float]:
        """The scored tokens of each domain."""
        if DOMAIN not in batch.columns:
            return CausalLM().weights(batch)
        counts = self._sums(batch, batch.weight_N.double()).tolist()
        return {_share(name): count for name, count in zip(self.domains, counts, strict=True)}

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        """Each domain's weighted sum, and its excess."""
        plain = CausalLM().loss(outputs, batch, statistics)
        if DOMAIN not in batch.columns:
            return plain
        nats_N = -batch.weight_N * outputs["logp"]
        shares_D = self._sums(batch, batch.columns[WEIGHT][batch.completion_N] * nats_N)
        excess_N = batch.weight_N * (outputs["reference_logp"] - outputs["logp"].detach()).clamp_min(0)
        metrics: dict[str, Metric] = dict(plain.metrics)
        counts = self.weights(batch)
        for name, nats, excess in zip(
            self.domains,
            self._sums(batch, nats_N.detach().double()).tolist(),
            self._sums(batch, excess_N.double()).tolist(),
            strict=True,
        ):
            if count := counts[_share(name)]:  # a domain that no micro-batch has is left out, not reported as NaN
                metrics |= {f"domain_loss/{name}": Mean(nats, count), f"{EXCESS}/{name}": Mean(excess, count)}
        return Loss(terms={_share(name): shares_D[i] for i, name in enumerate(self.domains)}, metrics=metrics)

    def _sums(self, batch: TreeBatch, value_N: Tensor) -> Tensor:
        """Sum a value per scored token over each domain. (N,) -> (domains,)"""
        domain_N = batch.columns[DOMAIN].to(torch.long)[batch.completion_N]
        return value_N.new_zeros(len(self.domains)).index_add(0, domain_N, value_N)


def _share(name: str) -> str:
    """The term of a domain."""
    return f"loss_share/{name}"
