"""Tree attention on a GPU: one compiled call of FlexAttention per layer, in place of one call per segment.

    block mask, blocks of 4, for a prompt of 6 and completions of 5 and 3:     . nothing seen, left out
                                                                              # all seen, no mask computed
        keys    pppp ppaa aaab bb                                              o the mask decides token by token
        pppp     o    .    .   .
        ppaa     o    o    .   .
        aaab     o    o    o   .
        bb       o    o    o   o

FlexAttention (Dong et al. 2024, https://arxiv.org/abs/2412.05496) visits only the blocks that hold something seen. They
follow from the segments without looking at pairs of tokens, once per batch and window, and all layers share them. A
soft cap changes the scores; sinks scale the output by the share of the softmax that they leave to the keys:

    softmax over keys and sink, without the sink's part  =  softmax over keys * sigmoid(lse - sink)

The backward pass of FlexAttention is for GPUs alone, so the CPU computes by segments (attention.py). So does a GPU
where heads are smaller than the kernels take, where attention weights are dropped at random, and where it is asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from burnish.batch import Segment
from burnish.models.attention import Layout, Rules, TreeLayout

AttentionName = Literal["auto", "segments"]

BLOCK = 128
"""Tokens of a block, as the kernels have it."""

LEAST_HEAD = 16
"""Smallest size of a head that the kernels take; no model of use has smaller ones."""

VARIANTS = 64
"""Kernels that one process may compile: with and without a gradient, a window and a cap, of short and long rows, for
the heads of every model that it runs. Beyond torch's own 8 a run would end."""

_wanted: ContextVar[AttentionName] = ContextVar("attention", default="auto")


@contextmanager
def attention_by(name: AttentionName) -> Iterator[None]:
    """Choose how trees are attended to in the block, in every model: by the device, or by segments anywhere."""
    token = _wanted.set(name)
    try:
        yield
    finally:
        _wanted.reset(token)


def attention_for(device: torch.device) -> tuple[Literal["flex", "segments"], str]:
    """How trees are attended to on a device, and why it is not FlexAttention."""
    if _wanted.get() == "segments":
        return "segments", "asked for"
    if device.type != "cuda":
        return "segments", f"FlexAttention trains on a GPU, and the device is '{device.type}'"
    return "flex", ""


def tree_layout(segments: tuple[Segment, ...], device: torch.device) -> Layout:
    """The layout of trees that lie in one row, for tensors on this device."""
    kind, _ = attention_for(device)
    return FlexLayout(segments, device) if kind == "flex" else TreeLayout(segments)


class FlexLayout:
    """Trees packed in one row: a completion sees its own prompt and itself. Computes what `TreeLayout` does.

    Args:
        segments: those of the batch, in row order.
        device: of the queries, keys and values.
        call: FlexAttention, compiled unless given.
    """

    def __init__(
        self, segments: tuple[Segment, ...], device: torch.device, *, call: Callable[..., Any] | None = None
    ) -> None:
        self.segments = segments
        self._device = device
        self._call = call or _compiled()
        self._masks: dict[int | None, Any] = {}

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rules: Rules) -> Tensor:
        """Attention of one layer. query (1, H, T, d), key and value (1, Hkv, T, d) -> (1, H, T, d)."""
        if rules.dropout > 0 or query.shape[3] < LEAST_HEAD:
            return TreeLayout(self.segments).attend(layer, query, key, value, rules)
        asked = {
            "score_mod": _capped(rules.soft_cap) if rules.soft_cap is not None else None,
            "block_mask": self._mask(rules.window),
            "scale": rules.scaling,
            "enable_gqa": query.shape[1] != key.shape[1],
        }
        if rules.sinks is None:
            output: Tensor = self._call(query, key, value, **asked)
            return output
        from torch.nn.attention.flex_attention import AuxRequest

        output, beside = self._call(query, key, value, **asked, return_aux=AuxRequest(lse=True))
        share = torch.sigmoid(beside.lse - rules.sinks.float().reshape(1, -1, 1))
        return output * share[..., None].to(output.dtype)

    def _mask(self, window: int | None) -> Any:
        """The block mask of all layers with this window, made at the first use."""
        if window not in self._masks:
            self._masks[window] = block_mask(self.segments, window, self._device)
        return self._masks[window]


def block_mask(segments: Sequence[Segment], window: int | None, device: torch.device, *, block: int = BLOCK) -> Any:
    """FlexAttention's block mask of trees in one row.

    Args:
        segments: those of the batch, in row order.
        window: how many tokens back a query sees, itself included; None for all.
        device: where it is used.
        block: tokens of a block.
    """
    from torch.nn.attention.flex_attention import BlockMask

    some, full = seen_blocks(segments, window, block)
    length = segments[-1].stop
    return BlockMask.from_kv_blocks(
        *_ordered(some & ~full),
        *_ordered(full),
        BLOCK_SIZE=block,
        mask_mod=seen_tokens(segments, window, device),
        seq_lengths=(length, length),
    ).to(device)


def seen_tokens(segments: Sequence[Segment], window: int | None, device: torch.device) -> Callable[..., Tensor]:
    """Whether a query sees a key, as FlexAttention asks it: (batch, head, query, key) -> bool."""
    lengths = [segment.stop - segment.start for segment in segments]
    own = np.repeat(np.arange(len(segments)), lengths)
    parents = [segment.parent if segment.parent >= 0 else index for index, segment in enumerate(segments)]
    places = np.concatenate([np.arange(n) + base for n, base in zip(lengths, _bases(segments), strict=True)])
    segment_T, parent_T, place_T = (
        torch.from_numpy(table.astype(np.int32)).to(device) for table in (own, np.repeat(parents, lengths), places)
    )

    def on_path(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        at = segment_T[key]
        return ((at == segment_T[query]) | (at == parent_T[query])) & (key <= query)

    def in_window(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        assert window is not None
        return on_path(batch, head, query, key) & (place_T[query] - place_T[key] < window)

    return on_path if window is None else in_window


def seen_blocks(
    segments: Sequence[Segment], window: int | None, block: int
) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], np.ndarray[Any, np.dtype[np.bool_]]]:
    """Where a block of queries sees something of a block of keys, and where every query there sees every key. (n, n)

    What it says is seen may be more than is (never less), and what it says is full may be less than is.
    """
    count = -(-segments[-1].stop // block)
    some = np.zeros((count, count), dtype=bool)
    full = np.zeros((count, count), dtype=bool)
    limit = window if window is not None else segments[-1].stop
    bases = _bases(segments)
    for segment, base in zip(segments, bases, strict=True):
        if segment.stop == segment.start:
            continue
        queries, firsts, lasts, wholes = _cut(segment, block)
        seen = [segment] if segment.parent < 0 else [segments[segment.parent], segment]
        for keys_of, keys_base in zip(seen, [0, base] if len(seen) == 2 else [base], strict=True):
            keys, key_firsts, key_lasts, key_wholes = _cut(keys_of, block)
            shift = (base - segment.start) - (
                keys_base - keys_of.start
            )  # from distances in the row to those on the path
            nearest = np.maximum(0, firsts[:, None] - key_lasts[None, :] + shift)
            farthest = lasts[:, None] - key_firsts[None, :] + shift
            before = keys[None, :] <= queries[:, None] if keys_of is segment else np.ones_like(nearest, dtype=bool)
            apart = keys[None, :] < queries[:, None] if keys_of is segment else before
            place = np.ix_(queries, keys)
            some[place] |= before & (nearest < limit)
            full[place] |= apart & (farthest < limit) & wholes[:, None] & key_wholes[None, :]
    return some, full


def _bases(segments: Sequence[Segment]) -> list[int]:
    """The position of each segment's first token on its path."""
    prompts = [segments[segment.parent] if segment.parent >= 0 else Segment(0, 0, -1) for segment in segments]
    return [prompt.stop - prompt.start for prompt in prompts]


def _cut(segment: Segment, block: int) -> tuple[np.ndarray[Any, Any], ...]:
    """The blocks that a segment touches: which, its first and last token in each, and whether it fills them."""
    blocks = np.arange(segment.start // block, (segment.stop - 1) // block + 1)
    firsts = np.maximum(segment.start, blocks * block)
    lasts = np.minimum(segment.stop, (blocks + 1) * block) - 1
    return blocks, firsts, lasts, lasts - firsts + 1 == block


def _ordered(dense: np.ndarray[Any, np.dtype[np.bool_]]) -> tuple[Tensor, Tensor]:
    """How many blocks each row has, and which, those first. (1, 1, n) and (1, 1, n, n) int32"""
    order = np.argsort(~dense, axis=1, kind="stable")
    counts, places = (torch.from_numpy(it.astype(np.int32)) for it in (dense.sum(axis=1), order))
    return counts[None, None], places[None, None]


def _capped(cap: float) -> Callable[..., Tensor]:
    """s -> cap * tanh(s / cap), as FlexAttention asks it."""

    def capped(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return cap * torch.tanh(score / cap)

    return capped


@functools.cache
def _compiled(backend: str = "inductor") -> Callable[..., Any]:
    """FlexAttention as kernels; for rows of any length, and never silently as the slow definition."""
    from torch.nn.attention.flex_attention import flex_attention

    compiled: Callable[..., Any] = torch.compile(flex_attention, dynamic=True, fullgraph=True, backend=backend)

    def call(*states: Tensor, **asked: Any) -> Any:
        with torch._dynamo.config.patch(recompile_limit=VARIANTS):
            return compiled(*states, **asked)

    return call
