"""How fast this machine is now: a few matrix products, and a few updates of a slice of the model.

The slice is a model of two layers with the config's widths and random weights, on a few hundred tokens: its speed holds
everything that a product alone leaves out, attention, norms, the softmax, Python. What runs beside on the machine is in
both figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TypeVar

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from burnish.batch import Branch, Item, Tree
from burnish.models.untrained import Make
from burnish.numerics import cast_weights
from burnish.training.rehearsal import shortened

_PRODUCT_SECONDS = 0.5
_LAYERS, _TOKENS = 2, 256

ItemT = TypeVar("ItemT", bound=Item)


def product_rate(rows: int, width: int, inner: int, *, dtype: torch.dtype, device: torch.device) -> float:
    """Operations per second of products (rows, width) with (width, inner)."""
    left = torch.ones(rows, width, dtype=dtype, device=device)
    right = torch.ones(width, inner, dtype=dtype, device=device)
    float((left @ right)[0, 0])  # the first product chooses a kernel
    count, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < _PRODUCT_SECONDS or count < 2:
        float((left @ right)[0, 0])  # waits for the device
        count += 1
    return 2 * rows * width * inner * count / spent


def slice_rate(
    config: PretrainedConfig,
    build: Callable[[PreTrainedModel], nn.Module],
    reads: frozenset[str],
    items: Sequence[Item],
    *,
    flops: Callable[[PreTrainedModel], int],
    make: Make,
    dtype: torch.dtype,
    device: torch.device,
) -> float:
    """Operations per second of forward and backward passes of a slice; the best of two.

    Args:
        config: of the whole model.
        build: the part over a model.
        reads: what is read from it.
        items: one micro-batch, which it is measured on.
        flops: operations of both passes of such a model on them.
        make: a model of a config.
        dtype: of the computation.
        device: where.
    """
    short = shortened(config, _LAYERS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make(short)
    part = build(model).to(device).train()
    cast_weights(model, dtype)
    return flops(model) / min(_seconds(part, items, reads, device) for _ in range(2))


def slice_trees() -> Sequence[Tree]:
    """Trees to measure a slice on."""
    half = _TOKENS // 2
    return [Tree(id="slice", prompt=(0,) * half, branches=(Branch(tokens=(0,) * half, weights=(1.0,) * half),))]


def first_items(items: Sequence[ItemT]) -> Sequence[ItemT]:
    """As many of the items of a micro-batch as have the tokens of a slice, one at least."""
    tokens = list(accumulate(item.num_tokens for item in items))
    return items[: max(1, sum(count <= _TOKENS for count in tokens))]


def _seconds(part: nn.Module, items: Sequence[Item], reads: frozenset[str], device: torch.device) -> float:
    """Of a forward and a backward pass."""
    batch = type(items[0]).collate(items).to(device)
    part.zero_grad()
    start = time.perf_counter()
    outputs = part(batch, reads)
    loss = torch.stack([output.float().sum() for output in outputs.values()]).sum()
    loss.backward()
    float(loss.detach())  # waits for the device
    return time.perf_counter() - start
