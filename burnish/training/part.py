"""Parts: the named pieces of a training, and which outputs each of them gives to the objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from burnish.errors import TrainingError
from burnish.objectives.objective import Objective
from burnish.training.optimizer import AdamW


@dataclass(frozen=True, kw_only=True)
class Part:
    """A named piece of the training: a module, and how it is updated.

    Attributes:
        module: called as `module(batch, reads, context)`; has `provides`, the names of the outputs that it can give.
        optimizer: AdamW's numbers for this part; None for those of the run.
        frozen: a part that is only read (a teacher).
        exact: float32 values of the trainable parameters by name, where the module holds rounded ones.
    """

    module: nn.Module
    optimizer: AdamW | None = None
    frozen: bool = False
    exact: Mapping[str, Tensor] | None = None


def reads_of(parts: Mapping[str, Part], objective: Objective) -> dict[str, frozenset[str]]:
    """Which outputs the objective reads from each part.

    Raises:
        TrainingError: an output comes from no part or from two, or a part trains for nothing.
    """
    kind = type(objective).__name__
    found = {name: frozenset(objective.reads) & provided_by(part) for name, part in parts.items()}
    for output in objective.reads:
        givers = [name for name, outputs in found.items() if output in outputs]
        if not givers:
            raise TrainingError(f"{kind} reads '{output}', but no part provides that")
        if len(givers) > 1:
            raise TrainingError(f"{kind} reads '{output}', and more than one part provides it: {', '.join(givers)}")
    for name, part in parts.items():
        if not part.frozen and not found[name]:
            provided = ", ".join(sorted(provided_by(part))) or "nothing"
            raise TrainingError(
                f"the part '{name}' would train for nothing: it provides {provided}, and {kind} reads "
                f"{', '.join(objective.reads)}; set frozen=True or leave the part out"
            )
    return found


def provided_by(part: Part) -> frozenset[str]:
    """Names of the outputs that a part can give."""
    provided = part.module.provides
    if not isinstance(provided, frozenset):
        raise TrainingError(f"{type(part.module).__name__}.provides must be a frozenset of output names")
    return provided


def trainable_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that require a gradient, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
