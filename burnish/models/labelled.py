"""Labelled texts as items and batches: what classifiers of texts and of words, and readers of answers, are trained on.

    whole text   tokens [CLS the gem shines SEP]             targets [2]           one target for the row
    words        tokens [CLS Ada Love lace SEP]              places [1 2]          target n is read at place n
    span         tokens [CLS who SEP Ada wrote it SEP]       first 3, last 3       (0, 0) where the row has no answer

Rows are padded on the right and masked by length. B rows, L their length, N targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A row of tokens with targets.

    Attributes:
        id: of the text.
        tokens: special ones included.
        types: 0 for the first text of a pair, 1 for the second.
        places: where each target is read; None if there is one target for the whole row.
        targets: classes by number.
        weights: what each target counts.
    """

    id: str
    tokens: tuple[int, ...]
    types: tuple[int, ...]
    places: tuple[int, ...] | None
    targets: tuple[int, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.tokens) != len(self.types) or len(self.targets) != len(self.weights):
            raise ValueError(f"text '{self.id}': types or weights do not fit tokens or targets")
        if len(self.targets) != (1 if self.places is None else len(self.places)):
            raise ValueError(f"text '{self.id}' has {len(self.targets)} targets; expected one for each place")

    @property
    def num_tokens(self) -> int:
        """Tokens that the model computes."""
        return len(self.tokens)

    def pieces(self) -> Sequence[Labelled]:
        """A row is not split."""
        return [self]

    @classmethod
    def collate(cls, items: Sequence[Labelled]) -> LabelledBatch:
        """One micro-batch.

        Raises:
            ValueError: there is none, or rows and words are mixed.
        """
        if not items or len({item.places is None for item in items}) > 1:
            raise ValueError("a batch needs texts, all with one target for the row or all with places")
        rows = padded_tokens(items)
        width = rows.tokens_BL.shape[1]
        source = [row * width + place for row, item in enumerate(items) for place in item.places or ()]
        return LabelledBatch(
            ids=tuple(item.id for item in items),
            num_tokens=sum(item.num_tokens for item in items),
            rows=rows,
            source_N=None if items[0].places is None else torch.tensor(source, dtype=torch.long),
            target_N=torch.tensor([target for item in items for target in item.targets], dtype=torch.long),
            weight_N=torch.tensor([weight for item in items for weight in item.weights], dtype=torch.float32),
        )


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Padded rows: tokens, types, and 1 where there is no padding; each (B, L) int64."""

    tokens_BL: Tensor
    types_BL: Tensor
    mask_BL: Tensor

    def to(self, device: torch.device) -> Rows:
        """The same rows on `device`."""
        return Rows(
            tokens_BL=self.tokens_BL.to(device), types_BL=self.types_BL.to(device), mask_BL=self.mask_BL.to(device)
        )


@dataclass(frozen=True, kw_only=True)
class LabelledBatch:
    """A micro-batch of labelled texts.

    Attributes:
        ids: of the texts.
        num_tokens: that are no padding.
        rows: what is read.
        source_N: index into the flattened rows where `target_N` is read; None for one target a row.
        target_N: classes.
        weight_N: what each counts, float32.
    """

    ids: tuple[str, ...]
    num_tokens: int
    rows: Rows
    source_N: Tensor | None
    target_N: Tensor
    weight_N: Tensor

    def to(self, device: torch.device) -> LabelledBatch:
        """The same batch on `device`."""
        return replace(
            self,
            rows=self.rows.to(device),
            source_N=None if self.source_N is None else self.source_N.to(device),
            target_N=self.target_N.to(device),
            weight_N=self.weight_N.to(device),
        )


@dataclass(frozen=True, kw_only=True)
class Spanned:
    """A row of tokens with the first and the last token of an answer; both 0 where it has none."""

    id: str
    tokens: tuple[int, ...]
    types: tuple[int, ...]
    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last < len(self.tokens):
            raise ValueError(f"row '{self.id}' has {len(self.tokens)} tokens and a span {self.first} to {self.last}")

    @property
    def num_tokens(self) -> int:
        """Tokens that the model computes."""
        return len(self.tokens)

    def pieces(self) -> Sequence[Spanned]:
        """A row is not split."""
        return [self]

    @classmethod
    def collate(cls, items: Sequence[Spanned]) -> SpannedBatch:
        """One micro-batch.

        Raises:
            ValueError: there is no row.
        """
        if not items:
            raise ValueError("a batch needs at least one row")
        return SpannedBatch(
            ids=tuple(item.id for item in items),
            num_tokens=sum(item.num_tokens for item in items),
            rows=padded_tokens(items),
            first_B=torch.tensor([item.first for item in items], dtype=torch.long),
            last_B=torch.tensor([item.last for item in items], dtype=torch.long),
        )


@dataclass(frozen=True, kw_only=True)
class SpannedBatch:
    """A micro-batch of rows with answers: the first and the last token of each, (B,) int64."""

    ids: tuple[str, ...]
    num_tokens: int
    rows: Rows
    first_B: Tensor
    last_B: Tensor

    def to(self, device: torch.device) -> SpannedBatch:
        """The same batch on `device`."""
        return replace(self, rows=self.rows.to(device), first_B=self.first_B.to(device), last_B=self.last_B.to(device))


class TokenRow(Protocol):
    """What is padded: tokens with their types."""

    @property
    def tokens(self) -> tuple[int, ...]:
        """Special ones included."""

    @property
    def types(self) -> tuple[int, ...]:
        """As many."""


def padded_tokens(items: Sequence[TokenRow]) -> Rows:
    """Tokens and types padded with 0 on the right."""
    width = max(len(item.tokens) for item in items)
    tokens = torch.zeros((len(items), width), dtype=torch.long)
    types, mask = torch.zeros_like(tokens), torch.zeros_like(tokens)
    for row, item in enumerate(items):
        length = len(item.tokens)
        tokens[row, :length] = torch.tensor(item.tokens)
        types[row, :length] = torch.tensor(item.types)
        mask[row, :length] = 1
    return Rows(tokens_BL=tokens, types_BL=types, mask_BL=mask)


def row_cost(items: Sequence[TokenRow]) -> int:
    """Tokens that a micro-batch computes: rows as long as the longest."""
    return len(items) * max((len(item.tokens) for item in items), default=0)
