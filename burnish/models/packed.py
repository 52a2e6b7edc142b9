"""Linear layers whose weights stand in the order of the matrix-product kernel, for sampling on a CPU in bf16.

oneDNN multiplies with weights in blocks of its own. Given plain weights it makes the blocks anew in every call, which
is nothing beside a thousand rows and a third of the work beside thirty. So while rows are decoded, each layer holds a
second copy of its weights that was put in order once:

    SmolLM2-135M, 32 rows, two cores     one layer 874 to 583 us, output head 5.8 to 3.3 ms (docs/log.md)

Products differ from the plain ones in the order of their sums, as bf16 products of other shapes do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

MOST_ROWS = 256
"""Rows beyond which making the blocks costs nothing that could be measured."""


@contextmanager
def packed(model: nn.Module, rows: int) -> Iterator[None]:
    """Run the linear layers of a model from ordered copies of their weights, and without them afterwards.

    Nothing happens where it would not help: on another device, in another dtype, without oneDNN's bf16 products, or for
    weights that are divided among processes. The weights must not change meanwhile; they are read at the beginning.

    Args:
        model: its `nn.Linear` layers are changed, not their subclasses.
        rows: how many are computed at a time, mostly.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear) and _suits(layer)]
    if layers and not _kernel_is_there():
        layers = []
    try:
        for layer in layers:
            layer.forward = _Packed(layer, rows)  # type: ignore[assignment]
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)


def _kernel_is_there() -> bool:
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _suits(layer: nn.Linear) -> bool:
    """Whether a layer is plain, on the CPU, in bf16."""
    if type(layer) is not nn.Linear or "forward" in layer.__dict__:
        return False
    weight = layer.weight
    return type(weight) is nn.Parameter and weight.device.type == "cpu" and weight.dtype == torch.bfloat16


class _Packed:
    """What stands in for a layer's forward."""

    def __init__(self, layer: nn.Linear, rows: int) -> None:
        self.layer = layer
        self.weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), min(rows, MOST_ROWS))

    def __call__(self, hidden: Tensor) -> Tensor:
        if hidden.numel() // hidden.shape[-1] > MOST_ROWS:
            return functional.linear(hidden, self.layer.weight, self.layer.bias)
        result: Tensor = torch.ops.mkldnn._linear_pointwise(hidden, self.weight, self.layer.bias, "none", [], "")
        return result
