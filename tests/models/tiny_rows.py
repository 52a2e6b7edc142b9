"""Tiny encoders, encoder-decoders and specialists of random weights, and padded rows for them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    T5Config,
)

from burnish.models.corrupted import Corrupted
from burnish.models.denoiser import Denoiser
from burnish.models.labelled import Labelled, Spanned
from burnish.models.labeller import Labeller, SpanReader
from burnish.models.untrained import made

_COMMON = {"vocab_size": 97, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_WIDE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}

CONFIGS: dict[str, PretrainedConfig] = {
    "bert": BertConfig(**_COMMON, **_WIDE, max_position_embeddings=64),
    "llama": LlamaConfig(**_COMMON, **_WIDE, num_key_value_heads=2),
    "t5": T5Config(
        **_COMMON,
        d_model=32,
        d_kv=16,
        d_ff=48,
        num_heads=4,
        num_layers=3,
        num_decoder_layers=5,
        feed_forward_proj="gated-gelu",
        decoder_start_token_id=0,
    ),
}
"""By family. The heads of this T5 are together twice as wide as its states, and its decoder is the deeper one."""


@dataclass(frozen=True)
class Kind:
    """A kind of model that reads rows: what makes it, what is trained over it, and a micro-batch for it."""

    family: str
    auto: Any
    part: Callable[[PreTrainedModel], nn.Module]
    reads: frozenset[str]
    items: tuple[Any, ...]
    pooled: bool = False

    @property
    def predicts(self) -> bool:
        """Whether the head over the vocabulary runs."""
        return "logp" in self.reads

    def make(self, config: PretrainedConfig) -> PreTrainedModel:
        """A model of a config."""
        return made(self.auto, config)

    @property
    def config(self) -> PretrainedConfig:
        """Of the family; a reader of answers has two borders in place of three classes."""
        found = copy.deepcopy(CONFIGS[self.family])
        found.num_labels = 2 if self.auto is AutoModelForQuestionAnswering else 3
        return found

    def model(self) -> PreTrainedModel:
        """The model with weights that are the same at every call."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.make(self.config)


def _tokens(count: int) -> tuple[int, ...]:
    return tuple(3 + (7 * place) % 90 for place in range(count))


def _masked(count: int) -> Corrupted:
    places = tuple(range(1, count, 3))
    targets = _tokens(len(places))
    return Corrupted(
        id=str(count), tokens=_tokens(count), decoder=None, places=places, targets=targets, target_bytes=targets
    )


def _spanned(count: int, others: int) -> Corrupted:
    targets = _tokens(others)
    return Corrupted(
        id=f"{count} {others}",
        tokens=_tokens(count),
        decoder=(0, *targets[:-1]),
        places=tuple(range(others)),
        targets=targets,
        target_bytes=targets,
    )


def _text(count: int) -> Labelled:
    return Labelled(id=str(count), tokens=_tokens(count), types=(0,) * count, places=None, targets=(1,), weights=(1.0,))


def _words(count: int) -> Labelled:
    return Labelled(
        id=str(count),
        tokens=_tokens(count),
        types=(0,) * count,
        places=(1, 3),
        targets=(1, 2),
        weights=(1.0, 1.0),
    )


def _answer(count: int) -> Spanned:
    return Spanned(id=str(count), tokens=_tokens(count), types=(0,) * count, first=2, last=3)


_TEXTS, _WORDS = (_text(9), _text(14)), (_words(9), _words(14))
_CLASSES, _BORDERS, _LOGP = frozenset({"class_logps"}), frozenset({"first_logps", "last_logps"}), frozenset({"logp"})
_CLASSIFIER, _TAGGER, _READER = (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoModelForQuestionAnswering,
)

KINDS: dict[str, Kind] = {
    "masked": Kind("bert", AutoModelForMaskedLM, Denoiser, _LOGP, (_masked(9), _masked(14))),
    "spans": Kind("t5", AutoModelForSeq2SeqLM, Denoiser, _LOGP, (_spanned(9, 7), _spanned(14, 5))),
    "classifier": Kind("bert", _CLASSIFIER, Labeller, _CLASSES, _TEXTS, pooled=True),
    "causal classifier": Kind("llama", _CLASSIFIER, Labeller, _CLASSES, _TEXTS),
    "tagger": Kind("bert", _TAGGER, Labeller, _CLASSES, _WORDS),
    "causal tagger": Kind("llama", _TAGGER, Labeller, _CLASSES, _WORDS),
    "reader": Kind("bert", _READER, SpanReader, _BORDERS, (_answer(9), _answer(14))),
}
