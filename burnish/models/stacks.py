"""The matrices of a model by the tokens that they are multiplied with: what operations on padded rows are counted by.

    tokens     every place of the rows that are read: the layers, and a head that gives every place classes
    cross      the same places once more: keys and values that a decoder takes of them
    decoder    every place of the decoder's rows
    places     where something is predicted: what BERT has between its layers and its output head
    rows       one place of each row: a pooler, and the classes of a text

B rows as long as the longest, L tokens, M of them in the decoder, and N targets:

               matrices multiply    queries times keys    the output head computes
    tokens     B L                  B L L                 -
    cross      B L                  B L M                 -
    decoder    B M                  B M M                 N
    places     N                    -                     N
    rows       B                    -                     -

Trees are counted as one stack of all matrices (flops.py). What further products an attention has beside queries with
keys and weights with values, such as those of DeBERTa's positions, is not counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from transformers import PreTrainedModel

from burnish.models.corrupted import Corrupted
from burnish.models.flops import Extent, Products
from burnish.models.layers import depths_of
from burnish.models.parameters import layer_width, matrices_of, parts_of
from burnish.models.untrained import text_config

Reader = Literal["tokens", "cross", "decoder", "places", "rows"]
"""Which tokens a matrix is multiplied with."""

Extents = Mapping[Reader, Extent]
"""The size of a batch, by reader."""

_CROSS = r"\bEncDecAttention\.(k|v)\b"
_DECODER = r"\bdecoder\.block\b"
_PREDICTED = r"\bcls\.predictions\b"
_LEARNED_POSITIONS = r"\brelative_attention_bias\b"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Matrices that are multiplied with the same tokens.

    Attributes:
        layer_products: weights that one token is multiplied with, those of an adapter left out.
        adapter: weights that train beside those, which are frozen then; None where all train.
        attention_width: L H d of the attention that has its keys here.
        head_products: V D where the output head reads here, else 0.
        keeps: whether the attention keeps its weights for the backward pass.
    """

    layer_products: int
    attention_width: int
    head_products: int = 0
    adapter: int | None = None
    keeps: bool = False


def one_stack(parameters: Products, adapter: int | None) -> dict[Reader, Stack]:
    """All matrices of a causal model together.

    Args:
        parameters: of the model.
        adapter: weights of an adapter that tokens are multiplied with, None where all weights train.
    """
    stack = Stack(
        layer_products=parameters.layer_products,
        attention_width=parameters.attention_width,
        head_products=parameters.head_products,
        adapter=adapter,
    )
    return {"tokens": stack}


def stacks_of(model: PreTrainedModel, *, pooled: bool, predicts: bool, adapted: bool) -> dict[Reader, Stack]:
    """The stacks of a model, which may be on the meta device.

    Args:
        model: whose parameters require gradients where they train; an adapter's layers stand in it.
        pooled: whether its head reads one place of each row.
        predicts: whether the head over the vocabulary runs.
        adapted: whether something trains beside frozen weights.
    """
    parts, learned = parts_of(model), {name: one.requires_grad for name, one in model.named_parameters()}
    plain: dict[Reader, int] = {}
    beside: dict[Reader, int] = {}
    for name, count in matrices_of(model).items():
        reader = _reader(name, head=parts[name] == "head", pooled=pooled)
        into = beside if adapted and learned[name] else plain
        into[reader] = into.get(reader, 0) + count
    keeps = {_reader(name, head=False, pooled=pooled) for name in learned if _keeps(name, learned[name])}
    head, widths = _predicting(plain) if predicts else None, _widths(model)
    return {
        reader: Stack(
            layer_products=plain.get(reader, 0),
            attention_width=widths.get(reader, 0),
            head_products=_head_products(model) if reader == head else 0,
            adapter=beside.get(reader, 0) if adapted else None,
            keeps=reader in keeps,
        )
        for reader in {**plain, **beside}
    }


def _reader(name: str, *, head: bool, pooled: bool) -> Reader:
    """What a parameter is multiplied with, by its name."""
    if head:
        in_rows = pooled or ".pooler." in name
        return "places" if re.search(_PREDICTED, name) else "rows" if in_rows else "tokens"
    if re.search(_CROSS, name):
        return "cross"
    return "decoder" if re.search(_DECODER, name) else "tokens"


def _keeps(name: str, learned: bool) -> bool:
    """Whether a parameter is a bias of positions that trains: torch's fused kernel takes none."""
    return learned and re.search(_LEARNED_POSITIONS, name) is not None


def _predicting(products: Mapping[Reader, int]) -> Reader:
    """What the head over the vocabulary reads."""
    return "decoder" if "decoder" in products else "places" if "places" in products else "tokens"


def _widths(model: PreTrainedModel) -> dict[Reader, int]:
    """L H d of each attention."""
    width, depths = layer_width(model.config), depths_of(model.config)
    found: dict[Reader, int] = {"tokens": depths[0] * width}
    if len(depths) > 1:
        found |= {"cross": depths[1] * width, "decoder": depths[1] * width}
    return found


def _head_products(model: PreTrainedModel) -> int:
    config = text_config(model.config)
    return int(config.vocab_size) * int(config.hidden_size)


def row_extents(items: Sequence[Any]) -> dict[Reader, Extent]:
    """The size of a micro-batch of padded rows.

    Args:
        items: `Corrupted`, `Labelled` or `Spanned`, all of one kind.
    """
    rows, length = len(items), max(len(item.tokens) for item in items)
    tokens = Extent(tokens=rows * length, scored=0, pairs=rows * length**2)
    if not isinstance(items[0], Corrupted):
        return {"tokens": tokens, "rows": Extent(tokens=rows, scored=0, pairs=0)}
    targets = sum(len(item.targets) for item in items)
    if items[0].decoder is None:
        return {"tokens": tokens, "places": Extent(tokens=targets, scored=targets, pairs=0)}
    other = max(len(item.decoder or ()) for item in items)
    return {
        "tokens": tokens,
        "cross": Extent(tokens=rows * length, scored=0, pairs=rows * length * other),
        "decoder": Extent(tokens=rows * other, scored=targets, pairs=rows * other**2),
    }


def together(extents: Iterable[Extents]) -> dict[Reader, Extent]:
    """Several batches as one."""
    total: dict[Reader, Extent] = {}
    for one in extents:
        for reader, extent in one.items():
            total[reader] = total[reader] + extent if reader in total else extent
    return total


def row_tokens(items: Sequence[Any]) -> int:
    """Tokens that a micro-batch of padded rows computes, of encoder and decoder."""
    extents = row_extents(items)
    read = extents["tokens"].tokens
    return read + extents["decoder"].tokens if "decoder" in extents else read
