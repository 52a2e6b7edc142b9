"""Tree batches: prompts and completions packed into one row, nothing padded, every prompt once.

    tokens     [p p p p | a a a | b b | q q | c c c c]        T = 15
    positions  [0 1 2 3 | 4 5 6 | 4 5 | 0 1 | 2 3 4 5]
    segments   start, stop, parent: (0,4,-) (4,7,0) (7,9,0) (9,11,-) (11,15,3)
    scored     which hidden state predicts which target, its weight, its completion

A completion attends to its own prompt and to itself; its positions continue from the end of the prompt. The first
token of every completion is predicted by the last hidden state of the prompt, so several scored entries may share one
source. Only tokens with a weight above 0 are scored.

Shape legend, used in names all over the library:

    T tokens in the row     S segments      N scored tokens    C completions    G trees (prompts)
    B rows (padded layout)  L row length    D hidden size      V vocabulary     K completions of one prompt

`Tree` is what sources yield and the planner cuts; `TreeBatch` is one micro-batch as a model sees it. `PaddedRows` is
the same batch with one row per completion, for models whose attention cannot skip between segments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor


class Item(Protocol):
    """What a batch is made of: one example, ready for the model. `Tree` is one; encoder models bring their own."""

    @property
    def id(self) -> str:
        """Names the example in messages."""

    @property
    def num_tokens(self) -> int:
        """Tokens that the model computes for it."""

    def pieces(self) -> Sequence[Self]:
        """The smallest items it may be split into when its objective does not couple them."""

    @classmethod
    def collate(cls, items: Sequence[Self]) -> Batch:
        """One micro-batch of `items`."""


class Batch(Protocol):
    """One micro-batch."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The examples in it."""

    @property
    def num_tokens(self) -> int:
        """Tokens that the model computes for it."""

    def to(self, device: torch.device) -> Self:
        """The same batch on `device`."""


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One completion as tokens.

    Attributes:
        tokens: token ids, the end-of-turn token included.
        weights: loss weight of each token; 0 on tokens that the template supplies and on user turns.
        columns: one number per completion: `rank`, `label` (1 or 0), `score`, `reference_logp`, ...
        token_columns: one number per token: `old_logp`, `advantage`, ...; each as long as `tokens`.
    """

    tokens: Sequence[int]
    weights: Sequence[float]
    columns: Mapping[str, float] = field(default_factory=dict)
    token_columns: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {"weights": len(self.weights)} | {name: len(v) for name, v in self.token_columns.items()}
        for name, length in lengths.items():
            if length != len(self.tokens):
                raise ValueError(f"{name} has {length} entries for {len(self.tokens)} tokens")

    @property
    def num_scored(self) -> int:
        """Tokens with a weight above 0."""
        return sum(1 for weight in self.weights if weight > 0)


@dataclass(frozen=True, kw_only=True)
class Tree:
    """One prompt with its completions as tokens: what sources yield and the planner cuts.

    Attributes:
        id: the example's.
        prompt: token ids; never empty (pretraining text starts with a begin or end token).
        branches: the completions.
        first: number of the first of them in the tree that this one is a piece of. Only the piece that begins with 0
            counts the prompt, where tokens are counted (loads of experts).
    """

    id: str
    prompt: Sequence[int]
    branches: tuple[Branch, ...]
    first: int = 0

    def __post_init__(self) -> None:
        if not self.prompt:
            raise ValueError(f"example '{self.id}' has an empty prompt; begin it with a begin-of-text or end token")

    @property
    def num_tokens(self) -> int:
        """Tokens in the tree layout: the prompt once and every completion."""
        return len(self.prompt) + sum(len(branch.tokens) for branch in self.branches)

    def pieces(self) -> Sequence[Tree]:
        """One tree per completion, each with the whole prompt."""
        return [replace(self, branches=(branch,), first=self.first + n) for n, branch in enumerate(self.branches)]

    @classmethod
    def collate(cls, items: Sequence[Tree]) -> TreeBatch:
        """`pack(items)`."""
        return pack(items)


class Segment(NamedTuple):
    """A run of tokens of the row. `parent` is the index of the prompt's segment, -1 for a prompt."""

    start: int
    stop: int
    parent: int


@dataclass(frozen=True, kw_only=True)
class TreeBatch:
    """A micro-batch of trees in one row.

    Attributes:
        ids: the example of each tree, G of them.
        first: of each tree, the number of its first completion in the tree that it is a piece of.
        tokens_T, positions_T: int64.
        segments: prompts and completions in row order.
        source_N: index into T of the hidden state that predicts `target_N`.
        target_N: the token predicted.
        weight_N: its loss weight, float32.
        completion_N: which completion (0 to C-1) it belongs to, ascending.
        tree_C: which tree each completion belongs to, ascending.
        columns: a float32 tensor of shape (C,) per name.
        token_columns: a float32 tensor of shape (N,) per name.
    """

    ids: tuple[str, ...]
    first: tuple[int, ...]
    tokens_T: Tensor
    positions_T: Tensor
    segments: tuple[Segment, ...]
    source_N: Tensor
    target_N: Tensor
    weight_N: Tensor
    completion_N: Tensor
    tree_C: Tensor
    columns: Mapping[str, Tensor]
    token_columns: Mapping[str, Tensor]

    @property
    def num_tokens(self) -> int:
        """T."""
        return len(self.tokens_T)

    @property
    def num_completions(self) -> int:
        """C."""
        return len(self.tree_C)

    def to(self, device: torch.device) -> TreeBatch:
        """The same batch on `device`."""
        names = ("tokens_T", "positions_T", "source_N", "target_N", "weight_N", "completion_N", "tree_C")
        moved = {name: getattr(self, name).to(device) for name in names}
        columns = {name: column.to(device) for name, column in self.columns.items()}
        token_columns = {name: column.to(device) for name, column in self.token_columns.items()}
        return replace(self, **moved, columns=columns, token_columns=token_columns)

    def sum_C(self, value_N: Tensor) -> Tensor:
        """Sum a value per scored token over each completion. (N,) -> (C,)"""
        return value_N.new_zeros(self.num_completions).index_add(0, self.completion_N, value_N)

    def num_scored_C(self) -> Tensor:
        """Scored tokens of each completion. (C,) float32"""
        return self.sum_C(torch.ones_like(self.weight_N))

    def last_C(self) -> Tensor:
        """Index into T of each completion's last token, the prompt's last where a completion is empty. (C,) int64"""
        filled = [
            segment if segment.stop > segment.start else self.segments[segment.parent]
            for segment in self.segments
            if segment.parent >= 0
        ]
        return torch.tensor([segment.stop - 1 for segment in filled], device=self.tokens_T.device)


def pack(trees: Sequence[Tree]) -> TreeBatch:
    """Lay trees out in one row.

    Raises:
        ValueError: there is no tree, or two completions do not carry the same columns.
    """
    if not trees:
        raise ValueError("a batch needs at least one tree")
    tokens: list[int] = []
    positions: list[int] = []
    segments: list[Segment] = []
    source: list[int] = []
    target: list[int] = []
    weight: list[float] = []
    completion: list[int] = []
    tree_of: list[int] = []
    branches = [branch for tree in trees for branch in tree.branches]
    column_names, token_names = _names(branches)
    token_columns: dict[str, list[float]] = {name: [] for name in token_names}
    for index, tree in enumerate(trees):
        parent, base = len(segments), len(tree.prompt)
        segments.append(Segment(len(tokens), len(tokens) + base, -1))
        tokens.extend(tree.prompt)
        positions.extend(range(base))
        last = len(tokens) - 1
        for branch in tree.branches:
            start = len(tokens)
            segments.append(Segment(start, start + len(branch.tokens), parent))
            tokens.extend(branch.tokens)
            positions.extend(range(base, base + len(branch.tokens)))
            for offset, (token, token_weight) in enumerate(zip(branch.tokens, branch.weights, strict=True)):
                if token_weight > 0:
                    source.append(start + offset - 1 if offset else last)
                    target.append(token)
                    weight.append(token_weight)
                    completion.append(len(tree_of))
                    for name, values in token_columns.items():
                        values.append(branch.token_columns[name][offset])
            tree_of.append(index)
    return TreeBatch(
        ids=tuple(tree.id for tree in trees),
        first=tuple(tree.first for tree in trees),
        tokens_T=torch.tensor(tokens),
        positions_T=torch.tensor(positions),
        segments=tuple(segments),
        source_N=torch.tensor(source, dtype=torch.long),
        target_N=torch.tensor(target, dtype=torch.long),
        weight_N=torch.tensor(weight, dtype=torch.float32),
        completion_N=torch.tensor(completion, dtype=torch.long),
        tree_C=torch.tensor(tree_of, dtype=torch.long),
        columns={n: torch.tensor([b.columns[n] for b in branches], dtype=torch.float32) for n in column_names},
        token_columns={name: torch.tensor(v, dtype=torch.float32) for name, v in token_columns.items()},
    )


def _names(branches: Sequence[Branch]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The column names that all branches share; a name that only some carry is an error."""
    plain = {tuple(sorted(branch.columns)) for branch in branches}
    tokenwise = {tuple(sorted(branch.token_columns)) for branch in branches}
    if len(plain) > 1 or len(tokenwise) > 1:
        raise ValueError(f"the completions of a batch must carry the same columns; found {plain | tokenwise}")
    return (plain.pop() if plain else ()), (tokenwise.pop() if tokenwise else ())


@dataclass(frozen=True, kw_only=True)
class PaddedRows:
    """A tree batch with one row per completion, prompts repeated, padded on the right.

    Attributes:
        tokens_BL, positions_BL: int64; B equals C.
        mask_BL: 1 on tokens, 0 on padding, int64. Made from lengths, never from the padding token.
        source_N: index into the flattened (B*L) hidden states, in the order of the batch's scored entries.
    """

    tokens_BL: Tensor
    positions_BL: Tensor
    mask_BL: Tensor
    source_N: Tensor

    def last_B(self) -> Tensor:
        """Index into the flattened (B*L) hidden states of each row's last token. (B,) int64"""
        rows, width = self.mask_BL.shape
        return torch.arange(rows, device=self.mask_BL.device) * width + self.mask_BL.sum(1) - 1


def padded_rows(batch: TreeBatch, *, padding_token: int) -> PaddedRows:
    """Lay a tree batch out with one row per completion; the scored entries keep their order."""
    children = [segment for segment in batch.segments if segment.parent >= 0]
    prompts = [batch.segments[segment.parent] for segment in children]
    lengths = [p.stop - p.start + c.stop - c.start for p, c in zip(prompts, children, strict=True)]
    rows, width = len(children), max(lengths)
    device = batch.tokens_T.device
    tokens = torch.full((rows, width), padding_token, dtype=torch.long, device=device)
    mask = torch.zeros((rows, width), dtype=torch.long, device=device)
    place_C = torch.empty((rows, 3), dtype=torch.long)  # row offset of the prompt's end, start of the child, prompt end
    for row, (prompt, child) in enumerate(zip(prompts, children, strict=True)):
        base = prompt.stop - prompt.start
        tokens[row, :base] = batch.tokens_T[prompt.start : prompt.stop]
        tokens[row, base : lengths[row]] = batch.tokens_T[child.start : child.stop]
        mask[row, : lengths[row]] = 1
        place_C[row] = torch.tensor([row * width + base, child.start, prompt.stop])
    place_N = place_C.to(device)[batch.completion_N]
    inside = batch.source_N >= place_N[:, 1]
    source = place_N[:, 0] + torch.where(inside, batch.source_N - place_N[:, 1], -1)
    positions = torch.arange(width, device=device).expand(rows, width)
    return PaddedRows(tokens_BL=tokens, positions_BL=positions, mask_BL=mask, source_N=source)
