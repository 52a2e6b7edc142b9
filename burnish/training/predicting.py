"""What a trained specialist predicts: classes, and answers merged over the windows of their contexts.

An answer is the pair of places, in one window, with the largest

    p_first(i) p_last(j),    i <= j < i + longest,    both in the context

over all windows. Probabilities are over the context and the first token, which stands for "not here". Where there may
be no answer, the empty one is given if "not here" is likelier than that pair in every window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from burnish.batch import Item
from burnish.models.labelled import Labelled, Spanned, row_cost
from burnish.training.labelling import Window
from burnish.training.plan import plan

ItemT = TypeVar("ItemT", bound=Item)


def predicted_classes(part: nn.Module, items: Sequence[Labelled], *, budget: int) -> list[tuple[int, ...]]:
    """The likeliest class of each target of each item."""

    def classes(batch: Any) -> list[int]:
        found: list[int] = part(batch, frozenset({"class_logps"}))["class_logps"].argmax(-1).tolist()
        return found

    found: list[tuple[int, ...]] = [()] * len(items)
    for places in _micro_batches(items, budget, row_cost):
        values = classes(Labelled.collate([items[place] for place in places]).to(_device(part)))
        for place in places:
            count = len(items[place].targets)
            found[place], values = tuple(values[:count]), values[count:]
    return found


def predicted_spans(
    part: nn.Module, windows: Sequence[Sequence[Window]], *, budget: int, longest: int, may_lack: bool
) -> list[tuple[int, int] | None]:
    """The characters of the likeliest answer of each question; None where there is none.

    Args:
        part: provides `first_logps` and `last_logps`.
        windows: of each question.
        budget: tokens that are computed together.
        longest: answer, in tokens.
        may_lack: whether a question may have no answer.
    """
    flat = [(row, window) for row, group in enumerate(windows) for window in group]
    best: list[tuple[float, tuple[int, int] | None]] = [(float("-inf"), None)] * len(windows)
    lacking = [float("inf")] * len(windows)
    items = [window.item for _, window in flat]
    for places in _micro_batches(items, budget, row_cost):
        batch = Spanned.collate([items[place] for place in places]).to(_device(part))
        found = part(batch, frozenset({"first_logps", "last_logps"}))
        for number, place in enumerate(places):
            row, window = flat[place]
            score, span, lack = best_span(found["first_logps"][number], found["last_logps"][number], window, longest)
            best[row] = max(best[row], (score, span), key=lambda one: one[0])
            lacking[row] = min(lacking[row], lack)
    return [None if may_lack and lack > score else span for (score, span), lack in zip(best, lacking, strict=True)]


def best_span(
    first_L: Tensor, last_L: Tensor, window: Window, longest: int
) -> tuple[float, tuple[int, int] | None, float]:
    """The likeliest answer of a window: its log-probability, its characters, and the log-probability of none."""
    length = len(window.starts)
    own = torch.tensor([place == 0 or start >= 0 for place, start in enumerate(window.starts)])
    first, last = (_among(one[:length].cpu().double(), own) for one in (first_L, last_L))
    lack = float(first[0] + last[0])
    both = first[:, None] + last[None, :]
    inside = own.clone()
    inside[0] = False
    allowed = inside[:, None] & inside[None, :]
    allowed &= torch.ones_like(allowed).triu() & torch.ones_like(allowed).tril(longest - 1)
    if not allowed.any():
        return float("-inf"), None, lack
    best = int(both.masked_fill(~allowed, float("-inf")).argmax())
    i, j = divmod(best, length)
    return float(both[i, j]), (window.starts[i], window.stops[j]), lack


def _among(logps: Tensor, own: Tensor) -> Tensor:
    return torch.log_softmax(logps.masked_fill(~own, float("-inf")), dim=-1)


def _micro_batches(items: Sequence[ItemT], budget: int, cost: Callable[[Sequence[ItemT]], int]) -> list[list[int]]:
    """Places of items that run together, as the planner of an update would cut them."""
    numbered = {id(item): place for place, item in enumerate(items)}
    if not items:
        return []
    (micros,) = plan(items, budget=budget, coupling="group", cost=cost)
    return [[numbered[id(item)] for item in micro.items] for micro in micros]


def _device(part: nn.Module) -> torch.device:
    return next(part.parameters()).device
