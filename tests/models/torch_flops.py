"""torch's own count of the operations of a part, that of the CPU's fused attention included."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def fused_attention(query, key, value, *args, out_shape=None, **others) -> int:
    """The CPU's fused attention, which torch's counter leaves out: queries times keys, twice."""
    return 4 * query[0] * query[1] * query[2] * key[2] * query[3]


def fused_attention_backward(gradient, query, key, *args, out_shape=None, **others) -> int:
    """Its backward pass, which computes the weights again."""
    return 10 * query[0] * query[1] * query[2] * key[2] * query[3]


def torch_flops(part: nn.Module, batch: Any, reads: frozenset[str], *, backward: bool) -> int:
    """Operations of a forward pass, and of the backward pass of the sum of what it gives if that is asked for."""
    aten = torch.ops.aten
    known = {
        aten._scaled_dot_product_flash_attention_for_cpu: fused_attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: fused_attention_backward,
    }
    with FlopCounterMode(display=False, custom_mapping=known) as counter, torch.set_grad_enabled(backward):
        found = part(batch, reads)
        if backward:
            torch.stack([output.sum() for output in found.values()]).sum().backward()
    return int(counter.get_total_flops())
