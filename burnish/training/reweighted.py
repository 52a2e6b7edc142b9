"""The source of DoReMi's proxy: every domain drawn alike, with weights that follow what the last update found.

    update t     batch with the weights w_t ──► excess losses lambda_t
    batch t + 1  w_(t+1) from w_t and lambda_t (`burnish.data.mixing.reweighting`)

The paper updates the weights by the losses of the very batch that it then trains on. Here they follow the batch before,
which the source hears of as every source does, so that one forward pass is enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from burnish.batch import Tree
from burnish.data.mixing.reweighting import DomainWeights, effective_domains
from burnish.objectives.doremi import DOMAIN, EXCESS, WEIGHT
from burnish.training.columns import with_column
from burnish.training.mixed import Mixed
from burnish.training.source import Feedback


class Reweighted:
    """Segments of domains, with their domain and its weight in the columns that `DoReMi` reads.

    Args:
        segments: what is drawn.
        weights: of the domains of `segments`.
    """

    def __init__(self, segments: Mixed, weights: DomainWeights) -> None:
        self.segments = segments
        self.weights = weights

    def next(self, feedback: Feedback) -> Sequence[Tree] | None:
        """Batch k of the run with the weights that follow from the batches before it; None after the last."""
        names = [domain.name for domain in self.segments.draws.domains]
        if heard := {name: feedback[f"{EXCESS}/{name}"] for name in names if f"{EXCESS}/{name}" in feedback}:
            self.weights.hear(heard)
        drawn = self.segments.drawn()
        if drawn is None:
            return None
        self.weights.count()
        return [tree for domain, trees in drawn for tree in self._stamped(trees, domain, names[domain])]

    def metrics(self) -> dict[str, float]:
        """The weights that the last batch had, and how many domains they amount to."""
        weights = {f"{WEIGHT}/{name}": weight for name, weight in self.weights.now.items()}
        return {**weights, "effective_domains": effective_domains(self.weights.now)}

    def state(self) -> dict[str, Any]:
        """The number of the next batch, and the weights with what they follow."""
        return {"segments": self.segments.state(), "weights": self.weights.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.segments.restore(state["segments"])
        self.weights.restore(state["weights"])

    def _stamped(self, trees: Sequence[Tree], domain: int, name: str) -> Sequence[Tree]:
        for column, value in ((DOMAIN, float(domain)), (WEIGHT, self.weights.now[name])):
            trees = with_column(trees, column, [[value] * len(tree.branches) for tree in trees])
        return trees
