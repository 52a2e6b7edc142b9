"""The layers of a transformers model in their order, whatever the model calls their list."""

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
