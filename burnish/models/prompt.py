"""Soft prompts: trained embeddings in front of every prompt, with the whole model frozen (Lester et al. 2021).

    the model reads   [P; E(x)],   P (length, D) trained,   E(x) the embeddings of the text

P begins as embeddings of tokens of the vocabulary, drawn at random, which does better than random numbers on all but
the largest models (section 3.2 there), or as numbers drawn evenly from -0.5 to 0.5 (the paper's other start). Saved, it
is peft's prompt tuning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from burnish.config import setting, settings
from burnish.models.attention import Layout
from burnish.models.front import Front, set_front
from burnish.numerics import generator_from


@settings
class PromptTuning:
    """Trained embeddings in front of every prompt."""

    kind: Literal["prompt"] = setting("prompt", "soft prompts: trained embeddings in front of every prompt")
    length: int = setting(20, "embeddings in front of every prompt", unit="tokens", ge=1)
    start: Literal["vocabulary", "random"] = setting(
        "vocabulary", "they begin as embeddings of tokens drawn at random, or as random numbers"
    )


class Prompt(Front):
    """Embeddings at the virtual tokens.

    Args:
        embeddings: (P, D) float32.
    """

    def __init__(self, embeddings: Tensor) -> None:
        super().__init__(len(embeddings))
        self.embeddings = nn.Parameter(embeddings)

    def placed(
        self, model: PreTrainedModel, tokens: Tensor, layout: Layout, places: Tensor
    ) -> tuple[Mapping[str, Tensor], Layout]:
        """The embeddings of the row, with its own at the places."""
        found: Tensor = model.get_input_embeddings()(tokens)
        own = self.embeddings.to(found.dtype).repeat(len(places) // self.length, 1)
        return {"inputs_embeds": found.index_copy(1, places, own[None])}, layout

    def row_inputs(self, model: PreTrainedModel, tokens: Tensor, mask: Tensor, positions: Tensor) -> Mapping[str, Any]:
        """Rows of embeddings that begin with its own."""
        found: Tensor = model.get_input_embeddings()(tokens)
        own = self.embeddings.to(found.dtype).expand(len(tokens), -1, -1)
        return {
            "inputs_embeds": torch.cat([own, found], dim=1),
            "attention_mask": self.longer(mask),
            "position_ids": torch.arange(self.length + tokens.shape[1], device=tokens.device).expand(len(tokens), -1),
        }

    @property
    def computed_in_rows(self) -> int:
        """All of them."""
        return self.length

    def vectors(self) -> Tensor:
        """The embeddings. (P, D)"""
        return self.embeddings.detach()


def add_prompt(model: PreTrainedModel, tuning: PromptTuning, *, seed: int) -> PreTrainedModel:
    """Put a fresh soft prompt in front of every prompt of `model`; only its embeddings require gradients."""
    model.requires_grad_(False)
    table: Tensor = model.get_input_embeddings().weight.detach()
    generator = generator_from(seed, "prompt")
    if tuning.start == "random":
        embeddings = torch.rand(tuning.length, table.shape[1], generator=generator, device="cpu") - 0.5
    else:
        drawn = torch.randint(0, table.shape[0], (tuning.length,), generator=generator, device="cpu")
        embeddings = table[drawn.to(table.device)].float()
    set_front(model, Prompt(embeddings.to(table.device)))
    return model
