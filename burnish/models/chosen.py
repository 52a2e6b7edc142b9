"""Log-probs of chosen tokens for a plain head, with passes of their own.

    z = scale W h     logp = z[target] - log sum_v exp z_v     d logp / dh = scale W' (onehot(target) - softmax z)

What autograd would keep and allocate per chunk of logits is done in place here. Where the head itself is not trained
(LoRA, a frozen head), the derivative of each log-prob by its hidden state is kept from the forward pass, (N, D) in all,
and the logits are not computed a second time. Where the head is trained, they are; its gradient is summed in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

PRODUCT_BYTES = 2**27
"""Derivatives by logits that wait for one product; each product costs a pass over a gradient of the head's size."""


def chosen_logp(hidden: Tensor, weight: Tensor, target: Tensor, *, scale: float, chunk: int) -> Tensor:
    """Log-prob of each target, nats.

    Args:
        hidden: (N, D).
        weight: (V, D), in the dtype of `hidden`.
        target: (N,) token ids.
        scale: factor on the logits.
        chunk: tokens at a time.

    Returns:
        (N,) float32. It can be differentiated once.
    """
    result: Tensor = _ChosenLogp.apply(hidden, weight, target, scale, chunk)  # type: ignore[no-untyped-call]
    return result


class _ChosenLogp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, target: Tensor, scale: float, chunk: int) -> Tensor:
        ctx.scale, ctx.chunk = scale, chunk
        by_hidden, by_weight = ctx.needs_input_grad[:2]
        ahead = by_hidden and not by_weight
        logp = hidden.new_empty(len(target), dtype=torch.float32)
        slope = torch.empty_like(hidden) if ahead else None
        for part in _parts(len(target), chunk):
            chosen = target[part, None]
            logits = _logits(hidden[part], weight, scale)
            top = logits.amax(-1, keepdim=True)
            picked = logits.gather(1, chosen) - top
            total = logits.sub_(top).exp_().sum(-1, keepdim=True)
            logp[part] = (picked - total.log()).squeeze(1)
            if slope is not None:
                torch.mm(_rest(logits.div_(total), chosen, scale).to(weight.dtype), weight, out=slope[part])
        ctx.save_for_backward(slope if ahead else hidden, weight, target)
        return logp

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        kept, weight, target = ctx.saved_tensors
        by_hidden, by_weight = ctx.needs_input_grad[:2]
        if not by_weight:
            return (kept.float() * gradient[:, None]).to(kept.dtype), None, None, None, None
        hidden_gradient = torch.empty_like(kept) if by_hidden else None
        products = []
        for block in _parts(len(target), _tokens_of_product(weight, ctx.chunk)):
            hidden, factor = kept[block], gradient[block, None] * ctx.scale
            rest = weight.new_empty(len(hidden), len(weight))
            for part in _parts(len(hidden), ctx.chunk):
                probability = torch.softmax(_logits(hidden[part], weight, ctx.scale), dim=-1)
                rest[part] = _rest(probability, target[block][part, None], factor[part])
            if hidden_gradient is not None:
                torch.mm(rest, weight, out=hidden_gradient[block])
            products.append(rest.T @ hidden)
        return hidden_gradient, _sum(products, weight), None, None, None


def _tokens_of_product(weight: Tensor, chunk: int) -> int:
    """How many tokens' derivatives by the logits are held, for one product with their hidden states."""
    return max(chunk, PRODUCT_BYTES // (weight.element_size() * len(weight)) // chunk * chunk)


def _sum(products: list[Tensor], like: Tensor) -> Tensor:
    """The sum in float32, rounded once; of a single product nothing is to be summed."""
    if len(products) == 1:
        return products[0]
    total = torch.zeros_like(like, dtype=torch.float32)
    for product in products:
        total += product
    return total.to(like.dtype)


def _parts(count: int, chunk: int) -> list[slice]:
    return [slice(start, start + chunk) for start in range(0, count, chunk)]


def _logits(hidden: Tensor, weight: Tensor, scale: float) -> Tensor:
    logits = functional.linear(hidden, weight).float()
    return logits if scale == 1.0 else logits.mul_(scale)


def _rest(probability: Tensor, chosen: Tensor, factor: Tensor | float) -> Tensor:
    """factor (onehot(chosen) - probability), in place of `probability`. (n, V), (n, 1), (n, 1)"""
    ones = torch.ones_like(chosen, dtype=probability.dtype)
    return probability.mul_(-factor).scatter_add_(1, chosen, ones * factor)
