"""Tree attention: one function, registered with transformers, that asks a layout who sees whom.

transformers lets a model name its attention function. Ours does nothing but hand queries, keys and values to the
`Layout` that came with the call, so that the same unchanged model runs packed trees (training), prefills and cached
decoding (sampling). A layout arrives as the keyword argument `layout` of the model's forward.

    TreeLayout, K = 2:   keys   p p p | a a | b b
                 query p        x
                       p        x x
                       p        x x x
                       a        x x x   x
                       a        x x x   x x
                       b        x x x         x
                       b        x x x         x x

The prompt and its first completion lie side by side, so they are one causal call; every further completion is one call
with the prompt's keys in front. With K = 1 a tree is a single causal call without any mask.

On the CPU sequences of some length are computed by blocks of queries (blockwise.py). Sliding windows are honoured by
mask, soft caps and attention sinks by `plain_attention`. An argument that we do not know could change the result, so it
is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from burnish.batch import Segment
from burnish.errors import ModelError
from burnish.models.blockwise import block_attention, suits

NAME = "burnish_layout"
"""The name under which the function is registered with transformers."""

_HARMLESS = frozenset(
    {"position_ids", "position_embeddings", "use_cache", "cache_position", "output_attentions", "is_causal"}
    | {"output_hidden_states", "return_dict", "output_router_logits", "num_items_in_batch", "head_mask"}
)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a layer asks of its attention.

    Attributes:
        scaling: factor on query-key products; None for 1/sqrt(head size).
        window: how many tokens back a query sees, itself included; None for all.
        soft_cap: s -> cap * tanh(s / cap) on the scaled products (Gemma 2, section 2); None for none.
        sinks: one logit per head that takes part in the softmax and adds nothing (gpt-oss); None for none.
        dropout: probability of dropping an attention weight.
    """

    scaling: float | None
    window: int | None
    soft_cap: float | None
    sinks: Tensor | None
    dropout: float


class Layout(Protocol):
    """Decides which keys a query sees."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rules: Rules) -> Tensor:
        """Attention of one layer. query (B, H, T, d), key and value (B, Hkv, T, d) -> (B, H, T, d)."""


def layout_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    layout: Layout | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """The attention function as transformers calls it. Returns (B, T, H, d).

    Raises:
        ModelError: the model was called without a layout, with a mask, or with an argument that we do not know.
    """
    unknown = sorted(name for name, value in others.items() if value is not None and name not in _HARMLESS)
    if layout is None or attention_mask is not None or unknown:
        what = "no layout" if layout is None else "a mask" if attention_mask is not None else f"arguments {unknown}"
        raise ModelError(f"{type(module).__name__} calls its attention with {what}; use the padded layout for it")
    layer = module.layer_idx
    if not isinstance(layer, int):
        raise ModelError(f"{type(module).__name__} does not number its layers; use the padded layout for it")
    rules = Rules(scaling=scaling, window=sliding_window, soft_cap=softcap, sinks=s_aux, dropout=dropout)
    return layout.attend(layer, query, key, value, rules).transpose(1, 2), None


ALL_ATTENTION_FUNCTIONS.register(NAME, layout_attention)


@dataclass(frozen=True)
class TreeLayout:
    """Trees packed in one row: a completion sees its own prompt and itself.

    Attributes:
        segments: those of the batch, in row order.
    """

    segments: tuple[Segment, ...]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rules: Rules) -> Tensor:
        """Attention of one layer. query (1, H, T, d), key and value (1, Hkv, T, d) -> (1, H, T, d)."""
        runs = _runs(self.segments)
        lengths = [run.stop - run.start for run in runs]
        queries, keys, values = (torch.split(tensor, lengths, dim=2) for tensor in (query, key, value))
        outputs = []
        for run, own_query, own_key, own_value in zip(runs, queries, keys, values, strict=True):
            if run.root >= 0:
                prompt_key = keys[run.root][:, :, : run.prefix]
                prompt_value = values[run.root][:, :, : run.prefix]
                own_key = torch.cat([prompt_key, own_key], dim=2)
                own_value = torch.cat([prompt_value, own_value], dim=2)
            outputs.append(causal_attention(own_query, own_key, own_value, rules))
        return torch.cat(outputs, dim=2)


@dataclass(frozen=True)
class _Run:
    """Neighbouring segments that one causal call covers. `root` is the run that holds the prompt, -1 if it is this."""

    start: int
    stop: int
    root: int
    prefix: int


def _runs(segments: Sequence[Segment]) -> list[_Run]:
    runs: list[_Run] = []
    home: dict[int, int] = {}  # prompt segment -> the run that begins with it
    for index, segment in enumerate(segments):
        if segment.start == segment.stop:
            continue  # the fused kernel divides by the number of queries
        if segment.parent < 0:
            home[index] = len(runs)
            runs.append(_Run(segment.start, segment.stop, -1, 0))
        elif segment.parent == index - 1:
            runs[-1] = _Run(runs[-1].start, segment.stop, -1, 0)
        else:
            prompt = segments[segment.parent]
            runs.append(_Run(segment.start, segment.stop, home[segment.parent], prompt.stop - prompt.start))
    return runs


def causal_attention(query: Tensor, key: Tensor, value: Tensor, rules: Rules) -> Tensor:
    """Queries that are the last tokens of their keys. query (B, H, n, d), key (B, Hkv, m, d), n <= m."""
    new, old = query.shape[2], key.shape[2]
    windowed = rules.window is not None and old > rules.window
    plain = not windowed and rules.soft_cap is None and rules.sinks is None
    if plain and rules.dropout == 0 and suits(query):
        return block_attention(query, key, value, rules.scaling)
    if plain and new == old:
        return sdpa(query, key, value, None, rules, is_causal=new > 1)
    return attention(query, key, value, causal_mask(new, old, rules.window, query.device), rules)


def causal_mask(new: int, old: int, window: int | None, device: torch.device) -> Tensor:
    """True where query i of the last `new` tokens sees key j of all `old`. (new, old) bool"""
    age = torch.arange(old - new, old, device=device)[:, None] - torch.arange(old, device=device)[None, :]
    return (age >= 0) if window is None else (age >= 0) & (age < window)


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, rules: Rules) -> Tensor:
    """Attention under a boolean mask, by the fast kernel where the rules allow it."""
    if rules.soft_cap is None and rules.sinks is None:
        return sdpa(query, key, value, mask, rules, is_causal=False)
    return plain_attention(query, key, value, mask, rules)


def sdpa(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, rules: Rules, *, is_causal: bool) -> Tensor:
    """torch's fused kernel; key and value heads are shared by groups of query heads."""
    return functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=rules.dropout,
        is_causal=is_causal,
        scale=rules.scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def plain_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, rules: Rules) -> Tensor:
    """The definition, with soft cap and sinks; softmax in float32."""
    groups = query.shape[1] // key.shape[1]
    key, value = (tensor.repeat_interleave(groups, dim=1) for tensor in (key, value))
    scaling = rules.scaling if rules.scaling is not None else query.shape[-1] ** -0.5
    scores = (query @ key.transpose(2, 3)).float() * scaling
    if rules.soft_cap is not None:
        scores = rules.soft_cap * torch.tanh(scores / rules.soft_cap)
    scores = scores.masked_fill(~mask, float("-inf"))
    if rules.sinks is not None:
        sink = rules.sinks.float().reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        scores = torch.cat([scores, sink], dim=-1)
    weights = functional.softmax(scores, dim=-1)
    if rules.sinks is not None:
        weights = weights[..., :-1]
    weights = functional.dropout(weights, rules.dropout)
    return weights.to(value.dtype) @ value
