"""Attention of short sequences on the CPU: torch's fused forward pass, and a backward pass by matrix products.

torch's fused kernel is quick forward, and slow backward where sequences are short: at 100 tokens of SmolLM2-135M in
bf16 the products below take a third of its time (docs/log.md). What is kept between the passes is the same: queries,
keys, values, the output, and the log of the softmax's norm; attention weights are computed again.

    S = scaling Q K'     P = exp(S - norm)     dV = P' dO     dP = dO V'
    dS = P (dP - sum over keys of dO O)        dQ = scaling dS K     dK = scaling dS' Q        (Dao et al. 2022, app. B)

S and dS are in float32, as in the fused kernel.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

LONGEST = 512
"""Keys beyond which the fused backward pass is the faster one."""

_DTYPES = (torch.bfloat16, torch.float32)


def suits(query: Tensor, key: Tensor) -> bool:
    """Whether a gradient is wanted of a short sequence on the CPU, one sequence at a time."""
    return (
        query.device.type == "cpu"
        and query.dtype in _DTYPES
        and query.shape[0] == 1
        and key.shape[2] <= LONGEST
        and torch.is_grad_enabled()
        and query.requires_grad
    )


def short_attention(query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
    """Causal attention of queries that are the last tokens of their keys.

    Args:
        query: (1, H, n, d).
        key: (1, Hkv, m, d), n <= m; H is a multiple of Hkv.
        value: (1, Hkv, m, d).
        scaling: factor on the products; None for 1/sqrt(d).

    Returns:
        (1, H, n, d). It can be differentiated once.
    """
    scaling = scaling if scaling is not None else query.shape[3] ** -0.5
    result: Tensor = _ShortAttention.apply(query, key, value, scaling)  # type: ignore[no-untyped-call]
    return result


class _ShortAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        new, old = query.shape[2], key.shape[2]
        mask = None if new == old else _hidden(new, old, query.dtype)
        fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        output, norm = fused(query, key, value, 0.0, mask is None, attn_mask=mask, scale=scaling)
        ctx.save_for_backward(query, key, value, output, norm)
        ctx.scaling = scaling
        result: Tensor = output
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, output, norm = ctx.saved_tensors
        _, heads, new, size = query.shape
        groups, old = key.shape[1], key.shape[2]
        # The heads that share a key stand side by side as queries: (Hkv, H/Hkv * n, d) against (Hkv, m, d).
        q, g, o = (tensor.reshape(groups, -1, size) for tensor in (query, gradient, output))
        k, v = key[0], value[0]
        weights = torch.bmm(q.float() * ctx.scaling, k.float().transpose(1, 2))
        weights.sub_(norm.reshape(groups, -1, 1)).exp_()
        weights.view(heads, new, old).masked_fill_(_unseen(new, old), 0.0)  # what is not seen may have overflown
        value_gradient = torch.bmm(weights.to(v.dtype).transpose(1, 2), g)
        scores = torch.bmm(g, v.transpose(1, 2)).float()
        scores.sub_((g.float() * o.float()).sum(-1, keepdim=True)).mul_(weights).mul_(ctx.scaling)
        rounded = scores.to(q.dtype)
        query_gradient = torch.bmm(rounded, k).view(query.shape)
        key_gradient = torch.bmm(rounded.transpose(1, 2), q)
        return query_gradient, key_gradient[None], value_gradient[None], None


@lru_cache(maxsize=256)
def _unseen(new: int, old: int) -> Tensor:
    """True where query i of the last `new` tokens does not see key j of all `old`. (n, m) bool"""
    return torch.ones(new, old, dtype=torch.bool).triu_(old - new + 1)


@lru_cache(maxsize=256)
def _hidden(new: int, old: int, dtype: torch.dtype) -> Tensor:
    """Minus infinity where a query does not see a key, 0 elsewhere. (n, m)"""
    return torch.zeros(new, old, dtype=dtype).masked_fill_(_unseen(new, old), float("-inf"))


def forget_masks() -> None:
    """Drop the masks that are kept between calls; made while torch ran on shapes alone, they have no numbers."""
    _unseen.cache_clear()
    _hidden.cache_clear()
