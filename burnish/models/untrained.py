"""A model by its config alone: with random weights, or on the meta device with none; nothing is read from its files.

Plans and rehearsals make models so, whole or with fewer layers. Dropout is off, as it is in a model that was loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from burnish.models.load import quiet, switch_off_dropout

Make = Callable[[PretrainedConfig], PreTrainedModel]
"""Makes a model of a config with random weights, on the device that is the current one."""


def _none(model: PreTrainedModel) -> Sequence[str]:
    """No parameter."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Untrained:
    """A model that is still to be loaded.

    Attributes:
        config: of the model with its head.
        make: a model of this config, or of the same with fewer layers.
        head: names of the parameters that train whole beside an adapter.
        pooled: whether classes are read at one place of each row and not at every place.
    """

    config: PretrainedConfig
    make: Make
    head: Callable[[PreTrainedModel], Sequence[str]] = _none
    pooled: bool = False


def made(auto: Any, config: PretrainedConfig) -> PreTrainedModel:
    """A model with random weights, in float32 and without dropout.

    Args:
        auto: one of transformers' automatic classes, such as `AutoModelForCausalLM`.
        config: of the model.

    Raises:
        ValueError: the class knows no such config.
    """
    with quiet():
        model: PreTrainedModel = auto.from_config(config, dtype=torch.float32)
    switch_off_dropout(model)
    return model


def causal_model(config: PretrainedConfig) -> PreTrainedModel:
    """A causal language model with random weights."""
    return made(AutoModelForCausalLM, config)


def empty_model(config: PretrainedConfig, make: Make = causal_model) -> PreTrainedModel:
    """The module of a config on the meta device: shapes and no numbers."""
    with torch.device("meta"):
        return make(config)


def text_config(config: PretrainedConfig) -> PretrainedConfig:
    """The config of the text model. An encoder-decoder's own: transformers would hand out a copy that is cut down to
    its decoder."""
    return config if config.is_encoder_decoder else config.get_text_config(decoder=True)
