"""Virtual tokens in front of every prompt: places of the row that hold trained numbers in place of a token.

    tokens      [v v p p p | a a | b b | v v q q | c c]      two virtual tokens, trees of two and of one completion
    positions    0 1 2 3 4   5 6   5 6   0 1 2 3   4 5

Each tree has its own, with its positions behind them, so a tree computes what it would compute alone, and each prompt
of the sampler has its own in the cache. Rows are made longer in front of the model and cut back to their own tokens
behind it: no objective, no index and no length elsewhere knows of them. In the padded layout every row begins with
them.

What stands at the places is for the two kinds to say: embeddings (prompt.py), or keys and values of each layer
(prefix.py).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from burnish.batch import Segment, TreeBatch
from burnish.models.attached import Attached
from burnish.models.attention import Layout

_NAME = "front"
"""Under which it stands in the transformers model."""


class Front(Attached):
    """What stands at the virtual tokens.

    Args:
        length: how many virtual tokens, P.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    @abstractmethod
    def placed(
        self, model: PreTrainedModel, tokens: Tensor, layout: Layout, places: Tensor
    ) -> tuple[Mapping[str, Tensor], Layout]:
        """How a row is given to the model.

        Args:
            model: that it stands in.
            tokens: (1, T), anything at the places.
            layout: of the whole row.
            places: of the virtual tokens, first to last of one tree, then of the next.

        Returns:
            The arguments that name the tokens, and the layout to attend by.
        """

    @abstractmethod
    def row_inputs(self, model: PreTrainedModel, tokens: Tensor, mask: Tensor, positions: Tensor) -> Mapping[str, Any]:
        """How padded rows are given to the model's own attention. (B, L) each

        Args:
            model: that it stands in.
            tokens: without the virtual ones.
            mask: 1 on tokens, 0 on padding.
            positions: those without the virtual tokens.

        Returns:
            The decoder's arguments.
        """

    @property
    @abstractmethod
    def computed_in_rows(self) -> int:
        """How many virtual tokens the layers compute at the beginning of a padded row; in the tree layout all."""

    def rows(self, model: PreTrainedModel, tokens: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """Hidden states of the own tokens of padded rows; the arguments are those of `row_inputs`. (B, L, D)"""
        out: Any = model.get_decoder()(**self.row_inputs(model, tokens, mask, positions), use_cache=False)
        states: Tensor = out.last_hidden_state[:, self.computed_in_rows :]
        return states

    @abstractmethod
    def vectors(self) -> Tensor:
        """What is saved: a row for each virtual token. (P, ...)"""

    def longer(self, mask: Tensor) -> Tensor:
        """The mask of rows that begin with the virtual tokens. (B, L) -> (B, P + L)"""
        return torch.cat([mask.new_ones(len(mask), self.length), mask], dim=1)


def set_front(model: PreTrainedModel, front: Front) -> None:
    """Put virtual tokens in front of every prompt of a model."""
    model.add_module(_NAME, front)


def front_of(model: nn.Module) -> Front | None:
    """What stands in front of every prompt of a model, None if nothing does or it is switched off."""
    front = dict(model.named_children()).get(_NAME)
    return front if isinstance(front, Front) and front.on else None


def num_virtual(model: nn.Module) -> int:
    """How many virtual tokens stand in front of every prompt."""
    front = front_of(model)
    return 0 if front is None else front.length


@dataclass(frozen=True, kw_only=True)
class Fronted:
    """A tree batch with virtual tokens in front of every prompt.

    Attributes:
        tokens_T, positions_T: of the longer row; token 0 at the virtual places.
        segments: those of the batch, prompts with their virtual tokens.
        places: of the virtual tokens, tree by tree.
        own_T: where the batch's own tokens stand.
    """

    tokens_T: Tensor
    positions_T: Tensor
    segments: tuple[Segment, ...]
    places: Tensor
    own_T: Tensor


def fronted(batch: TreeBatch, length: int) -> Fronted:
    """Make room for `length` virtual tokens in front of every prompt."""
    segments: list[Segment] = []
    places: list[int] = []
    own: list[int] = []
    for segment in batch.segments:
        start = segment.start + len(places)
        if segment.parent < 0:
            places.extend(range(start, start + length))
        stop = segment.stop + len(places)
        own.extend(range(stop - (segment.stop - segment.start), stop))
        segments.append(Segment(start, stop, segment.parent))
    device = batch.tokens_T.device
    places_V, own_T = torch.tensor(places, device=device), torch.tensor(own, device=device)
    total = len(places) + len(own)
    trees = len(places) // length
    positions = batch.positions_T.new_zeros(total).index_copy(0, own_T, batch.positions_T + length)
    positions = positions.index_copy(0, places_V, torch.arange(length, device=device).repeat(trees))
    return Fronted(
        tokens_T=batch.tokens_T.new_zeros(total).index_copy(0, own_T, batch.tokens_T),
        positions_T=positions,
        segments=tuple(segments),
        places=places_V,
        own_T=own_T,
    )
