"""Adapters in folders: adapter_config.json and adapter_model.safetensors, as peft has them.

    low-rank                    peft's own
    prompt, prefix              peft's PROMPT_TUNING and PREFIX_TUNING, which `PeftModel.from_pretrained` reads too
    bottleneck                  of the same form, with the kind BOTTLENECK, which peft does not know

A prefix is saved as the keys and values that it gives; the network that may have made them is not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from burnish.config import dump
from burnish.errors import ModelError
from burnish.models.bottleneck import Bottleneck, Bottlenecks, add_bottlenecks
from burnish.models.front import Front, front_of, set_front
from burnish.models.lora import old_names
from burnish.models.prefix import Numbers, Prefix, Shape
from burnish.models.prompt import Prompt

if TYPE_CHECKING:
    from peft import PeftModel, PrefixTuningConfig, PromptTuningConfig

CONFIG = "adapter_config.json"

WEIGHTS = "adapter_model.safetensors"

VECTORS = "prompt_embeddings"
"""The one tensor of a prompt or a prefix, as peft names it."""

UNMERGED = {"PROMPT_TUNING": "a soft prompt", "PREFIX_TUNING": "a prefix", "BOTTLENECK": "a bottleneck adapter"}
"""Kinds that stay beside the weights, and what people call them."""


def adapter_kind(folder: Path) -> str:
    """The kind of the adapter in a folder, as peft writes it; "" without an adapter."""
    record = folder / CONFIG
    return str(json.loads(record.read_text(encoding="utf-8"))["peft_type"]) if record.is_file() else ""


def read_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel | PeftModel:
    """Put a saved adapter on `model`.

    Returns:
        What holds the adapter: peft's model for one of peft's that wraps layers, `model` itself for all others.

    Raises:
        ModelError: it does not fit the model.
    """
    kind = adapter_kind(folder)
    if kind not in UNMERGED:
        from peft import PeftModel

        with old_names():
            return PeftModel.from_pretrained(model, str(folder))
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    tensors = load_file(folder / WEIGHTS)
    if kind == "BOTTLENECK":
        _read_bottlenecks(model, config, tensors)
    elif kind == "PROMPT_TUNING":
        _require_width(model, tensors[VECTORS], int(model.get_input_embeddings().weight.shape[1]))
        set_front(model, Prompt(tensors[VECTORS].float()))
    else:
        vectors, heads = tensors[VECTORS].float(), int(config["num_attention_heads"])
        shape = Shape(layers=int(config["num_layers"]), heads=heads, size=int(config["token_dim"]) // heads)
        _require_width(model, vectors, shape.numbers)
        set_front(model, Prefix(Numbers(vectors), shape, len(vectors)))
    return model


def _read_bottlenecks(model: PreTrainedModel, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    add_bottlenecks(model, Bottlenecks(**config["settings"]), seed=0)
    places = dict(_bottleneck_tensors(model))
    if places.keys() != tensors.keys():
        missing = sorted(places.keys() ^ tensors.keys())
        raise ModelError(f"the bottlenecks are those of a model of another depth: {missing[0]} is in one of them only")
    with torch.no_grad():
        for name, place in places.items():
            place.copy_(tensors[name])


def _require_width(model: PreTrainedModel, vectors: Tensor, width: int) -> None:
    if vectors.shape[1] != width:
        raise ModelError(f"it has {vectors.shape[1]} numbers per token, and {type(model).__name__} takes {width} there")


def write_attached(model: PreTrainedModel, folder: Path, *, base: str) -> None:
    """Write what is attached to `model`, in float32.

    Args:
        model: with a prompt, a prefix or bottlenecks.
        folder: made if it does not exist.
        base: the model that they belong to, as `load_model` takes it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    front = front_of(model)
    if front is None:
        pieces = [piece for piece in model.modules() if isinstance(piece, Bottleneck)]
        config = {"peft_type": "BOTTLENECK", "base_model_name_or_path": base, "settings": dump(pieces[0].settings)}
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        tensors = dict(_bottleneck_tensors(model))
    else:
        _config_of(front, model, base).save_pretrained(str(folder))
        tensors = {VECTORS: front.vectors()}
    save_file({name: tensor.detach().float().cpu().contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)


def _bottleneck_tensors(model: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    """The weights of the bottlenecks by their names in the model."""
    for name, module in model.named_modules():
        if isinstance(module, Bottleneck):
            yield from ((f"{name}.{key}", value) for key, value in module.named_parameters())


def _config_of(front: Front, model: PreTrainedModel, base: str) -> PromptTuningConfig | PrefixTuningConfig:
    """As peft writes it."""
    from peft import PrefixTuningConfig, PromptTuningConfig

    config = model.config.get_text_config(decoder=True)
    shared: dict[str, Any] = {
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "num_virtual_tokens": front.length,
        "num_transformer_submodules": 1,
        "num_layers": int(config.num_hidden_layers),
    }
    if isinstance(front, Prefix):
        width = front.shape.heads * front.shape.size
        heads = front.shape.heads
        return PrefixTuningConfig(**shared, token_dim=width, num_attention_heads=heads, encoder_hidden_size=width)
    return PromptTuningConfig(
        **shared, token_dim=int(front.vectors().shape[1]), num_attention_heads=int(config.num_attention_heads)
    )
