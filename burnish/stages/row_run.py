"""A run on padded rows, as its stage tells it to a plan: what would be trained, on what and how; nothing is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import nn
from transformers import PreTrainedModel

from burnish.batch import Item
from burnish.models.untrained import Untrained
from burnish.objectives.objective import Objective
from burnish.training.source import Source

ItemT = TypeVar("ItemT", bound=Item)


@dataclass(frozen=True, kw_only=True)
class RowRun(Generic[ItemT]):
    """What a stage would run.

    Attributes:
        model: what it starts from.
        part: what is trained over it; called on models without numbers too.
        goal: the objective.
        source: what is trained on.
        steps: updates.
    """

    model: Untrained
    part: Callable[[PreTrainedModel], nn.Module]
    goal: Objective
    source: Source[ItemT]
    steps: int
