"""The parts of a transformers model, whatever the model calls them: its layers in their order, its embedding tables."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel

from burnish.errors import ModelError


def layers_of(model: PreTrainedModel) -> Sequence[nn.Module]:
    """The first list of modules that is as long as the model is deep.

    Raises:
        ModelError: there is none.
    """
    depth = int(model.config.get_text_config(decoder=True).num_hidden_layers)
    for module in model.get_decoder().modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return list(module)
    raise ModelError(f"{type(model).__name__} has no list of its {depth} layers")


def embedding_tables(module: nn.Module) -> frozenset[int]:
    """The `id` of every parameter that rows are looked up in, an output head that is tied to one included."""
    return frozenset(id(child.weight) for child in module.modules() if isinstance(child, nn.Embedding))
