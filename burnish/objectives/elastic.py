"""Elastic weight consolidation: any goal, with a penalty on leaving the start where the start's task minds it
(Kirkpatrick et al. 2017, eq. 3).

    L = goal + lambda/2 sum_i F_i (theta_i - theta*_i)^2

theta* are the weights of the start, F the diagonal of the Fisher information there (`burnish.training.fisher`). It is
the log-density of a Gaussian around theta*, Laplace's approximation of the posterior that the first task left. The
penalty is added once per update, on the float32 weights, whatever the number of micro-batches and ranks.

Worked: a goal (theta - b)^2 / 2 has its optimum with the penalty at (b + lambda F theta*) / (1 + lambda F); with
b = 1, theta* = 0, lambda = 2 and F = 1.5 at 0.25.

What this does not do: weights that the Fisher information does not name, such as those of a fresh head, are free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from burnish.metrics import Metric, Number
from burnish.objectives.objective import Coupling, Loss, Objective, Outputs


@dataclass(frozen=True, kw_only=True)
class Elastic(Objective):
    """A goal whose prompts may be split, with the penalty.

    Attributes:
        goal: what the model learns.
        strength: lambda.
        trained: the float32 weights that are updated, by name.
        start, fisher: theta* and F by the same names, each of the shape of its weight and divided as it is.
    """

    goal: Objective
    strength: float
    trained: Mapping[str, Tensor]
    start: Mapping[str, Tensor]
    fisher: Mapping[str, Tensor]

    @property
    def reads(self) -> tuple[str, ...]:
        """The goal's."""
        return self.goal.reads

    @property
    def needs(self) -> tuple[str, ...]:
        """The goal's."""
        return self.goal.needs

    @property
    def has_statistics(self) -> bool:
        """The goal's."""
        return self.goal.has_statistics

    def check(self, items: Sequence[Any]) -> None:
        """As the goal does."""
        self.goal.check(items)

    def weights(self, batch: Any) -> Mapping[str, float]:
        """The goal's."""
        return self.goal.weights(batch)

    def statistics(self, outputs: Outputs, batch: Any) -> Mapping[str, Metric]:
        """The goal's."""
        return self.goal.statistics(outputs, batch)

    def loss(self, outputs: Outputs, batch: Any, statistics: Mapping[str, Number]) -> Loss:
        """The goal's."""
        return self.goal.loss(outputs, batch, statistics)

    def penalty(self, parts: Mapping[str, nn.Module]) -> Tensor | None:
        """The penalty on the float32 weights, beside the goal's own."""
        terms = [
            (fisher * (self.trained[name] - self.start[name]).square()).sum() for name, fisher in self.fisher.items()
        ]
        penalty = 0.5 * self.strength * torch.stack(terms).sum()
        own = self.goal.penalty(parts)
        return penalty if own is None else penalty + own


@dataclass(frozen=True, kw_only=True)
class ElasticGroups(Elastic):
    """The same, of a goal whose prompts stay whole."""

    coupling: ClassVar[Coupling] = "group"


def elastic(
    goal: Objective,
    *,
    strength: float,
    trained: Mapping[str, Tensor],
    start: Mapping[str, Tensor],
    fisher: Mapping[str, Tensor],
) -> Objective:
    """The goal with the penalty; the other arguments are those of `Elastic`.

    Raises:
        ValueError: there is no weight to hold.
    """
    if not fisher:
        raise ValueError("elastic weight consolidation needs the Fisher information of at least one weight")
    kind = ElasticGroups if goal.coupling == "group" else Elastic
    return kind(goal=goal, strength=strength, trained=trained, start=start, fisher=fisher)
