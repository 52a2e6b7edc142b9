"""Scalar heads: linear maps from hidden states to one number each, in float32 and without bias.

    hidden (N, D) ──► head (K, D) ──► numbers (N, K)

A head is small, so it keeps float32 while the backbone is rounded. It has no bias, as the heads of transformers'
sequence classifiers have none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from burnish.numerics import generator_from

SPREAD = 0.1
"""Spread of a fresh head, in units of 1 / sqrt(D + 1), the one of Stiennon et al. 2020: a tenth, so that the first loss
of a reward model is close to log 2 on models whose final norm scales hidden states up."""


def fresh_heads(model: PreTrainedModel, count: int, *, seed: int, key: str) -> nn.Linear:
    """Heads drawn each from its own key, so that a head is a function of the seed and its number. (count, D)"""
    size = _hidden_size(model)
    rows = [torch.randn(size, generator=generator_from(seed, key, number)) for number in range(count)]
    return _linear(SPREAD / (size + 1) ** 0.5 * torch.stack(rows), model)


def zero_head(model: PreTrainedModel) -> nn.Linear:
    """One head that gives 0 everywhere. (1, D)"""
    return _linear(torch.zeros(1, _hidden_size(model)), model)


def scalars(hidden: Tensor, head: nn.Linear) -> Tensor:
    """The numbers that heads read from hidden states, float32. (N, D) -> (N, K)"""
    return functional.linear(hidden.float(), head.weight.float())


def _hidden_size(model: PreTrainedModel) -> int:
    return int(model.config.get_text_config(decoder=True).hidden_size)


def _linear(weight: Tensor, model: PreTrainedModel) -> nn.Linear:
    """A linear layer of this weight, on the model's device."""
    head = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta", dtype=torch.float32)
    head.weight = nn.Parameter(weight.to(next(model.parameters()).device))
    return head
