"""Rollouts written as tables, and a policy so small that every output can be enumerated."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from burnish.batch import Branch, Tree, TreeBatch, pack
from burnish.metrics import values
from burnish.objectives.objective import Objective

Rows = Sequence[Sequence[float]]
"""A number per token, by completion."""


def rollout(name: str, advantages: Rows, *, columns: Mapping[str, Rows] | None = None) -> Tree:
    """A prompt whose completions have as many tokens as there are advantages."""
    branches = [
        Branch(
            tokens=[10 + place for place in range(len(own))],
            weights=[1.0] * len(own),
            token_columns={"advantage": own, **{key: rows[index] for key, rows in (columns or {}).items()}},
        )
        for index, own in enumerate(advantages)
    ]
    return Tree(id=name, prompt=[1, 2], branches=tuple(branches))


def flat(rows: Rows, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Numbers by completion as one tensor that asks for a gradient."""
    return torch.tensor([value for row in rows for value in row], dtype=dtype, requires_grad=True)


def total(objective: Objective, outputs: Mapping[str, Tensor], batch: TreeBatch) -> Tensor:
    """The loss of a batch, as the trainer makes it."""
    weights = objective.weights(batch)
    terms = objective.loss(outputs, batch, {}).terms
    assert terms.keys() == weights.keys()
    return torch.stack([term / weights[name] for name, term in terms.items()]).sum()


def computed(
    objective: Objective, tree: Tree, logp: Rows, **outputs: Rows
) -> tuple[float, list[float], dict[str, float]]:
    """The loss of one prompt's completions, the gradient of each log-prob, and the metrics."""
    leaf = flat(logp)
    given = {"logp": leaf, **{name: flat(rows) for name, rows in outputs.items()}}
    batch = pack([tree])
    loss = total(objective, given, batch)
    (gradient,) = torch.autograd.grad(loss, leaf)
    metrics = values(objective.loss(given, batch, {}).metrics)
    return float(loss.detach()), gradient.tolist(), {name: float(value) for name, value in metrics.items()}


class Enumerable:
    """A softmax policy over three tokens that says one or two of them: 0 ends, so there are 7 outputs.

    Attributes:
        logits: (4, 3), of the first token, and of the second one after each first.
        outputs: every completion.
    """

    def __init__(self, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.logits = torch.randn(4, 3, generator=generator, dtype=torch.float64).requires_grad_(True)
        self.outputs = [(0,), *itertools.product((1, 2), (0, 1, 2))]

    def logps(self, output: Sequence[int]) -> Tensor:
        """The log-prob of each token of an output."""
        table = torch.log_softmax(self.logits, -1)
        rows = (0, 1 + output[0])
        return torch.stack([table[row, token] for row, token in zip(rows, output, strict=False)])

    def probability(self, output: Sequence[int]) -> Tensor:
        """Of an output."""
        return self.logps(output).sum().exp()

    def expected(self, reward: Mapping[tuple[int, ...], float]) -> Tensor:
        """The exact mean reward."""
        return torch.stack([self.probability(output) * reward[output] for output in self.outputs]).sum()

    def gradient(self, value: Tensor) -> Tensor:
        """Of the logits."""
        (found,) = torch.autograd.grad(value, self.logits)
        return found

    def mean_gradient(self, objective: Objective, advantages, *, size: int) -> Tensor:
        """The mean gradient of the loss over every group of `size` outputs, weighted by its probability.

        Args:
            objective: at ratio 1.
            advantages: the advantage of each output of a group.
            size: outputs in a group.
        """
        mean = torch.zeros_like(self.logits)
        for group in itertools.product(self.outputs, repeat=size):
            probability = torch.stack([self.probability(output) for output in group]).prod().detach()
            rows = [[value] * len(output) for value, output in zip(advantages(group), group, strict=True)]
            outputs = {"logp": torch.cat([self.logps(output) for output in group])}
            mean += probability * self.gradient(total(objective, outputs, pack([rollout("group", rows)])))
        return mean
