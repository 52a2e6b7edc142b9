"""Load and save models that are no causal decoders: masked encoders (BERT) and encoder-decoders (T5).

They have the same folder as any other model here, tokenizer and record included, and what is saved is read back and
compared in the same way.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from burnish.errors import ModelError
from burnish.models.load import load_config, read_model, source_of
from burnish.models.save import SaveDtype, compare_logps, written_model
from burnish.models.untrained import Untrained, made
from burnish.numerics import generator_from

Kind = Literal["masked", "encoder_decoder"]

_CLASSES = {"masked": AutoModelForMaskedLM, "encoder_decoder": AutoModelForSeq2SeqLM}

_MASKED = "ForMaskedLM"


def kind_of_config(config: PretrainedConfig, *, name: str) -> Kind:
    """What a model is.

    Args:
        config: of the model.
        name: as the user wrote it, for the message.

    Raises:
        ModelError: it is neither a masked encoder nor an encoder-decoder.
    """
    if config.is_encoder_decoder:
        return "encoder_decoder"
    if any(architecture.endswith(_MASKED) for architecture in config.architectures or ()):
        return "masked"
    found = ", ".join(config.architectures or ()) or config.model_type
    raise ModelError(
        f"'{name}' is {found}; expected a masked encoder such as BERT, or an encoder-decoder such as T5: "
        "burnish new-model --family bert (or t5) makes one"
    )


def load_bidirectional(name: str, *, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Load a masked encoder or an encoder-decoder, in evaluation mode and without gradients.

    Args:
        name: as `load_model` takes it.
        dtype: of the weights.

    Raises:
        ModelError: it cannot be found or read, its files lack a tensor, or it is another kind of model.
    """
    kind = kind_of_config(load_config(name), name=name)
    return read_model(_CLASSES[kind], name, source_of(name), dtype=dtype)


def untrained_bidirectional(name: str) -> Untrained:
    """What `load_bidirectional` would load, by its config alone.

    Raises:
        ModelError: the config cannot be read, or is that of another kind of model.
    """
    config = load_config(name)
    return Untrained(config=config, make=partial(made, _CLASSES[kind_of_config(config, name=name)]))


def save_bidirectional(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    *,
    template_hash: str,
    dtype: SaveDtype = "float32",
) -> None:
    """Write `folder` as `save_model` does, which says what the arguments are; compare by this model's own forward.

    Raises:
        ModelError: the saved model, read back, differs; nothing is left in `folder` then.
    """
    with written_model(model, tokenizer, folder, template_hash=template_hash, dtype=dtype) as beside:
        found = load_bidirectional(beside, dtype=getattr(torch, dtype))
        compare_logps(probe_logps(model), probe_logps(found), folder)


def probe_logps(model: PreTrainedModel) -> Tensor:
    """Log-probabilities of the whole vocabulary on a few fixed random tokens, to compare two models. (T, V)"""
    vocabulary = model.get_input_embeddings().weight.shape[0]
    tokens = torch.randint(0, vocabulary, (1, 16), generator=generator_from("sample_logps"))
    tokens = tokens.to(next(model.parameters()).device)
    given: dict[str, Any] = {"input_ids": tokens}
    if model.config.is_encoder_decoder:
        given |= {"decoder_input_ids": tokens.flip(1), "use_cache": False}
    training = model.training
    model.eval()
    with torch.no_grad():
        logits: Tensor = model(**given).logits[0].float()
    model.train(training)
    return torch.log_softmax(logits, dim=-1).cpu()
