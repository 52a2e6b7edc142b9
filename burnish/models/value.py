"""The value parts: tree batches in, a number per scored token out, for critics.

    batch ──► backbone (as in `language.py`) ──► hidden states at `source_N` ──► linear head ──► value

The value of a scored token is an estimate of the return from the state *before* it (the prompt and the completion's
earlier tokens), so it is read where the token is predicted: the first token's at the prompt's last token. No value is
read at padding, and none after a completion's last token, where nothing is left to come.

    ValueModel        a critic with a backbone of its own, from a language model or from a reward model
    PolicyWithValue   policy and critic on one backbone (a shared trunk), computed in one pass

A head that starts at zero says 0 everywhere until it has learned. Values do not depend on what else is in the batch, on
padding, or on the layout; the tests hold it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn
from transformers import PreTrainedModel

from burnish.batch import TreeBatch
from burnish.models.classifier import load_reward_model
from burnish.models.heads import fresh_heads, scalars, zero_head
from burnish.models.language import LanguageModel, LayoutName, check_hidden, check_layouts, checked

HeadStart = Literal["zero", "fresh"]
"""How a value head begins: at zero, or drawn small as the heads of reward models are."""


class ValueModel(nn.Module):
    """A causal language model, or the backbone of a reward model, with a value head as a part of training.

    Args:
        model: a transformers model, adapters injected or not. Its output head is not used.
        layout: as for `LanguageModel`.
        start: of the head.
        seed: of a fresh head.

    Attributes:
        provides: names that `forward` can return.
        layout, reason: the layout that runs, and why it is not the tree.
        language: the backbone.
        head: (1, D) float32. Cast `language` to a compute dtype, not the whole part: the head keeps its precision.

    Raises:
        ModelError: the layout asked for cannot run.
    """

    provides = frozenset({"value"})

    def __init__(
        self, model: PreTrainedModel, *, layout: LayoutName = "auto", start: HeadStart = "zero", seed: int
    ) -> None:
        super().__init__()
        self.language = LanguageModel(model, layout=layout)
        self.layout, self.reason = self.language.layout, self.language.reason
        self.head = _head(model, start, seed)

    def forward(
        self, batch: TreeBatch, reads: frozenset[str], context: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The value before each scored token.

        Args:
            batch: on the device of the model.
            reads: names among `provides`.
            context: outputs of parts that ran before; none is used.

        Returns:
            `value` (N,) float32.
        """
        outputs = {"value": scalars(self.language.hidden(batch), self.head)[:, 0]}
        return {name: outputs[name] for name in reads}


class PolicyWithValue(nn.Module):
    """A causal language model with a value head on the same hidden states, as one part of training.

    The losses of both train the trunk. What samples from the policy takes `language`.

    Args:
        model: as for `LanguageModel`.
        layout: as for `LanguageModel`.
        temperature: divides the logits, not the values.
        start: of the head.
        seed: of a fresh head.

    Attributes:
        provides: `LanguageModel`'s outputs and `value`.
        layout, reason, language, head: as for `ValueModel`.

    Raises:
        ModelError: the layout asked for cannot run.
    """

    provides = LanguageModel.provides | {"value"}

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        layout: LayoutName = "auto",
        temperature: float = 1.0,
        start: HeadStart = "zero",
        seed: int,
    ) -> None:
        super().__init__()
        self.language = LanguageModel(model, layout=layout, temperature=temperature)
        self.layout, self.reason = self.language.layout, self.language.reason
        self.head = _head(model, start, seed)

    def forward(
        self, batch: TreeBatch, reads: frozenset[str], context: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """What is asked for, of each scored token, in one pass of the backbone.

        Args:
            batch: on the device of the model.
            reads: names among `provides`.
            context: as for `LanguageModel.forward`.

        Returns:
            As `LanguageModel.forward`, and `value` (N,) float32.
        """
        outputs = self.language(batch, (reads - {"value"}) | {"hidden"}, context)
        if "value" in reads:
            outputs["value"] = scalars(outputs["hidden"], self.head)[:, 0]
        return {name: outputs[name] for name in reads}


def value_model(
    model: PreTrainedModel, *, layout: LayoutName = "auto", start: HeadStart = "zero", seed: int = 0
) -> ValueModel:
    """A checked critic: the tree layout where it is proven right for this model, else the padded one.

    Args:
        model: with float32 weights, so that the check is sharp.
        layout: "auto" falls back to "padded" and says so in `reason`; a layout asked for by name is kept or refused.
        start: of the head.
        seed: of a fresh head.

    Raises:
        ModelError: the layout asked for is wrong for the model, or even the padded one is.
    """
    return checked(
        lambda name: ValueModel(model, layout=name, start=start, seed=seed), check=_check_values, layout=layout
    )


def value_model_from_reward(source: str, *, layout: LayoutName = "auto") -> ValueModel:
    """A checked critic that begins as a reward model: its backbone and its head.

    Before any training it values the state before a token by the score that the reward model would give to an answer
    that ended there. The backbone is frozen, as `load_model` leaves models, until it gets an adapter
    (`add_lora(part.language.model, ...)`) or is set to train; the head trains.

    Args:
        source: as for `load_reward_model`.
        layout: as for `value_model`.

    Raises:
        ModelError: as for `load_reward_model`, or the values cannot run in the layout asked for.
    """
    reward = load_reward_model(source, layout=layout)

    def build(name: LayoutName) -> ValueModel:
        part = ValueModel(reward.language.model, layout=name, seed=0)
        part.head = reward.head.requires_grad_(True)
        return part.eval()

    return checked(build, check=_check_values, layout=layout)


def policy_with_value(
    model: PreTrainedModel,
    *,
    layout: LayoutName = "auto",
    temperature: float = 1.0,
    start: HeadStart = "zero",
    seed: int = 0,
) -> PolicyWithValue:
    """A checked policy with a value head on its trunk; the arguments and errors are those of `value_model`.

    Args:
        model: with float32 weights and an output head.
        layout: as for `value_model`.
        temperature: divides the logits.
        start: of the head.
        seed: of a fresh head.

    Raises:
        ModelError: the layout asked for is wrong for the model, or even the padded one is.
    """
    return checked(
        lambda name: PolicyWithValue(model, layout=name, temperature=temperature, start=start, seed=seed),
        check=lambda part: check_layouts(part.language),
        layout=layout,
    )


def _check_values(part: ValueModel) -> None:
    """Prove on a few random tokens that values are read from what the model's own forward computes."""
    check_hidden(part.language)


def _head(model: PreTrainedModel, start: HeadStart, seed: int) -> nn.Linear:
    return zero_head(model) if start == "zero" else fresh_heads(model, 1, seed=seed, key="value head")
