"""`burnish reward`: train a reward model on preferences, from a model that was fine-tuned on demonstrations.

The result is a sequence classifier that transformers loads; `model/` holds it, with one head per member of an ensemble.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from transformers import PreTrainedModel

from burnish.config import setting, settings
from burnish.models.adapters import merged
from burnish.models.classifier import save_reward_model
from burnish.models.lora import Dora, Lora
from burnish.models.score import ScoreModel, score_model
from burnish.models.wrapped import is_wrapped
from burnish.objectives.objective import Objective
from burnish.objectives.reward import BradleyTerry
from burnish.stages.prepare import Prepared
from burnish.stages.start import Module, Start
from burnish.stages.training import TrainingStage


@settings
class RewardStage(TrainingStage):
    """Train on pairs or rankings: a score of each answer, read at its last token."""

    verb: ClassVar[str] = "reward"
    main: ClassVar[str] = "scorer"

    adapter: Lora | Dora | None = setting(
        None, "train an adapter in place of all weights; one that merges, as the result is one classifier", usual="lora"
    )
    heads: int = setting(1, "scores of each answer; more than one are an ensemble on one model", ge=1)
    objective: BradleyTerry = setting(BradleyTerry(), "the loss")

    def goal(self) -> Objective:
        """Bradley-Terry as set."""
        return self.objective

    def module(self, model: PreTrainedModel) -> Module:
        """The model with fresh heads, which stay float32."""
        return score_model(model, heads=self.heads, layout=self.train.layout, seed=self.seed)

    def save(self, trained: Start, prepared: Prepared, folder: Path) -> None:
        """The classifier, an adapter merged into it."""
        assert isinstance(trained.module, ScoreModel)
        if is_wrapped(trained.model):
            merged(trained.model)  # in place
        save_reward_model(
            trained.module,
            prepared.tokenizer,
            folder,
            template_hash=prepared.template_hash,
            dtype=self.save_dtype,
        )
