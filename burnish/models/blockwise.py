"""Causal attention on the CPU as matrix products over blocks of queries, forward and backward.

torch's fused kernel for the CPU makes little of the machine's bf16 products: at 210 tokens of SmolLM2-135M the forward
pass below takes half of its time, the backward pass a quarter (docs/log.md). What is kept between the passes is the
queries, keys, values and the output; attention weights are computed again.

    S = scaling Q K'     P = softmax S, over the keys that a query sees     O = P V
    dV = P' dO     dP = dO V'     dS = P (dP - sum over features of dO O)
    dQ = scaling dS K     dK = scaling dS' Q                                       (Dao et al. 2022, appendix B)

A block of queries meets the keys up to its last one alone, so what is hidden costs nothing beyond the block, and
temporary memory is that of a block. S, P and dS are in float32, as in the fused kernel: the products of bf16 queries
and keys are summed in float32 by asking for bf16 products of their float32 copies, which hold the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 256
"""Queries of one product."""

FEWEST = 32
"""Queries below which the fused kernel is the faster one."""

_DTYPES = (torch.bfloat16, torch.float32)


def suits(query: Tensor) -> bool:
    """Whether this way is taken: on the CPU, one sequence at a time, of some length. query (B, H, n, d)."""
    cpu = query.device.type == "cpu" and query.dtype in _DTYPES
    return cpu and query.shape[0] == 1 and query.shape[2] >= FEWEST


def computed_pairs(new: int, old: int) -> int:
    """Queries times keys that are multiplied for `new` queries at the end of `old` keys, hidden ones included."""
    if new < FEWEST:
        return new * old
    return sum((rows.stop - rows.start) * seen for rows, seen in _blocks(new, old))


def block_attention(query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
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
    result: Tensor = _BlockAttention.apply(query, key, value, scaling)  # type: ignore[no-untyped-call]
    return result


class _BlockAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        ctx.scaling = scaling
        groups = key.shape[1]
        output = torch.empty_like(query, memory_format=torch.contiguous_format)
        for rows, seen in _blocks(query.shape[2], key.shape[2]):
            weights = _weights(_grouped(query, rows, groups), key[0, :, :seen], scaling, rows)
            mixed = torch.bmm(weights.to(value.dtype), value[0, :, :seen])
            output[0, :, rows] = mixed.view(query.shape[1], -1, query.shape[3])
        ctx.save_for_backward(query, key, value, output)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, output = ctx.saved_tensors
        groups, old = key.shape[1], key.shape[2]
        by_query = torch.empty_like(query, memory_format=torch.contiguous_format)
        by_key, by_value = (torch.zeros(tensor.shape[1:], dtype=torch.float32) for tensor in (key, value))
        for rows, seen in _blocks(query.shape[2], old):
            q, g, o = (_grouped(tensor, rows, groups) for tensor in (query, gradient, output))
            k, v = key[0, :, :seen], value[0, :, :seen]
            weights = _weights(q, k, ctx.scaling, rows)
            by_value[:, :seen] += torch.bmm(weights.to(v.dtype).transpose(1, 2), g)
            slope = torch.bmm(g, v.transpose(1, 2)).float()
            slope.sub_((g.float() * o.float()).sum(-1, keepdim=True)).mul_(weights).mul_(ctx.scaling)
            rounded = slope.to(q.dtype)
            by_query[0, :, rows] = torch.bmm(rounded, k).view(query.shape[1], -1, query.shape[3])
            by_key[:, :seen] += torch.bmm(rounded.transpose(1, 2), q)
        return by_query, by_key.to(key.dtype)[None], by_value.to(value.dtype)[None], None


def _blocks(new: int, old: int) -> Iterator[tuple[slice, int]]:
    """Blocks of queries, equally long but for the last, and how many keys the last query of each sees."""
    count = max(1, -(-new // BLOCK))
    length = -(-new // count)
    for start in range(0, new, length):
        stop = min(start + length, new)
        yield slice(start, stop), old - new + stop


def _grouped(tensor: Tensor, rows: slice, groups: int) -> Tensor:
    """Of (1, H, n, d): the heads that share a key side by side as queries. (Hkv, H/Hkv * block, d)"""
    return tensor[0, :, rows].reshape(groups, -1, tensor.shape[3])


def _weights(query: Tensor, key: Tensor, scaling: float, rows: slice) -> Tensor:
    """Attention weights of a block whose last query sees all keys. (Hkv, H/Hkv * block, m) float32"""
    with _products_in(query.dtype):
        scores = torch.bmm(query.float(), key.float().transpose(1, 2)).mul_(scaling)
    count, seen = rows.stop - rows.start, key.shape[1]
    scores.view(-1, count, seen)[:, :, seen - count :].add_(_unseen(count))
    return torch.softmax(scores, dim=-1)


@contextmanager
def _products_in(dtype: torch.dtype) -> Iterator[None]:
    """Multiply float32 matrices in bf16, where they hold bf16 numbers; sums stay float32."""
    products = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = products.fp32_precision
    if dtype == torch.bfloat16:
        products.fp32_precision = "bf16"
    try:
        yield
    finally:
        products.fp32_precision = before


@lru_cache(maxsize=256)
def _unseen(count: int) -> Tensor:
    """Minus infinity where query i of a block does not see key j of the same tokens, 0 elsewhere. (n, n)"""
    return torch.full((count, count), float("-inf")).triu_(1)


def forget_masks() -> None:
    """Drop the masks that are kept between calls; made while torch ran on shapes alone, they have no numbers."""
    _unseen.cache_clear()
