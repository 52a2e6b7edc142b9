"""Bottleneck adapters: a small layer behind each sublayer of a frozen model (Houlsby et al. 2019).

    h -> h + U f(D h + b) + c,     D (width, hidden), U (hidden, width),     U = 0 and c = 0 at the start

It acts on what attention and the feed-forward layer give, before that is added to the residual stream: two in each
layer (figure 2 there), or one behind the feed-forward layer alone, which does as well for half the weights (Pfeiffer et
al. 2021). A layer has 2 hidden width + hidden + width weights for each. The paper also trains the norms and the head;
here those stay as they are.

It is not linear, so it cannot be merged, and peft has no such method: Burnish reads what it saves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from burnish.config import setting, settings
from burnish.errors import ModelError
from burnish.models.attached import Attached
from burnish.models.layers import layers_of
from burnish.numerics import generator_from

_SUBLAYERS = {
    "attention": ("self_attn", "attn", "attention"),
    "feed_forward": ("mlp", "feed_forward", "block_sparse_moe"),
}
"""What families call them; bloom's `self_attention` is not among them, as it adds the residual itself."""

_FUNCTIONS: Mapping[str, Callable[..., Tensor]] = {
    "gelu": functional.gelu,
    "relu": functional.relu,
    "silu": functional.silu,
}

_SPREAD = 0.01
"""Of fresh weights; the paper finds all up to this steady, and larger ones worse (section 3.6 there)."""


@settings
class Bottlenecks:
    """A small layer behind attention and feed-forward layers."""

    kind: Literal["bottleneck"] = setting("bottleneck", "a small layer behind attention and feed-forward layers")
    width: int = setting(64, "numbers between its two matrices", ge=1)
    function: Literal["gelu", "relu", "silu"] = setting("gelu", "the function between its two matrices")
    after: Literal["both", "feed_forward"] = setting("both", "where one stands: behind both, or one in each layer")


class Bottleneck(Attached):
    """The small layer behind one sublayer.

    Args:
        size: of hidden states, D.
        settings: of all bottlenecks of the model.
        generator: of the first weights.
    """

    def __init__(self, size: int, settings: Bottlenecks, generator: torch.Generator) -> None:
        super().__init__()
        self.settings = settings
        width = settings.width
        self.down = nn.Parameter(_SPREAD * torch.randn(width, size, generator=generator, device="cpu"))
        self.down_bias = nn.Parameter(torch.zeros(width, device="cpu"))
        self.up = nn.Parameter(torch.zeros(size, width, device="cpu"))
        self.up_bias = nn.Parameter(torch.zeros(size, device="cpu"))

    def forward(self, hidden: Tensor) -> Tensor:
        """What the sublayer gives, changed. (..., D) -> (..., D)"""
        inner = _FUNCTIONS[self.settings.function](functional.linear(hidden, self.down, self.down_bias))
        return hidden + functional.linear(inner, self.up, self.up_bias)

    def behind(self, sublayer: nn.Module, inputs: Any, output: Any) -> Any:
        """What torch calls when the sublayer is done; the first of several results is the hidden state."""
        if not self.on:
            return output
        if isinstance(output, tuple):
            return (self(output[0]), *output[1:])
        return self(output)


def add_bottlenecks(model: PreTrainedModel, bottlenecks: Bottlenecks, *, seed: int) -> PreTrainedModel:
    """Put fresh bottlenecks into `model`; only their weights require gradients.

    Raises:
        ModelError: a layer of the model has no such sublayer.
    """
    model.requires_grad_(False)
    size = int(model.config.get_text_config(decoder=True).hidden_size)
    device = next(model.parameters()).device
    kinds = ("attention", "feed_forward") if bottlenecks.after == "both" else ("feed_forward",)
    for number, layer in enumerate(layers_of(model)):
        for kind in kinds:
            sublayer = _sublayer(model, layer, kind)
            generator = generator_from(seed, "bottleneck", number, kind)
            piece = Bottleneck(size, bottlenecks, generator).to(device)
            layer.add_module(f"{kind}_bottleneck", piece)
            sublayer.register_forward_hook(piece.behind)
    return model


def _sublayer(model: PreTrainedModel, layer: nn.Module, kind: str) -> nn.Module:
    children = dict(layer.named_children())
    found = [children[name] for name in _SUBLAYERS[kind] if name in children]
    if not found:
        raise ModelError(
            f"a layer of {type(model).__name__} has no {kind.replace('_', '-')} sublayer by a known name "
            f"({', '.join(_SUBLAYERS[kind])}); it has {', '.join(children)}; set adapter.kind to lora"
        )
    return found[0]
