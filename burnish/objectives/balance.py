"""An objective over a mixture of experts: the goal's own loss, and two terms that spread the tokens over the experts.

    L = goal + sum over layers of  w_importance CV(Importance)^2 + w_load CV(Load)^2    (Shazeer et al. 2017, eq. 7, 11)

Importance and load (`burnish.models.gate`) are sums over the tokens of the whole global batch, and CV^2 is not a sum of
what micro-batches give. So their means p per token are statistics, computed before the first backward pass, and each
micro-batch of T tokens with sums s gets the term

    T CV^2(p) + <slope, s>,    slope_i = d CV^2 / d p_i = 2 E (p_i / S^2 - Q / S^3),    S = sum p_i, Q = sum p_i^2

divided by all tokens. CV^2 does not change with the size of p, so <slope, p> is 0: the terms add up to CV^2, and their
gradients to its gradient, however the batch is split. The weights are those of the model's config.

Only batches of training have the terms, those with the column `round`; held-out loss is the goal's alone. What the
experts do is reported for both: `importance_cv` and `load_cv`, the root mean square over layers, and `busiest_expert`,
the tokens of the busiest one over the mean.

Worked: E = 2, p = (0.75, 0.25), CV^2 = 2 * 0.625 - 1 = 0.25, slope = (0.5, -1.5); <slope, p> = 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from burnish.batch import TreeBatch
from burnish.metrics import Mean, Metric, Number
from burnish.models.gate import Loads, squared_variation
from burnish.models.routed import ROUND, counts_once, is_routed
from burnish.objectives.objective import Coupling, Loss, Objective, Outputs

_NAMES = tuple(f"expert_{name}" for name in Loads._fields)


@dataclass(frozen=True, kw_only=True)
class Balanced(Objective):
    """A goal whose prompts may be split, with the terms of balance.

    Attributes:
        goal: what the model learns.
        importance_weight, load_weight: of each layer's CV^2.
    """

    goal: Objective
    importance_weight: float
    load_weight: float

    @property
    def reads(self) -> tuple[str, ...]:
        """The goal's, and the loads of the experts."""
        return (*self.goal.reads, *_NAMES)

    @property
    def needs(self) -> tuple[str, ...]:
        """The goal's."""
        return self.goal.needs

    def check(self, items: Sequence[Any]) -> None:
        """As the goal does."""
        self.goal.check(items)

    def weights(self, batch: TreeBatch) -> Mapping[str, float]:
        """The goal's, and the number of tokens for each term of balance."""
        found = dict(self.goal.weights(batch))
        return found | dict.fromkeys(self._terms, float(counts_once(batch).sum())) if ROUND in batch.columns else found

    def statistics(self, outputs: Outputs, batch: TreeBatch) -> Mapping[str, Metric]:
        """Means per token of importance, load and tokens of each expert, (layers, E), beside the goal's statistics."""
        tokens = float(counts_once(batch).sum())
        return {
            **self.goal.statistics(outputs, batch),
            **{name: Mean(outputs[name].detach().cpu().double(), tokens) for name in _NAMES},
        }

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        """The goal's terms, and this micro-batch's share of the balance."""
        found = self.goal.loss(outputs, batch, statistics)
        tokens = float(counts_once(batch).sum())
        terms = dict(found.terms)
        if ROUND in batch.columns:
            for name, weight in self._terms.items():
                mean, sums = _tensor(statistics[f"expert_{name}"]), outputs[f"expert_{name}"]
                slope = slope_of_variation(mean).to(sums)
                terms[name] = weight * (tokens * float(squared_variation(mean).sum()) + (slope * sums).sum())
        return Loss(terms=terms, metrics={**found.metrics, **_metrics(statistics, tokens)})

    def penalty(self, parts: Mapping[str, nn.Module]) -> Tensor | None:
        """The goal's."""
        return self.goal.penalty(parts)

    @property
    def _terms(self) -> Mapping[str, float]:
        return {"importance": self.importance_weight, "load": self.load_weight}


@dataclass(frozen=True, kw_only=True)
class BalancedGroups(Balanced):
    """The same, of a goal whose prompts stay whole."""

    coupling: ClassVar[Coupling] = "group"


def balanced(goal: Objective, config: Any) -> Objective:
    """The goal over a model of this config: with the terms of balance where the model has noisy gates."""
    if not is_routed(config):
        return goal
    kind = BalancedGroups if goal.coupling == "group" else Balanced
    return kind(goal=goal, importance_weight=config.importance_weight, load_weight=config.load_weight)


def slope_of_variation(sums: Tensor) -> Tensor:
    """Gradient of `squared_variation` along the last dimension. (..., E) -> (..., E)"""
    total, squares = sums.sum(-1, keepdim=True), sums.square().sum(-1, keepdim=True)
    return 2 * sums.shape[-1] * (sums / total**2 - squares / total**3)


def _metrics(statistics: Mapping[str, Number], tokens: float) -> dict[str, Metric]:
    """What the experts do, over the global batch."""
    squares = {
        f"{name}_cv": squared_variation(_tensor(statistics[f"expert_{name}"])) for name in ("importance", "load")
    }
    numbers = {name: float(each.mean().clamp_min(0).sqrt()) for name, each in squares.items()}
    counts = _tensor(statistics["expert_tokens"])
    numbers["busiest_expert"] = float((counts.amax(-1) / counts.mean(-1)).max())
    return {name: Mean(number * tokens, tokens) for name, number in numbers.items()}


def _tensor(value: Number) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value)
