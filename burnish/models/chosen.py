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
        weight_gradient = weight.new_zeros(weight.shape, dtype=torch.float32)
        for part in _parts(len(target), ctx.chunk):
            hidden = kept[part]
            probability = torch.softmax(_logits(hidden, weight, ctx.scale), dim=-1)
            rest = _rest(probability, target[part, None], ctx.scale).mul_(gradient[part, None]).to(weight.dtype)
            if hidden_gradient is not None:
                torch.mm(rest, weight, out=hidden_gradient[part])
            weight_gradient += rest.T @ hidden
        return hidden_gradient, weight_gradient.to(weight.dtype), None, None, None


def _parts(count: int, chunk: int) -> list[slice]:
    return [slice(start, start + chunk) for start in range(0, count, chunk)]


def _logits(hidden: Tensor, weight: Tensor, scale: float) -> Tensor:
    logits = functional.linear(hidden, weight).float()
    return logits if scale == 1.0 else logits.mul_(scale)


def _rest(probability: Tensor, chosen: Tensor, scale: float) -> Tensor:
    """scale (onehot(chosen) - probability), in place of `probability`."""
    rest = probability.neg_()
    rest.scatter_add_(1, chosen, torch.ones_like(chosen, dtype=rest.dtype))
    return rest if scale == 1.0 else rest.mul_(scale)
