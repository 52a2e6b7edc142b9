"""Products of rows with the matrix of the group that they belong to: rows sorted by group, one product per group.

    rows     [a a a | b | c c c c]      weights  A, B, C      result   [a A' ... | b B' | c C' ...]
    ends      3       4   8

How many rows a group has is a number on the device, and to cut by it would make shapes that nobody knows beforehand. So
the product is an operation of its own for torch, which says the shape of its result alone: `burnish plan` rehearses it
without numbers, and any dtype runs. In bf16 on a GPU it is torch's own grouped product, one kernel for all groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def grouped_linear(rows: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
    """Multiply each row with the transposed matrix of its group.

    Args:
        rows: (N, I), those of the first group first.
        weights: (E, O, I). In bf16 on a GPU, I and O are multiples of 8.
        ends: (E,) int32, the number of rows of each group and of those before it.

    Returns:
        (N, O). It can be differentiated once.
    """
    if rows.is_cuda and rows.dtype == torch.bfloat16:
        by_kernel: Tensor = functional.grouped_mm(rows, weights.transpose(1, 2), offs=ends)
        return by_kernel
    by_group: Tensor = torch.ops.burnish.grouped_linear(rows, weights, ends)
    return by_group


def _runs(ends: Tensor) -> Iterator[tuple[int, int, int]]:
    """Groups that have rows: number, first row, last row and one."""
    start = 0
    for number, stop in enumerate(ends.tolist()):
        if stop > start:
            yield number, start, stop
        start = stop


@torch.library.custom_op(
    "burnish::grouped_linear", mutates_args=(), schema="(Tensor rows, Tensor weights, Tensor ends) -> Tensor"
)
def _forward(rows: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
    found = rows.new_empty(rows.shape[0], weights.shape[1])
    for number, start, stop in _runs(ends):
        torch.mm(rows[start:stop], weights[number].T, out=found[start:stop])
    return found


@_forward.register_fake
def _forward_shape(rows: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
    return rows.new_empty(rows.shape[0], weights.shape[1])


@torch.library.custom_op(
    "burnish::grouped_linear_backward",
    mutates_args=(),
    schema="(Tensor gradient, Tensor rows, Tensor weights, Tensor ends) -> (Tensor, Tensor)",
)
def _backward(gradient: Tensor, rows: Tensor, weights: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    by_rows, by_weights = torch.empty_like(rows), torch.zeros_like(weights)
    for number, start, stop in _runs(ends):
        torch.mm(gradient[start:stop], weights[number], out=by_rows[start:stop])
        torch.mm(gradient[start:stop].T, rows[start:stop], out=by_weights[number])
    return by_rows, by_weights


@_backward.register_fake
def _backward_shape(gradient: Tensor, rows: Tensor, weights: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(rows), torch.empty_like(weights)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
    by_rows, by_weights = torch.ops.burnish.grouped_linear_backward(gradient, *ctx.saved_tensors)
    return by_rows, by_weights, None


_forward.register_autograd(_gradients, setup_context=_keep)
