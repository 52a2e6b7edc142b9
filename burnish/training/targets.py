"""The targets of a batch, whatever kind of model reads it: their log-probs, and others that the model draws.

What a target is goes by the part:

    LanguageModel, Denoiser    a token at a scored place
    Labeller                   the class of a row, or of a word in it
    SpanReader                 the place of an answer's first token, and that of its last
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from burnish.models.denoiser import Denoiser
from burnish.models.labeller import Labeller, SpanReader
from burnish.models.language import LanguageModel, head_of
from burnish.numerics import generator_from

Reader = LanguageModel | Denoiser | Labeller | SpanReader
"""A part whose targets have log-probs."""

_CLASSES = frozenset({"class_logps"})
_BORDERS = frozenset({"first_logps", "last_logps"})


def target_logps(part: Reader, batch: Any) -> Tensor:
    """Log-prob of each target of a batch of the part's kind. (N,) float32"""
    if isinstance(part, Labeller):
        return _chosen(part(batch, _CLASSES)["class_logps"], batch.target_N)
    if isinstance(part, SpanReader):
        found = part(batch, _BORDERS)
        return torch.cat([_chosen(found["first_logps"], batch.first_B), _chosen(found["last_logps"], batch.last_B)])
    logp: Tensor = part(batch, frozenset({"logp"}))["logp"]
    return logp


@torch.no_grad()
def with_drawn_targets(part: Reader, batch: Any, *, seed: int) -> Any:
    """The batch with targets that the model draws, each by itself, behind the text as it is.

    Args:
        part: the model.
        batch: of its kind.
        seed: of the draw, with the ids of the examples.
    """
    generator = generator_from(seed, "fisher", *batch.ids)

    def drawn(probabilities: Tensor) -> Tensor:
        return torch.multinomial(probabilities.cpu(), 1, generator=generator)[:, 0].to(probabilities.device)

    if isinstance(part, Labeller):
        return replace(batch, target_N=drawn(part(batch, _CLASSES)["class_logps"].exp()))
    if isinstance(part, SpanReader):
        found = part(batch, _BORDERS)
        return replace(batch, first_B=drawn(found["first_logps"].exp()), last_B=drawn(found["last_logps"].exp()))
    if isinstance(part, Denoiser):
        hidden, head = part.states(batch)
    else:
        hidden, head = part.hidden(batch), head_of(part.model)
    return replace(batch, target_N=drawn(torch.softmax(head.logits(hidden), dim=-1)))


def _chosen(logps: Tensor, target: Tensor) -> Tensor:
    return logps.gather(1, target[:, None])[:, 0]
