"""The planner: cuts a global batch into micro-batches by token budget, equally many for every rank.

Sharded forward passes are collective: a rank with fewer micro-batches than the others would make them wait for ever.
So the bins are dealt out evenly, and where they do not come out even, *spare* micro-batches repeat an item and carry no
weight. Every rank computes the same plan from the same global batch, so nothing needs to be sent around.

Items go largest first into the first bin that has room, which is within 11/9 of the fewest bins (Johnson 1973). Room is
what is *filled*: on a CPU a larger micro-batch is no faster once its products are large, and it keeps more activations.
A longer item has a bin of its own, up to the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from burnish.batch import Item, Tree
from burnish.errors import OverBudget
from burnish.objectives.objective import Coupling

ItemT = TypeVar("ItemT", bound=Item)

BUSY = 2**37
"""Multiplications by weights in a micro-batch after which its other costs are small on a CPU: 1,024 tokens of a model
of 134 million weights (docs/log.md)."""

FEWEST = 1024
"""Tokens that are put together however large the model is, if there is room."""


@dataclass(frozen=True)
class MicroBatch(Generic[ItemT]):
    """Items that run together; a spare one carries no weight."""

    items: tuple[ItemT, ...]
    spare: bool = False


def packed_cost(items: Sequence[Item]) -> int:
    """Tokens that the tree layout computes."""
    return sum(item.num_tokens for item in items)


def padded_cost(items: Sequence[Tree]) -> int:
    """Tokens that the padded layout computes: one row per completion, as long as the longest."""
    widths = [len(tree.prompt) + len(branch.tokens) for tree in items for branch in tree.branches]
    return len(widths) * max(widths, default=0)


def ample(num_weights: int, device: torch.device) -> int | None:
    """Tokens up to which a micro-batch is filled where nothing is set; None for the whole budget, on a GPU.

    Args:
        num_weights: of the largest model that trains.
        device: where it trains.
    """
    return max(FEWEST, BUSY // max(num_weights, 1)) if device.type == "cpu" else None


def plan(
    items: Sequence[ItemT],
    *,
    budget: int,
    coupling: Coupling,
    fill: int | None = None,
    ranks: int = 1,
    most_items: int | None = None,
    cost: Callable[[Sequence[ItemT]], int] = packed_cost,
) -> list[list[MicroBatch[ItemT]]]:
    """Cut a global batch.

    Args:
        items: the global batch.
        budget: tokens that one micro-batch may hold.
        fill: tokens up to which items are put together, None for the budget.
        coupling: whether an item may be split into its pieces when it is over the budget.
        ranks: processes that share the work.
        most_items: items that one micro-batch may hold, None for no limit.
        cost: tokens that a group of items takes.

    Returns:
        For each rank its micro-batches, equally many.

    Raises:
        OverBudget: an item that cannot be split needs more than the budget.
    """
    room = min(budget, fill or budget)
    pieces = [piece for item in items for piece in _fitting(item, budget, coupling, cost)]
    order = sorted(range(len(pieces)), key=lambda index: (-pieces[index].num_tokens, index))
    bins: list[list[int]] = []
    for index in order:
        for bin_ in bins:
            full = most_items is not None and len(bin_) >= most_items
            if not full and cost([pieces[i] for i in (*bin_, index)]) <= room:
                bin_.append(index)
                break
        else:
            bins.append([index])
    micros = [MicroBatch(tuple(pieces[i] for i in sorted(bin_))) for bin_ in sorted(bins, key=min)]
    while len(micros) % ranks:
        micros.append(MicroBatch(micros[-1].items, spare=True))
    return [micros[rank::ranks] for rank in range(ranks)]


def _fitting(item: ItemT, budget: int, coupling: Coupling, cost: Callable[[Sequence[ItemT]], int]) -> Sequence[ItemT]:
    if cost([item]) <= budget:
        return [item]
    pieces = item.pieces() if coupling == "completion" else [item]
    for piece in pieces:
        if (need := cost([piece])) > budget:
            kept = "must stay whole" if coupling == "group" else "cannot be split further"
            raise OverBudget(
                f"example '{item.id}' {kept} and has {need} tokens, but a micro-batch may hold {budget}; "
                f"set train.token_budget to {need} or more, or text.max_tokens lower"
            )
    return pieces
