"""`burnish sft`: supervised fine-tuning on demonstrations and chats, or training with an objective of your own."""

from __future__ import annotations

from typing import Any, ClassVar

from burnish.config import imported, load, setting, settings
from burnish.errors import ConfigError
from burnish.objectives.objective import Objective
from burnish.objectives.sft import SFT
from burnish.stages.likelihood import LikelihoodStage


@settings
class SFTStage(LikelihoodStage):
    """Fine-tune a model on completions.

    `objective: {use: my_loss.py:MyLoss, ...}` trains with a loss of your own in place of SFT's; its other settings are
    those of your class.
    """

    verb: ClassVar[str] = "sft"

    objective: dict[str, Any] | None = setting(
        None, "a loss of your own: {use: file.py:Class, its settings}; SFT if not given"
    )

    def goal(self) -> Objective:
        """SFT, or the user's own."""
        return own_objective(self.objective) if self.objective else SFT()


def own_objective(values: dict[str, Any]) -> Objective:
    """Build the objective that `values` name.

    Raises:
        ConfigError: there is no such class, or its settings are wrong.
    """
    chosen = dict(values)
    cls = imported(str(chosen.pop("use", "")))
    if not issubclass(cls, Objective):
        raise ConfigError(
            [f"objective.use: {cls.__name__} is no Objective; subclass burnish.objectives.objective.Objective"]
        )
    return load(cls, chosen, source="objective")
