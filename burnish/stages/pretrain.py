"""`burnish pretrain`: go on training a base model on plain text."""

from __future__ import annotations

from typing import ClassVar

from burnish.config import setting, settings
from burnish.objectives.objective import Objective
from burnish.objectives.sft import CausalLM
from burnish.stages.policy import PolicyStage
from burnish.text.truncate import Truncation


@settings
class PretrainStage(PolicyStage):
    """Train on text outside of any chat template; reports bits per byte."""

    verb: ClassVar[str] = "pretrain"

    text: Truncation = setting(Truncation(longer="windows"), "what happens to long documents")

    def goal(self) -> Objective:
        """Causal language modelling."""
        return CausalLM()
