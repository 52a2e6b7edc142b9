"""The gradient of a specialist's update, however it is cut and shared, and the gradient that transformers finds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from burnish.objectives.objective import Objective
from burnish.training.optimizer import AdamW
from burnish.training.parallel import Ranks
from burnish.training.part import Part
from burnish.training.trainer import Trainer, Updates
from tests.training.toys import gradient_of, on_ranks

Cost = Callable[[Sequence[Any]], int]


def gathered(
    part: nn.Module,
    objective: Objective,
    items: Sequence[Any],
    *,
    cost: Cost,
    micro: int | None = None,
    ranks: Ranks | None = None,
    optimizer: AdamW | None = None,
) -> Trainer[Any]:
    """A trainer over a copy of the part that holds the gradient of `items`, summed over all ranks.

    Args:
        part: is copied.
        objective: of the update.
        items: its global batch.
        cost: tokens of a micro-batch.
        micro: items of a micro-batch, as many as fit if not given.
        ranks: one of those that share the work.
        optimizer: AdamW's numbers.
    """
    updates = Updates(optimizer=optimizer or AdamW(), micro_batch_size=micro)
    parts = {"model": Part(module=copy.deepcopy(part))}
    trainer: Trainer[Any] = Trainer(parts, objective, updates, steps=1, cost=cost, ranks=ranks)
    trainer.forward_backward(items)
    for one in trainer.optimizers.values():
        trainer.ranks.sum_gradients(one.masters.values())
    return trainer


def require_gradient(
    part: nn.Module, objective: Objective, items: Sequence[Any], expected: Tensor, *, cost: Cost
) -> None:
    """Fail unless the gradient is `expected` in one piece, in micro-batches, and on each of two ranks."""

    def gradient(micro: int | None, ranks: Ranks | None = None) -> Tensor:
        return gradient_of(gathered(part, objective, items, cost=cost, micro=micro, ranks=ranks), "model")

    shared = [found for micro in (1, 2) for found in on_ranks(2, lambda ranks, micro=micro: gradient(micro, ranks))]
    for found in (gradient(None), gradient(2), *shared):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def flat_gradient(loss: Tensor, model: nn.Module) -> Tensor:
    """The gradient of a loss as one vector, in the order of the parameters; zeros where the loss does not reach."""
    parameters = list(model.parameters())
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    zipped = zip(found, parameters, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in zipped])
