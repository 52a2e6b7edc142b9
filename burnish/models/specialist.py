"""Specialists on disk: transformers' classifiers of texts and of words and its readers of answers, and back.

    kind        class                                     reads
    classify    AutoModelForSequenceClassification        a class for the whole row
    tag         AutoModelForTokenClassification           a class for each token
    answer      AutoModelForQuestionAnswering             where an answer begins and ends

A specialist starts from a language model or an encoder, whose weights it takes over, and gets a fresh head that is a
function of the seed; or from a specialist of the same kind, which it goes on from, classes included. What is saved is
read back and compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from burnish.errors import ModelError
from burnish.models.heads import SPREAD
from burnish.models.load import (
    Source,
    load_config,
    load_model,
    read_base,
    read_model,
    source_of,
)
from burnish.models.save import SaveDtype, written_model
from burnish.models.untrained import made
from burnish.numerics import generator_from
from burnish.text.borders import Side

Kind = Literal["classify", "tag", "answer"]

_CLASSES: Mapping[Kind, tuple[Any, str]] = {
    "classify": (AutoModelForSequenceClassification, "ForSequenceClassification"),
    "tag": (AutoModelForTokenClassification, "ForTokenClassification"),
    "answer": (AutoModelForQuestionAnswering, "ForQuestionAnswering"),
}

TOLERANCE = 1e-3
"""Largest difference of a logit, relative to the largest one (or to 1), between a model and what was saved of it."""


@dataclass(frozen=True, kw_only=True)
class Specialist:
    """A model with its head.

    Attributes:
        model: in float32, in evaluation mode and without gradients.
        head: names of the parameters that are the head's, or that the start model did not bring.
        fresh: those of them whose values are the first ones.
    """

    model: PreTrainedModel
    head: tuple[str, ...]
    fresh: tuple[str, ...]


def side_of(config: PretrainedConfig, *, name: str) -> Side:
    """What kind of model reads the text.

    Raises:
        ModelError: it is neither a language model, an encoder nor a specialist.
    """
    if config.is_encoder_decoder:
        return "encoder_decoder"
    kinds = config.architectures or ()
    if not kinds:  # a GGUF file says its family alone
        return "causal" if _is_causal_family(config) else "encoder"
    if any(kind.endswith(("ForCausalLM", "LMHeadModel")) for kind in kinds):
        return "causal"
    heads = tuple(end for _, end in _CLASSES.values())
    encoders = ("ForMaskedLM", "ForPreTraining", "Model")
    if not kinds[0].endswith((*heads, *encoders)):
        raise ModelError(f"'{name}' is {kinds[0]}; a specialist starts from an encoder such as BERT or a causal model")
    return "causal" if kinds[0].endswith(heads) and _is_causal_family(config) else "encoder"


def _is_causal_family(config: PretrainedConfig) -> bool:
    return config.model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES


def reads_types(config: PretrainedConfig) -> bool:
    """Whether the model tells the two texts of a pair by types."""
    return int(config.to_dict().get("type_vocab_size") or 0) > 1


def classes_of(config: PretrainedConfig, kind: Kind) -> tuple[str, ...] | None:
    """The classes that a model of this kind has learned already; None if it is of another kind."""
    if kind == "answer" or not is_specialist(config, kind) or config.num_labels < 2:
        return None
    return tuple(config.id2label[number] for number in range(config.num_labels))


def is_specialist(config: PretrainedConfig, kind: Kind) -> bool:
    """Whether a model has the head of this kind."""
    return any(one.endswith(_CLASSES[kind][1]) for one in config.architectures or ())


def load_specialist(
    kind: Kind, name: str, *, classes: Sequence[str], tokenizer: PreTrainedTokenizerFast, seed: int
) -> Specialist:
    """Load what a specialist starts from, with its head.

    Args:
        kind: of specialist.
        name: as `load_model` takes it.
        classes: in the order of their numbers; empty for `answer`.
        tokenizer: as `bordered` made it; the embedding gets a row for a padding token that it added.
        seed: of a fresh head.

    Raises:
        ModelError: it cannot be read, transformers has no such specialist of its family, or it lacks weights.
    """
    config = load_config(name)
    grafted = side_of(config, name=name) == "causal" and not is_specialist(config, kind)
    name_classes(config, classes)
    if grafted:
        model, fresh = _around(load_model(name), kind, config)
    else:
        model, fresh = read_base(_CLASSES[kind][0], name, source_of(name), config=config)
    _begin(model, fresh, seed=seed)
    _make_room(model, tokenizer)
    body = f"{model.base_model_prefix}."
    head = tuple(one for one, _ in model.named_parameters() if one in fresh or not one.startswith(body))
    return Specialist(model=model.requires_grad_(False).eval(), head=head, fresh=tuple(fresh))


def name_classes(config: PretrainedConfig, classes: Sequence[str]) -> None:
    """Write the classes into a config, in the order of their numbers, if there are any."""
    if classes:
        config.num_labels = len(classes)
        config.id2label = dict(enumerate(classes))
        config.label2id = {label: number for number, label in enumerate(classes)}


def made_specialist(kind: Kind, config: PretrainedConfig) -> PreTrainedModel:
    """A specialist with random weights.

    Raises:
        ModelError: transformers has none of this family.
    """
    try:
        return made(_CLASSES[kind][0], config)
    except ValueError as error:
        why = str(error).strip().splitlines()[0]
        raise ModelError(f"transformers has no such specialist for {config.model_type}: {why}") from error


def _around(causal: PreTrainedModel, kind: Kind, config: PretrainedConfig) -> tuple[PreTrainedModel, list[str]]:
    """A specialist around the weights of a causal model, which it shares; and the names of the weights it adds."""
    with torch.random.fork_rng(devices=[]):
        model = made_specialist(kind, config)
    model.base_model.load_state_dict(causal.base_model.state_dict(), assign=True)
    body = f"{model.base_model_prefix}."
    return model, [name for name, _ in model.named_parameters() if not name.startswith(body)]


@torch.no_grad()
def _begin(model: PreTrainedModel, fresh: Sequence[str], *, seed: int) -> None:
    """First values of parameters, each drawn from the seed and its name: the map to classes small, so that the first
    loss is close to log C; biases 0, weights of norms 1."""
    parameters = dict(model.named_parameters())
    outputs = {2, model.config.num_labels}
    for name in fresh:
        value = parameters[name]
        if value.ndim < 2:
            value.fill_(0.0 if name.endswith("bias") else 1.0)
            continue
        drawn = torch.randn(value.shape, generator=generator_from(seed, "specialist", name))
        last = value.shape[0] in outputs
        spread = SPREAD / (value.shape[1] + 1) ** 0.5 if last else float(model.config.initializer_range)
        value.copy_(spread * drawn)


def _make_room(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Give the embedding a row of zeros for a padding token that it has no row for."""
    rows = model.get_input_embeddings().weight.shape[0]
    token = tokenizer.pad_token_id
    if token is not None and token >= rows:
        model.resize_token_embeddings(token + 1, mean_resizing=False)
        model.get_input_embeddings().weight.data[rows:] = 0.0
    model.config.pad_token_id = token


def save_specialist(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    *,
    kind: Kind,
    template_hash: str,
    dtype: SaveDtype = "float32",
) -> None:
    """Write `folder` so that transformers loads it without Burnish; read it back and compare.

    Args:
        model: without adapters (merge them first); its weights are turned into `dtype`.
        tokenizer: as `bordered` made it.
        folder: replaced if it exists.
        kind: of specialist.
        template_hash: of the tokenizer's chat text.
        dtype: of the saved weights.

    Raises:
        ModelError: the saved model, read back, gives other logits; nothing is left in `folder` then.
    """
    with written_model(model, tokenizer, folder, template_hash=template_hash, dtype=dtype) as beside:
        found = read_model(_CLASSES[kind][0], beside, Source(beside), dtype=getattr(torch, dtype))
        compare_logits(probe_logits(model), probe_logits(found), str(folder))


def probe_logits(model: PreTrainedModel) -> Tensor:
    """Every logit of a model on a few fixed random tokens, to compare two models. (n,) float32"""
    rows = model.get_input_embeddings().weight.shape[0]
    tokens = torch.randint(0, rows, (1, 12), generator=generator_from("probe_logits"))
    tokens = tokens.to(next(model.parameters()).device)
    decoded = {"decoder_input_ids": tokens} if model.config.is_encoder_decoder else {}
    training = model.training
    model.eval()
    with torch.no_grad():
        out: Any = model(input_ids=tokens, **decoded)
    model.train(training)
    logits = out.logits if "logits" in out else torch.stack([out.start_logits, out.end_logits])
    flat: Tensor = logits.float().flatten().cpu()
    return flat


def compare_logits(expected: Tensor, found: Tensor, what: str) -> None:
    """Refuse a model whose logits are not those of another.

    Raises:
        ModelError: they differ by more than `TOLERANCE`.
    """
    gap = float((expected - found).abs().max())
    if not gap <= TOLERANCE * max(1.0, float(expected.abs().max())):
        raise ModelError(f"the model saved for {what} gives other logits, off by {gap:.2g}")
