"""Sources decide what the next update trains on: `next(feedback)`, `state()`, `restore(state)`.

A source hears the metrics of the update before (adaptive KL, dynamic sampling) and decides how many updates a rollout
is worth. It is not a generator, because a generator cannot be saved: everything that decides the future is in
`state()`, a plain JSON value, and so in the checkpoint.

`Shuffled` is the source of offline training: batch k is a function of the seed and k alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import torch

from burnish.batch import Item
from burnish.errors import DataError
from burnish.numerics import generator_from

ItemT = TypeVar("ItemT", bound=Item)
ItemT_co = TypeVar("ItemT_co", bound=Item, covariant=True)

Feedback = Mapping[str, float]
"""The metrics of the update before; empty before the first."""


class Source(Protocol[ItemT_co]):
    """Yields global batches."""

    def next(self, feedback: Feedback) -> Sequence[ItemT_co] | None:
        """The next global batch, or None when there is nothing more to train on."""

    def state(self) -> dict[str, Any]:
        """Everything that decides what comes next, as JSON."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""


class Shuffled(Generic[ItemT]):
    """Fixed items in a new order every epoch; the last batch of an epoch may reach into the next one.

    Args:
        items: the data.
        batch_size: items per update.
        seed: of the order.

    Raises:
        DataError: there are no items.
    """

    def __init__(self, items: Sequence[ItemT], *, batch_size: int, seed: int) -> None:
        if not items:
            raise DataError("there is nothing to train on: no example is left after reading and truncation")
        self.items = items
        self.batch_size = batch_size
        self.seed = seed
        self.batch = 0
        self._order: tuple[int, list[int]] = (-1, [])

    def next(self, feedback: Feedback) -> Sequence[ItemT]:
        """Batch k of the run."""
        first = self.batch * self.batch_size
        self.batch += 1
        return [self._item(index) for index in range(first, first + self.batch_size)]

    def state(self) -> dict[str, Any]:
        """The number of the next batch."""
        return {"batch": self.batch}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with the batch of that number."""
        self.batch = int(state["batch"])

    def _item(self, index: int) -> ItemT:
        epoch, place = divmod(index, len(self.items))
        if self._order[0] != epoch:
            generator = generator_from(self.seed, "shuffle", epoch)
            self._order = (epoch, torch.randperm(len(self.items), generator=generator).tolist())
        return self.items[self._order[1][place]]
