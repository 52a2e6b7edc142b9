"""The contract of an objective: a frozen value that is its own config, with a loss of about twenty lines.

An objective sees what the model parts put out for one micro-batch and returns named terms, each a *sum*. What a sum is
divided by, its *weight*, depends on the batch alone, so the trainer counts it over the whole global batch (every
micro-batch, every rank) before the first backward pass:

    gradient = sum over micro-batches of  d(term sum) / (weight counted over the global batch)

Any split of a batch therefore gives the same gradient, and nothing averages averages.

To add a loss: subclass `Objective`, mark it `@settings`, write `weights` and `loss`. See `sft.py` and `dpo.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from burnish.metrics import Metric, Number

Outputs = Mapping[str, Tensor]
"""What the model parts put out, by name: `logp` (N,), `entropy` (N,), `value` (N,), `score` (C,), ..."""

Coupling = Literal["completion", "group"]


@dataclass(frozen=True, kw_only=True)
class Loss:
    """The loss of one micro-batch.

    Attributes:
        terms: a scalar sum per name; the names are those of `Objective.weights`.
        metrics: what to log, with its reduction as a type.
    """

    terms: Mapping[str, Tensor]
    metrics: Mapping[str, Metric] = field(default_factory=dict)


class Objective(ABC):
    """A loss over micro-batches.

    Class attributes:
        coupling: "group" keeps the completions of a prompt in one micro-batch; "completion" lets them be split, the
            prompt then repeated.
    """

    coupling: ClassVar[Coupling] = "completion"

    @property
    def reads(self) -> tuple[str, ...]:
        """Outputs of the model parts that `loss` uses, such as `logp`."""
        return ("logp",)

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns that must be filled before training, such as `reference_logp`."""
        return ()

    def check(self, items: Sequence[Any]) -> None:  # noqa: B027
        """Refuse data that this objective cannot be computed on, before any work.

        Raises:
            DataError: names the example, what was found and what is needed.
        """

    @abstractmethod
    def weights(self, batch: Any) -> Mapping[str, float]:
        """What each term of this micro-batch adds to its divisor; a function of the batch alone."""

    @abstractmethod
    def loss(self, outputs: Outputs, batch: Any, statistics: Mapping[str, Number]) -> Loss:
        """The terms of one micro-batch, as sums."""

    def statistics(self, outputs: Outputs, batch: Any) -> Mapping[str, Metric]:
        """What must be known of the whole global batch first (KTO's KL term, expert loads); computed without gradient.

        An objective that overrides this costs one more forward pass per update.
        """
        return {}

    def penalty(self, parts: Mapping[str, nn.Module]) -> Tensor | None:
        """A term on the parameters themselves, added once per update and not per micro-batch (EWC)."""
        return None

    @property
    def has_statistics(self) -> bool:
        """Whether the pre-pass is needed."""
        return type(self).statistics is not Objective.statistics
