"""Floating-point operations of matrix products, counted from parameters and tokens.

A product of n rows with an (a, b) matrix takes 2 n a b. With P weights that a token is multiplied with in the layers, a
head of V D, T tokens, N scored ones, A the sum over attention calls of queries times keys and W = layers x heads x head
size, a forward pass takes

    2 P T  +  2 V D N  +  4 A W                          layers, head, scores and their sum of values

(Kaplan et al. 2020, section 2.1, where the head is left out and the context term is 2 L T D; the form of the attention
term is that of Chowdhery et al. 2022, appendix B). What a backward pass adds depends on what is trained:

    layers      4 P T; 2 P T where the weights are frozen (LoRA), as only their inputs get a gradient
    adapters    6 R T with R adapter weights, forward and backward together
    head        4 V D N, 2 V D N where it is frozen (models/chosen.py); 2 V D N more where logits are computed again:
                beyond some tokens at a time, and for entropies and divergences
    attention   10 A W: the weights are computed again (models/blockwise.py); the fused kernel does the same.
                8 A W where they are kept, as under a bias of positions that is learned, which that kernel does not take

With gradient checkpointing the layers' forward pass, adapters and attention included, is computed twice. Elementwise
work is not counted. A includes pairs that a causal mask hides, where the products have them: all in short sequences, in
longer ones those of a block of queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from burnish.batch import Tree
from burnish.models.blockwise import computed_pairs


class Products(Protocol):
    """Matrices that the same tokens are multiplied with: a whole model's (`Parameters`), or some of them (`Stack`)."""

    @property
    def layer_products(self) -> int:
        """Weights of the layers that one token is multiplied with."""

    @property
    def head_products(self) -> int:
        """V D of the output head."""

    @property
    def attention_width(self) -> int:
        """Layers x heads x head size."""


@dataclass(frozen=True, kw_only=True)
class Extent:
    """The size of a batch, or of several together.

    Attributes:
        tokens: that the layers compute.
        scored: that the head computes.
        pairs: queries times keys, summed over attention calls.
    """

    tokens: int
    scored: int
    pairs: int

    def __add__(self, other: Extent) -> Extent:
        """Both together."""
        return Extent(
            tokens=self.tokens + other.tokens, scored=self.scored + other.scored, pairs=self.pairs + other.pairs
        )


def tree_extent(trees: Sequence[Tree]) -> Extent:
    """Of trees in the tree layout: the prompt and its first answer are one attention call, each other answer is one."""
    total = Extent(tokens=0, scored=0, pairs=0)
    for tree in trees:
        prompt, lengths = len(tree.prompt), [len(branch.tokens) for branch in tree.branches]
        first = prompt + (lengths[0] if lengths else 0)
        pairs = computed_pairs(first, first) + sum(computed_pairs(length, prompt + length) for length in lengths[1:])
        scored = sum(branch.num_scored for branch in tree.branches)
        total += Extent(tokens=tree.num_tokens, scored=scored, pairs=pairs)
    return total


def needed_extent(trees: Sequence[Tree]) -> Extent:
    """Of trees without what a causal mask hides: the work that has to be done, whoever does it."""
    total = Extent(tokens=0, scored=0, pairs=0)
    for tree in trees:
        prompt, lengths = len(tree.prompt), [len(branch.tokens) for branch in tree.branches]
        pairs = prompt * (prompt + 1) // 2 + sum(n * prompt + n * (n + 1) // 2 for n in lengths)
        scored = sum(branch.num_scored for branch in tree.branches)
        total += Extent(tokens=tree.num_tokens, scored=scored, pairs=pairs)
    return total


def padded_extent(trees: Sequence[Tree]) -> Extent:
    """Of trees in the padded layout: a row per answer, all as long as the longest."""
    widths = [len(tree.prompt) + len(branch.tokens) for tree in trees for branch in tree.branches]
    width = max(widths, default=0)
    scored = sum(branch.num_scored for tree in trees for branch in tree.branches)
    return Extent(tokens=len(widths) * width, scored=scored, pairs=len(widths) * width**2)


def forward_flops(parameters: Products, extent: Extent, *, head: bool = True, adapter: int = 0) -> int:
    """Of a forward pass.

    Args:
        parameters: of the model.
        extent: of the batch.
        head: whether the output head runs; a reward model or a critic has none of that size.
        adapter: weights of the adapters, 0 without.
    """
    layers = 2 * (parameters.layer_products + adapter) * extent.tokens
    return layers + 4 * extent.pairs * parameters.attention_width + head * 2 * parameters.head_products * extent.scored


def training_flops(
    parameters: Products,
    extent: Extent,
    *,
    head: bool = True,
    adapter: int | None = None,
    twice: bool = False,
    keeps: bool = False,
) -> int:
    """Of a forward and a backward pass.

    Args:
        parameters: of the model.
        extent: of the batch.
        head: as for `forward_flops`.
        adapter: weights of the adapters that tokens are multiplied with, 0 for prompts and prefixes; the model's own
            are frozen then. None trains all weights.
        twice: gradient checkpointing.
        keeps: attention keeps its weights for the backward pass in place of computing them again.
    """
    added, whole = adapter or 0, adapter is None
    forward = forward_flops(parameters, extent, head=head, adapter=added)
    layers = (4 if whole else 2) * parameters.layer_products * extent.tokens + 4 * added * extent.tokens
    again = forward_flops(parameters, extent, head=False, adapter=added) if twice else 0
    output = head * (4 if whole else 2) * parameters.head_products * extent.scored
    attention = (8 if keeps else 10) * extent.pairs * parameters.attention_width
    return forward + layers + again + output + attention
