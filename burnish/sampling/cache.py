"""The cache of keys and values, where the samples of a prompt share the prompt's, and the two layouts that use it.

    prompts   (S, Hkv, P, d) per layer   each prompt once, however many samples read it
    rows      (R, Hkv, W, d) per layer   what each sample has added to its prompt; P and W grow with what they hold

    Prefill   prompts lie side by side in one row of tokens; each is computed once and written to its slot
    Decode    one new token per row; a row sees its prompt and its own tokens

Attention while decoding has two parts. The queries of all rows of one prompt stand together against the prompt's keys,
which so are read once per group and not once per sample; each row's query stands alone against the row's own keys. Both
parts' scores share one softmax, so the result is that of ordinary attention. Query heads that share a key head stand
together in the same way.

Slots and rows in use are always the first ones, so a step computes nothing for those that are free.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from burnish.models.attention import Rules, causal_attention

WIDTH_STEP = 16
"""Widths are multiples of this, so that many steps have products of the same shape: each new shape costs the product's
library a kernel."""

GROWTH = 1.25
"""How much wider a store becomes when it is full."""


class Store:
    """Keys and values of all layers for some sequences, left-aligned.

    Its tensors are hardly wider than what they hold and are read whole: products of a part of the columns would copy it
    first, in every layer and step.

    Args:
        num_sequences: how many.
        num_tokens: of the longest that there may be.

    Attributes:
        width: tokens of each sequence that there is room for now.
    """

    def __init__(self, num_sequences: int, num_tokens: int) -> None:
        self.num_sequences = num_sequences
        self.num_tokens = num_tokens
        self.width = 0
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def layer(self, index: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer, made at the first use. Each (num_sequences, Hkv, width, d)"""
        if index not in self._layers:
            shape = (self.num_sequences, like.shape[1], self.width, like.shape[3])
            # Zeros, because unwritten places are read under a mask and NaN times 0 is NaN.
            self._layers[index] = (like.new_zeros(shape), like.new_zeros(shape))
        return self._layers[index]

    def reserve(self, num_tokens: int) -> None:
        """Make room for sequences of so many tokens."""
        if num_tokens <= self.width:
            return
        wanted = max(num_tokens, int(GROWTH * self.width))
        self.width = min(-(-wanted // WIDTH_STEP) * WIDTH_STEP, self.num_tokens)
        for index, pair in self._layers.items():
            self._layers[index] = (_widened(pair[0], self.width), _widened(pair[1], self.width))

    def move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Copy sequences to the places of others; no place is both."""
        if sources:
            for tensor in (tensor for pair in self._layers.values() for tensor in pair):
                tensor[list(targets)] = tensor[list(sources)]


def _widened(tensor: Tensor, width: int) -> Tensor:
    """(n, H, w, d) -> (n, H, width, d), with zeros behind."""
    wider = tensor.new_zeros((*tensor.shape[:2], width, tensor.shape[3]))
    wider[:, :, : tensor.shape[2]] = tensor
    return wider


class Cache:
    """What one call of the engine holds: S prompts of at most P tokens, R samples of at most W tokens.

    Attributes:
        prompts, rows: the two stores.
    """

    def __init__(self, *, num_prompts: int, prompt_tokens: int, num_rows: int, row_tokens: int) -> None:
        self.prompts = Store(num_prompts, prompt_tokens)
        self.rows = Store(num_rows, row_tokens)

    @property
    def num_tokens(self) -> int:
        """Tokens that it has room for."""
        stores = (self.prompts, self.rows)
        return sum(store.num_sequences * store.num_tokens for store in stores)


def fitting_cache(
    budget: int, *, prompt_tokens: int, row_tokens: int, num_prompts: int, num_samples: int, max_rows: int
) -> Cache:
    """The cache with the most rows that fit a budget, and with slots enough to keep them busy.

    Rows of one prompt do not end together, so a group that is about to end overlaps with the next: at least one slot
    more than full groups would need, and as many as the budget has left.

    Args:
        budget: tokens over all prompts and rows; holds at least one prompt and one row.
        prompt_tokens: longest prompt.
        row_tokens: longest completion.
        num_prompts: different prompts, at least 1.
        num_samples: of all of them.
        max_rows: samples at a time.
    """
    for num_rows in range(min(max_rows, num_samples), 1, -1):
        useful = min(num_prompts, num_rows)
        least = min(useful, -(-num_rows * num_prompts // num_samples) + 1)
        slots = min(useful, (budget - num_rows * row_tokens) // prompt_tokens)
        if slots >= least:
            return Cache(num_prompts=slots, prompt_tokens=prompt_tokens, num_rows=num_rows, row_tokens=row_tokens)
    return Cache(num_prompts=1, prompt_tokens=prompt_tokens, num_rows=1, row_tokens=row_tokens)


class Prefill:
    """Computes prompts that lie side by side and keeps their keys and values.

    Args:
        cache: is filled.
        lengths: tokens of each prompt, in the order in which they lie.
        first: the first prompt's slot; the others follow it.
    """

    def __init__(self, cache: Cache, lengths: Sequence[int], *, first: int) -> None:
        self.cache = cache
        self.lengths = list(lengths)
        self.first = first
        cache.prompts.reserve(max(lengths))

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rules: Rules) -> Tensor:
        """Attention of one layer. query (1, H, T, d), key and value (1, Hkv, T, d) -> (1, H, T, d)."""
        keys, values = self.cache.prompts.layer(layer, key)
        outputs = []
        pieces = zip(*(torch.split(tensor, self.lengths, dim=2) for tensor in (query, key, value)), strict=True)
        for slot, (own_query, own_key, own_value) in enumerate(pieces, start=self.first):
            keys[slot, :, : own_key.shape[2]] = own_key[0]
            values[slot, :, : own_key.shape[2]] = own_value[0]
            outputs.append(causal_attention(own_query, own_key, own_value, rules))
        return torch.cat(outputs, dim=2)


class Decode:
    """One new token for each of the first rows.

    Args:
        cache: is read and extended.
        slots: where the prompt of each row is, n rows.
        prompt_lengths: tokens of each row's prompt.
        row_lengths: tokens that each row holds before the new one.
        device: of the model.
    """

    def __init__(
        self,
        cache: Cache,
        *,
        slots: Sequence[int],
        prompt_lengths: Sequence[int],
        row_lengths: Sequence[int],
        device: torch.device,
    ) -> None:
        self.cache = cache
        self.num_rows = len(slots)
        self.num_slots = max(slots) + 1
        cache.rows.reserve(max(row_lengths) + 1)
        self.widths = [cache.prompts.width, cache.rows.width]
        self.group, places, fillers = _grid(slots)
        self.in_order = fillers == list(range(self.num_rows))
        self.places, self.fillers = torch.tensor(places, device=device), torch.tensor(fillers, device=device)
        self.lengths = torch.tensor(row_lengths, device=device)
        self._ages = _ages(torch.tensor(prompt_lengths, device=device), self.lengths, self.widths)
        self._biases: dict[int | None, Tensor] = {}
        self._written: dict[int, Tensor] = {}

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rules: Rules) -> Tensor:
        """Attention of one layer. query (n, H, 1, d), key and value (n, Hkv, 1, d) -> (n, H, 1, d)."""
        prompt_keys, prompt_values = (tensor[: self.num_slots] for tensor in self.cache.prompts.layer(layer, key))
        keys, values = self._extended(layer, key, value)
        query_nHrd = query.reshape(self.num_rows, key.shape[1], -1, query.shape[3])
        shared = self._by_row(self._by_prompt(query_nHrd) @ prompt_keys.transpose(2, 3))
        scores = torch.cat([shared, query_nHrd @ keys.transpose(2, 3)], dim=3)
        weights = self._weights(scores, rules, query.shape[3]).to(value.dtype)
        of_prompt, of_row = torch.split(weights, self.widths, dim=3)
        output = self._by_row(self._by_prompt(of_prompt) @ prompt_values) + of_row @ values
        return output.reshape(query.shape)

    def _extended(self, layer: int, key: Tensor, value: Tensor) -> list[Tensor]:
        """The rows' own keys and values with the new ones. Each (n, Hkv, width, d)"""
        tensors = self.cache.rows.layer(layer, key)
        for tensor, new in zip(tensors, (key, value), strict=True):
            tensor.view(-1, new.shape[3]).index_copy_(0, self._places_of(key.shape[1]), new.reshape(-1, new.shape[3]))
        return [tensor[: self.num_rows] for tensor in tensors]

    def _places_of(self, heads: int) -> Tensor:
        """Where the new keys of all rows and heads stand in a layer's tensor, seen as (R*Hkv*width, d). (n*Hkv,)"""
        if heads not in self._written:
            first = torch.arange(self.num_rows * heads, device=self.lengths.device) * self.cache.rows.width
            self._written[heads] = first + self.lengths.repeat_interleave(heads)
        return self._written[heads]

    def _by_prompt(self, rows: Tensor) -> Tensor:
        """Rows of one prompt side by side. (n, H, r, x) -> (S, H, G*r, x)"""
        _, heads, shared, size = rows.shape
        filled = rows if self.in_order else rows[self.fillers]
        grid = filled.reshape(self.num_slots, self.group, heads, shared, size)
        return grid.transpose(1, 2).reshape(self.num_slots, heads, self.group * shared, size)

    def _by_row(self, grouped: Tensor) -> Tensor:
        """What `_by_prompt` did, undone. (S, H, G*r, x) -> (n, H, r, x)"""
        slots, heads, shared, size = grouped.shape
        grid = grouped.view(slots, heads, self.group, shared // self.group, size).transpose(1, 2)
        rows = grid.reshape(slots * self.group, heads, -1, size)
        return rows if self.in_order else rows[self.places]

    def _weights(self, scores: Tensor, rules: Rules, size: int) -> Tensor:
        """Softmax over prompt and own keys together, in float32. (n, Hkv, r, P + W)"""
        scaling = rules.scaling if rules.scaling is not None else size**-0.5
        if rules.soft_cap is not None:
            scores, scaling = rules.soft_cap * torch.tanh(scores.float() * (scaling / rules.soft_cap)), 1.0
        scores = torch.add(self._bias(rules.window), scores, alpha=scaling)
        if rules.sinks is None:
            return torch.softmax(scores, dim=-1)
        sink = rules.sinks.float().reshape(1, *scores.shape[1:3], 1).expand(*scores.shape[:3], 1)
        return torch.softmax(torch.cat([scores, sink], dim=-1), dim=-1)[..., :-1]

    def _bias(self, window: int | None) -> Tensor:
        """Minus infinity where a row does not see a key, 0 elsewhere. (n, 1, 1, P + W) float32"""
        if window not in self._biases:
            unseen = self._ages < 0 if window is None else (self._ages < 0) | (self._ages >= window)
            self._biases[window] = torch.zeros_like(unseen, dtype=torch.float32).masked_fill_(unseen, float("-inf"))
        return self._biases[window][:, None, None, :]


def _grid(slots: Sequence[int]) -> tuple[int, list[int], list[int]]:
    """How rows stand when every prompt has room for as many as the largest group has.

    Returns:
        The size of the largest group, the place of each row, and the row at each place. A place that is left over
        repeats row 0; nothing is read from there.
    """
    groups: list[list[int]] = [[] for _ in range(max(slots) + 1)]
    for row, slot in enumerate(slots):
        groups[slot].append(row)
    size = max(len(group) for group in groups)
    places = [0] * len(slots)
    for slot, group in enumerate(groups):
        for rank, row in enumerate(group):
            places[row] = slot * size + rank
    return size, places, [row for group in groups for row in group + [0] * (size - len(group))]


def _ages(prompts: Tensor, rows: Tensor, widths: Sequence[int]) -> Tensor:
    """How many tokens before the new one each key stands; below 0 where a row has no key. (n, P + W)"""
    places = [torch.arange(width, device=prompts.device) for width in widths]
    of_prompt = (prompts + rows)[:, None] - places[0]
    of_prompt = of_prompt.masked_fill(places[0] >= prompts[:, None], -1)
    return torch.cat([of_prompt, rows[:, None] - places[1]], dim=1)
