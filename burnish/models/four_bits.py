"""Frozen weights in 4 bits, for adapters to be trained on: QLoRA (Dettmers et al. 2023), through bitsandbytes.

    64 weights at a time:   w ~ a * code[i],    a the largest of them, i one of 16 values: quantiles of a normal

The values of NF4 are those that normally distributed weights use equally often (section 3 there). A block has 4 bits
for each weight and 32 for its a, 4.5 in all; double quantisation holds the a's of 256 blocks in 8 bits each, 4.13 in
all. Every linear layer but the output head is held so, and made whole again, layer by layer, where it is multiplied
with. The adapter and everything else stay as they are.

The start of such a run is the model with rounded weights: that is its reference, and what a merge adds the update to.
bitsandbytes is the extra `qlora`, and is imported here alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from burnish.errors import MissingExtra, ModelError

Held = Literal["full", "nf4", "nf4-double"]
"""How frozen weights are held: as they are, in NF4, or in NF4 with double quantisation."""

BLOCK = 64
"""Weights that share a scale."""

BYTES = {"nf4": 0.5 + 4 / BLOCK, "nf4-double": 0.5 + 1 / BLOCK + 4 / (BLOCK * 256)}
"""Of a weight, its share of the scales included."""


def hold(model: PreTrainedModel, held: Held, *, beside: Collection[str] = ()) -> None:
    """Turn the weights of every linear layer of a model's body into 4 bits, in place; its head stays as it is.

    So do layers that transformers asks to keep: T5 turns what goes into its `wo` into the dtype of its weights.

    Args:
        model: with float32 weights, on any device.
        held: "full" leaves the model as it is.
        beside: names of layers that stay as they are too, such as those of a fresh head inside the body.

    Raises:
        MissingExtra: bitsandbytes is not installed.
        ModelError: the model has no linear layers.
    """
    if held == "full":
        return
    library = bitsandbytes()
    kept = {id(model.get_output_embeddings()), *(id(model.get_submodule(name)) for name in beside)}
    names = set(model._keep_in_fp32_modules or ())
    places = [one for one in _linear(model.base_model) if id(one[2]) not in kept and one[1] not in names]
    if not places:
        raise ModelError(f"{type(model).__name__} has no linear layers to hold in 4 bits; set adapter.base to full")
    for parent, name, layer in places:
        small = library.nn.Linear4bit(
            layer.in_features,
            layer.out_features,
            bias=layer.bias is not None,
            quant_type="nf4",
            compress_statistics=held == "nf4-double",
            device="meta",
        )
        small.weight = library.nn.Params4bit(
            layer.weight.detach(),
            requires_grad=False,
            quant_type="nf4",
            compress_statistics=held == "nf4-double",
            blocksize=BLOCK,
            module=small,
        ).to(layer.weight.device)
        small.bias = layer.bias
        small.support_avx512bf16_for_cpu = False  # it would repack the weights for bf16 whenever nothing trains
        setattr(parent, name, small)
    model.is_loaded_in_4bit = True  # by this peft knows what its layers stand on


def make_whole(model: PreTrainedModel) -> None:
    """Turn what `hold` has rounded into plain linear layers of float32 again, in place; they stay rounded."""
    if held_as(model) == "full":
        return
    library = bitsandbytes()
    for parent, name, layer in _linear(model):
        if isinstance(layer, library.nn.Linear4bit):
            weight = dequantised(layer)
            plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
            plain.weight = nn.Parameter(weight, requires_grad=False)
            plain.bias = layer.bias
            setattr(parent, name, plain)
    model.is_loaded_in_4bit = False


def dequantised(layer: Any) -> Tensor:
    """The weights that a layer in 4 bits computes with. (out, in) float32"""
    weight = layer.weight
    found: Tensor = bitsandbytes().functional.dequantize_4bit(weight.data, weight.quant_state)
    return found.float()


def held_as(model: nn.Module) -> Held:
    """How the weights of a model are held."""
    for parameter in model.parameters():
        if parameter.dtype == torch.uint8:
            packed: Any = parameter
            return "nf4-double" if packed.compress_statistics else "nf4"
    return "full"


def _linear(model: nn.Module) -> list[tuple[nn.Module, str, nn.Linear]]:
    """Every linear layer, by what it stands in and its name there."""
    return [
        (parent, name, layer)
        for parent in list(model.modules())
        for name, layer in parent.named_children()
        if isinstance(layer, nn.Linear)
    ]


def bitsandbytes() -> Any:
    """The module.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module("bitsandbytes")
    except ImportError as error:
        raise MissingExtra("bitsandbytes", "qlora") from error
