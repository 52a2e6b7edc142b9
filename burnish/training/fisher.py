"""The diagonal of the Fisher information of a language model, estimated on data.

    F_i = E_x E_{y ~ p(y | x)} [ (d log p(y | x) / d theta_i)^2 ]        per scored token

Two estimates are offered, and are not the same thing (Kunstner et al. 2019):

    sampled   y is drawn from the model itself, token by token behind the text as it is: unbiased
    data      y is the text's own: the "empirical Fisher", the squared gradient of the data's log-likelihood, which is
              the Fisher information only where the model fits the data

The gradient is that of one example at a time, squared. Of sampled labels the tokens' gradients are independent with
mean 0, so the square of their sum has the mean of the sum of their squares; of the data's own it has not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from burnish.batch import Tree, TreeBatch, pack
from burnish.models.language import LanguageModel, head_of
from burnish.numerics import generator_from

Source = Literal["sampled", "data"]


@dataclass(frozen=True, kw_only=True)
class Fisher:
    """An estimate: a float32 value of each parameter by its name in the transformers model, and what it is over."""

    values: dict[str, Tensor]
    num_examples: int
    num_tokens: int


def diagonal_fisher(
    part: LanguageModel, trees: Sequence[Tree], *, source: Source, seed: int, device: torch.device
) -> Fisher:
    """The estimate over examples.

    Args:
        part: whose parameters require gradients.
        trees: the examples.
        source: where labels come from; see the head of this file.
        seed: of sampled labels, with the example's id.
        device: where the part is.

    Raises:
        ValueError: there is no example.
    """
    named = {name: value for name, value in part.model.named_parameters() if value.requires_grad}
    if not trees or not named:
        raise ValueError("the Fisher information needs an example and a parameter")
    part.eval()
    total = {name: torch.zeros_like(value, dtype=torch.float32) for name, value in named.items()}
    tokens = 0
    for tree in trees:
        batch = pack([tree]).to(device)
        if source == "sampled":
            batch = _sampled(part, batch, seed=seed)
        logp = part(batch, frozenset({"logp"}))["logp"]
        for name, gradient in zip(named, _gradients(logp.sum(), list(named.values())), strict=True):
            if gradient is not None:
                total[name].add_(gradient.float().square())
        tokens += len(logp)
    return Fisher(
        values={name: (value / tokens).cpu() for name, value in total.items()},
        num_examples=len(trees),
        num_tokens=tokens,
    )


def _gradients(total: Tensor, parameters: Sequence[nn.Parameter]) -> tuple[Tensor | None, ...]:
    return torch.autograd.grad(total, parameters, allow_unused=True)


@torch.no_grad()
def _sampled(part: LanguageModel, batch: TreeBatch, *, seed: int) -> TreeBatch:
    """The batch with targets that the model draws."""
    logits = head_of(part.model).logits(part.hidden(batch))
    generator = generator_from(seed, "fisher", *batch.ids)
    drawn = torch.multinomial(torch.softmax(logits, dim=-1).cpu(), 1, generator=generator)[:, 0]
    return replace(batch, target_N=drawn.to(batch.target_N))


def weights_digest(named: Iterable[tuple[str, Tensor]]) -> str:
    """A digest of weights by name, in their order: what says that two models are the same. Hex."""
    digest = hashlib.sha256()
    for name, value in named:
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.detach().to(device="cpu", dtype=torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()
