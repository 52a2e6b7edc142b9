"""The score part: tree batches in, a number per completion out, for reward models.

    batch ──► backbone (as in `language.py`) ──► hidden state of each completion's last token ──► linear heads ──► score

The last token of an answer is the first that has seen all of it, so one linear map of its hidden state (behind the
model's final norm) is the score (Stiennon et al. 2020, section 3.4). The head has no bias: only differences of scores
are learned, and transformers' sequence classifiers have none either, so that `classifier.py` can export it.

Several heads on one backbone are an ensemble. They see the same data and differ in their start alone: each is drawn
from its own key, because heads that start alike would stay alike.

Scores do not depend on what else is in the batch, on padding, or on the layout; the tests hold it.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from transformers import PreTrainedModel

from burnish.batch import TreeBatch
from burnish.errors import ModelError
from burnish.models.heads import fresh_heads, scalars
from burnish.models.language import LanguageModel, LayoutName, check_last_hidden, checked


class ScoreModel(nn.Module):
    """A causal language model with scalar heads as a part of training.

    Args:
        model: a transformers causal language model, adapters injected or not. Its output head is not used.
        heads: how many scores each completion gets.
        layout: as for `LanguageModel`.
        seed: of the fresh heads.

    Attributes:
        provides: names that `forward` can return.
        layout, reason: the layout that runs, and why it is not the tree.
        language: the backbone.
        head: the heads, (K, D) float32. Cast `language` to a compute dtype, not the whole part: the head is small, and
            keeps its precision.

    Raises:
        ModelError: `heads` is below 1, or the layout asked for cannot run.
    """

    provides = frozenset({"score", "scores"})

    def __init__(self, model: PreTrainedModel, *, heads: int = 1, layout: LayoutName = "auto", seed: int) -> None:
        super().__init__()
        if heads < 1:
            raise ModelError(f"a reward model needs at least 1 head, and {heads} were asked for")
        self.language = LanguageModel(model, layout=layout)
        self.layout, self.reason = self.language.layout, self.language.reason
        self.head = fresh_heads(model, heads, seed=seed, key="score head")

    @property
    def num_heads(self) -> int:
        """K."""
        return self.head.out_features

    def forward(
        self, batch: TreeBatch, reads: frozenset[str], context: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """What is asked for, of each completion.

        Args:
            batch: on the device of the model.
            reads: names among `provides`.
            context: outputs of parts that ran before; none is used.

        Returns:
            float32: `score` (C,) by the first head, `scores` (C, K) by all.
        """
        scores = scalars(self.language.last_hidden(batch), self.head)
        outputs = {"score": scores[:, 0], "scores": scores}
        return {name: outputs[name] for name in reads}


def score_model(model: PreTrainedModel, *, heads: int = 1, layout: LayoutName = "auto", seed: int = 0) -> ScoreModel:
    """A checked part with fresh heads: the tree layout where it is proven right for this model, else the padded one.

    Args:
        model: with float32 weights, so that the check is sharp.
        heads: how many scores each completion gets.
        layout: "auto" falls back to "padded" and says so in `reason`; a layout asked for by name is kept or refused.
        seed: of the fresh heads.

    Raises:
        ModelError: the layout asked for is wrong for the model, or even the padded one is.
    """
    return checked(
        lambda name: ScoreModel(model, heads=heads, layout=name, seed=seed), check=check_scores, layout=layout
    )


def check_scores(part: ScoreModel) -> None:
    """Prove on a few random tokens that scores are read from what the model's own forward computes.

    Raises:
        ModelError: they are not; see `check_last_hidden`.
    """
    check_last_hidden(part.language)
