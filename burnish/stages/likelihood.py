"""What the verbs share that train by the likelihood of text: where a mixture of experts learns to spread its tokens.

Its gates are noisy and the terms of balance are added (`burnish.objectives.balance`). Every other verb runs a mixture
as it is evaluated, without noise: log-ratios to a reference must compare one and the same function.
"""

from __future__ import annotations

from transformers import PretrainedConfig, PreTrainedModel

from burnish.batch import Tree
from burnish.config import settings
from burnish.models.routed import ROUND, is_routed, routed_language_model
from burnish.objectives.balance import Balanced, balanced
from burnish.objectives.objective import Objective
from burnish.stages.policy import PolicyStage
from burnish.stages.start import Module
from burnish.store import Code
from burnish.training.numbered import Numbered
from burnish.training.source import Source


@settings
class LikelihoodStage(PolicyStage):
    """The fields of every verb that trains by likelihood."""

    def goal_over(self, config: PretrainedConfig) -> Objective:
        """The goal, balanced over the experts if there are some."""
        return balanced(self.goal(), config)

    def module(self, model: PreTrainedModel) -> Module:
        """The language model itself, with noisy gates if it has gates."""
        if is_routed(model.config):
            return routed_language_model(model, layout=self.train.layout, seed=self.seed)
        return super().module(model)

    def fed(self, source: Source[Tree], config: PretrainedConfig) -> Source[Tree]:
        """The batches, numbered for the noise of the gates."""
        return Numbered(source, ROUND) if is_routed(config) else source

    def code(self) -> tuple[Code, ...]:
        """The terms of balance belong to the identity of the run."""
        return (*super().code(), Balanced)
