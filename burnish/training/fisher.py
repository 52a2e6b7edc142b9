"""The diagonal of the Fisher information of a model, estimated on data.

    F_i = E_x E_{y ~ p(y | x)} [ (d log p(y | x) / d theta_i)^2 ]        per target

Two estimates are offered, and are not the same thing (Kunstner et al. 2019):

    sampled   y is drawn from the model itself, target by target behind the text as it is: unbiased
    data      y is the text's own: the "empirical Fisher", the squared gradient of the data's log-likelihood, which is
              the Fisher information only where the model fits the data

The gradient is that of one example at a time, squared. Of sampled labels the targets' gradients are independent
with mean 0, so the square of their sum has the mean of the sum of their squares; of the data's own it has not. What a
target is goes by the kind of model: a token, a class, a border of an answer (targets.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from burnish.batch import Item
from burnish.training.targets import Reader, target_logps, with_drawn_targets

Source = Literal["sampled", "data"]


@dataclass(frozen=True, kw_only=True)
class Fisher:
    """An estimate: a float32 value of each parameter by its name in the transformers model, and what it is over."""

    values: dict[str, Tensor]
    num_examples: int
    num_targets: int


def diagonal_fisher(part: Reader, items: Sequence[Item], *, source: Source, seed: int, device: torch.device) -> Fisher:
    """The estimate over examples.

    Args:
        part: whose parameters require gradients.
        items: the examples, of the kind that the part reads.
        source: where labels come from; see the head of this file.
        seed: of sampled labels, with the example's id.
        device: where the part is.

    Raises:
        ValueError: there is no example.
    """
    named = {name: value for name, value in part.model.named_parameters() if value.requires_grad}
    if not items or not named:
        raise ValueError("the Fisher information needs an example and a parameter")
    part.eval()
    total = {name: torch.zeros_like(value, dtype=torch.float32) for name, value in named.items()}
    targets = 0
    for item in items:
        batch: Any = type(item).collate([item])
        batch = batch.to(device)
        if source == "sampled":
            batch = with_drawn_targets(part, batch, seed=seed)
        logp = target_logps(part, batch)
        for name, gradient in zip(named, _gradients(logp.sum(), list(named.values())), strict=True):
            if gradient is not None:
                total[name].add_(gradient.float().square())
        targets += len(logp)
    return Fisher(
        values={name: (value / targets).cpu() for name, value in total.items()},
        num_examples=len(items),
        num_targets=targets,
    )


def _gradients(total: Tensor, parameters: Sequence[nn.Parameter]) -> tuple[Tensor | None, ...]:
    return torch.autograd.grad(total, parameters, allow_unused=True)


def weight_digests(named: Iterable[tuple[str, Tensor]]) -> dict[str, str]:
    """A digest of each weight by its name: what says that two models have the same one. Hex."""
    return {name: _digest(value) for name, value in named}


def _digest(value: Tensor) -> str:
    digest = hashlib.sha256(f"{tuple(value.shape)}".encode())
    digest.update(value.detach().to(device="cpu", dtype=torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()
