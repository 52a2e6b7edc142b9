"""The parts of a transformers model, whatever the model calls them: its layers in their order, its embedding tables."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from burnish.errors import ModelError


def layers_of(model: PreTrainedModel) -> Sequence[nn.Module]:
    """The first list of modules that is as long as the model is deep.

    Raises:
        ModelError: there is none.
    """
    return _listed(model, model.get_decoder(), int(model.config.get_text_config(decoder=True).num_hidden_layers))


def depths_of(config: PretrainedConfig) -> tuple[int, ...]:
    """How many layers a model has; of an encoder-decoder (T5), how many its encoder, and how many its decoder.

    Raises:
        ModelError: an encoder-decoder does not say so as T5 does.
    """
    if not config.is_encoder_decoder:
        return (int(config.get_text_config(decoder=True).num_hidden_layers),)
    if "num_decoder_layers" not in vars(config):
        raise ModelError(f"the layers of a {config.model_type} cannot be told apart; of encoder-decoders T5's can")
    return int(config.num_layers), int(config.num_decoder_layers)


def stacked_layers(model: PreTrainedModel) -> Sequence[Sequence[nn.Module]]:
    """The layers of a model in one list; of an encoder-decoder, those of its encoder and those of its decoder.

    Raises:
        ModelError: they are not where they are looked for.
    """
    depths = depths_of(model.config)
    if len(depths) == 1:
        return [layers_of(model)]
    stacks = (model.get_encoder(), model.get_decoder())
    return [_listed(model, stack, depth) for stack, depth in zip(stacks, depths, strict=True)]


def _listed(model: PreTrainedModel, inside: nn.Module, depth: int) -> Sequence[nn.Module]:
    for module in inside.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return list(module)
    raise ModelError(f"{type(model).__name__} has no list of its {depth} layers")


def embedding_tables(module: nn.Module) -> frozenset[int]:
    """The `id` of every parameter that rows are looked up in, an output head that is tied to one included."""
    return frozenset(id(child.weight) for child in module.modules() if isinstance(child, nn.Embedding))
