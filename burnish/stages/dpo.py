"""`burnish dpo`: align a model with preference pairs, measured from where it started."""

from __future__ import annotations

from typing import ClassVar

from burnish.config import setting, settings
from burnish.objectives.dpo import DPO
from burnish.objectives.objective import Objective
from burnish.stages.training import TrainingStage


@settings
class DPOStage(TrainingStage):
    """Train on pairs of a chosen and a rejected answer; the reference is the model that the run starts from."""

    verb: ClassVar[str] = "dpo"

    objective: DPO = setting(DPO(), "the loss")

    def goal(self) -> Objective:
        """DPO as set."""
        return self.objective
