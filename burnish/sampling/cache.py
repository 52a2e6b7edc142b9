"""A preallocated cache of keys and values, and the two layouts that fill and read it.

Every layer has one tensor of keys and one of values, (R, Hkv, L, d), made once. A row holds one sequence, left-aligned;
its tokens stand at 0 .. length - 1, whatever the other rows hold, so sequences enter and leave at any time.

    Prefill   prompts lie side by side in one row of tokens; each is computed once, and its keys and values are copied
              to the rows of all its samples
    Decode    one new token per row, written at the row's length; a row sees its own tokens

With one query per row, the query heads that share a key head are put in the place of query tokens, so keys and values
are never repeated for them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from burnish.models.attention import Rules, attention, causal_attention


class Cache:
    """Keys and values of all layers.

    Args:
        num_rows: sequences at a time, R.
        row_tokens: longest sequence, L.
    """

    def __init__(self, num_rows: int, row_tokens: int) -> None:
        self.num_rows = num_rows
        self.row_tokens = row_tokens
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def layer(self, index: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer, made at the first use. Each (R, Hkv, L, d)"""
        if index not in self._layers:
            shape = (self.num_rows, like.shape[1], self.row_tokens, like.shape[3])
            # Zeros, because unwritten places are read under a mask and NaN times 0 is NaN.
            self._layers[index] = (like.new_zeros(shape), like.new_zeros(shape))
        return self._layers[index]

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows but these, which become 0, 1, ... in this order."""
        index = torch.tensor(rows)
        self._layers = {
            layer: (keys[index.to(keys.device)], values[index.to(keys.device)])
            for layer, (keys, values) in self._layers.items()
        }
        self.num_rows = len(rows)


class Prefill:
    """Computes prompts that lie side by side and copies them to rows of the cache.

    Args:
        cache: is filled.
        lengths: tokens of each prompt, in the order in which they lie.
        rows: the rows of each prompt's samples.
    """

    def __init__(self, cache: Cache, lengths: Sequence[int], rows: Sequence[Sequence[int]]) -> None:
        self.cache = cache
        self.lengths = list(lengths)
        self.rows = [torch.tensor(row) for row in rows]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rules: Rules) -> Tensor:
        """Attention of one layer. query (1, H, T, d), key and value (1, Hkv, T, d) -> (1, H, T, d)."""
        keys, values = self.cache.layer(layer, key)
        outputs = []
        pieces = (torch.split(tensor, self.lengths, dim=2) for tensor in (query, key, value))
        for rows, own_query, own_key, own_value in zip(self.rows, *pieces, strict=True):
            length = own_key.shape[2]
            keys[rows, :, :length] = own_key
            values[rows, :, :length] = own_value
            outputs.append(causal_attention(own_query, own_key, own_value, rules))
        return torch.cat(outputs, dim=2)


class Decode:
    """One new token per row.

    Args:
        cache: is read and extended.
        lengths: (R,) tokens that each row holds before the new one.
    """

    def __init__(self, cache: Cache, lengths: Tensor) -> None:
        self.cache = cache
        self.lengths = lengths
        self.rows = torch.arange(len(lengths), device=lengths.device)
        self.width = int(lengths.max()) + 1
        self.age = lengths[:, None] - torch.arange(self.width, device=lengths.device)
        self._masks: dict[int | None, Tensor] = {}

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rules: Rules) -> Tensor:
        """Attention of one layer. query (R, H, 1, d), key and value (R, Hkv, 1, d) -> (R, H, 1, d)."""
        keys, values = self.cache.layer(layer, key)
        keys[self.rows, :, self.lengths] = key[:, :, 0]
        values[self.rows, :, self.lengths] = value[:, :, 0]
        keys, values = keys[:, :, : self.width], values[:, :, : self.width]
        if rules.sinks is not None:
            return attention(query, keys, values, self._mask(rules.window), rules)
        grouped = query.reshape(query.shape[0], key.shape[1], -1, query.shape[3])
        return attention(grouped, keys, values, self._mask(rules.window), rules).reshape(query.shape)

    def _mask(self, window: int | None) -> Tensor:
        """(R, 1, 1, width) bool"""
        if window not in self._masks:
            seen = self.age >= 0 if window is None else (self.age >= 0) & (self.age < window)
            self._masks[window] = seen[:, None, None, :]
        return self._masks[window]
