"""Log-probs of chosen tokens for a linear head, with passes of their own.

    z = scale (W h + b)     logp = z[target] - log sum_v exp z_v     d logp / dh = scale W' (onehot(target) - softmax z)

What autograd would keep and allocate per chunk of logits is done in place here. Where the head itself is not trained
(LoRA, a frozen head), the derivative of each log-prob by its hidden state is kept from the forward pass, (N, D) in all.
Where it is trained, the derivatives by the logits are, in its dtype, as long as they fit into `PRODUCT_BYTES`. Beyond
that the logits are computed a second time, and the gradient of the head is summed in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

PRODUCT_BYTES = 2**27
"""Derivatives by logits that are held for one product; each product costs a pass over a gradient of the head's size."""


PASSES = 4
"""In how many pieces a chunk goes through the passes over the vocabulary."""


def chosen_logp(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, *, scale: float, chunk: int
) -> Tensor:
    """Log-prob of each target, nats.

    Args:
        hidden: (N, D).
        weight: (V, D), in the dtype of `hidden`.
        bias: (V,), or None.
        target: (N,) token ids.
        scale: factor on the logits.
        chunk: tokens at a time.

    Returns:
        (N,) float32. It can be differentiated once.
    """
    given = [tensor for tensor in (hidden, weight, bias) if tensor is not None]
    learned = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given)
    result: Tensor = _ChosenLogp.apply(hidden, weight, bias, target, scale, chunk, learned)  # type: ignore[no-untyped-call]
    return result


class _ChosenLogp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        target: Tensor,
        scale: float,
        chunk: int,
        learned: bool,
    ) -> Tensor:
        ctx.scale, ctx.chunk = scale, chunk
        ctx.of_head = learned and any(ctx.needs_input_grad[1:3])
        logp = hidden.new_empty(len(target), dtype=torch.float32)
        by_hidden = torch.empty_like(hidden) if learned and not ctx.of_head else None
        blocks, products = _blocks(target, weight, chunk), None
        for block in blocks:
            products = functional.linear(hidden[block], weight, bias)
            logp[block] = _log_softmax_at(target[block], products, scale, chunk, slopes=learned)
            if by_hidden is not None:
                torch.mm(products, weight, out=by_hidden[block])
        slopes = products if ctx.of_head and len(blocks) == 1 else None
        ctx.save_for_backward(hidden if by_hidden is None else by_hidden, weight, bias, target, slopes)
        return logp

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, bias, target, held = ctx.saved_tensors
        if not ctx.of_head:
            return _times(rows, gradient), *[None] * 6
        by_hidden = torch.empty_like(rows) if ctx.needs_input_grad[0] else None
        of_weight, of_bias = [], []
        for block in _blocks(target, weight, ctx.chunk):
            slopes, factor = held, gradient[block]
            if slopes is None:
                slopes = functional.linear(rows[block], weight, bias)
                _log_softmax_at(target[block], slopes, ctx.scale, ctx.chunk, slopes=True)
            if by_hidden is not None:
                by_hidden[block] = _times(slopes @ weight, factor)
            if ctx.needs_input_grad[1]:
                of_weight.append(slopes.T @ _times(rows[block], factor))
            if ctx.needs_input_grad[2]:
                of_bias.append(slopes.T @ factor.to(slopes.dtype))
        by_weight = _sum(of_weight, weight) if ctx.needs_input_grad[1] else None
        by_bias = _sum(of_bias, bias) if ctx.needs_input_grad[2] else None
        return by_hidden, by_weight, by_bias, *[None] * 4


def _log_softmax_at(target: Tensor, products: Tensor, scale: float, chunk: int, *, slopes: bool) -> Tensor:
    """Log-probs of the targets.

    Args:
        target: (n,) token ids.
        products: (n, V) of hidden states and weights. They are overwritten where `slopes` are wanted: by
            scale (onehot(target) - softmax), rounded to their dtype.
        scale: factor on the products.
        chunk: tokens at a time, of which a part goes through the passes together, to stay in the processor's cache.
        slopes: whether the derivatives of the log-probs by the products are wanted.

    Returns:
        (n,) float32
    """
    logp = products.new_empty(len(target), dtype=torch.float32)
    for part in _parts(len(target), max(1, chunk // PASSES)):
        chosen = target[part, None]
        logits = products[part].float()
        logits = logits if scale == 1.0 else logits.mul_(scale)
        top = logits.amax(-1, keepdim=True)
        picked = logits.gather(1, chosen) - top
        total = logits.sub_(top).exp_().sum(-1, keepdim=True)
        logp[part] = (picked - total.log()).squeeze(1)
        if slopes:
            products[part] = logits.mul_(-scale / total).scatter_add_(1, chosen, torch.full_like(total, scale))
    return logp


def _blocks(target: Tensor, weight: Tensor, chunk: int) -> list[slice]:
    """The tokens whose derivatives by the products are held at a time."""
    size = max(chunk, PRODUCT_BYTES // (weight.element_size() * len(weight)) // chunk * chunk)
    return _parts(len(target), size)


def _times(rows: Tensor, factor: Tensor) -> Tensor:
    """Rows times a float32 number each, rounded once. (n, D), (n,) -> (n, D)"""
    return (rows * factor[:, None]).to(rows.dtype)


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
