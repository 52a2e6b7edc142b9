"""Adapters on a model: added, switched off, folded into the weights for a while, merged into them for good.

    lora.py         low-rank updates of weights, by peft: they merge
    bottleneck.py   small layers of their own          prefix.py   keys and values in front of every prompt
    prompt.py       embeddings in front of every prompt

The reference of a preference run is the model it started from: with a fresh adapter that is the same model with the
adapter off, whatever adapters were merged before. A merge is checked by comparing logits before it is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from burnish.errors import ModelError
from burnish.models.attached import switched_off
from burnish.models.bottleneck import Bottlenecks, add_bottlenecks
from burnish.models.four_bits import held_as, make_whole
from burnish.models.front import front_of
from burnish.models.lora import Dora, Lora, LowRank, add_lora, old_names
from burnish.models.prefix import PrefixTuning, add_prefix
from burnish.models.prompt import PromptTuning, add_prompt
from burnish.models.wrapped import is_adapted, is_wrapped
from burnish.numerics import generator_from

if TYPE_CHECKING:
    from peft import PeftModel
    from peft.tuners.tuners_utils import BaseTunerLayer

MERGE_TOLERANCE = 2e-3
"""Largest difference of a float32 log-probability (nats) that a merge may make."""


Adapter = Lora | Dora | Bottlenecks | PrefixTuning | PromptTuning
"""What may be trained in place of all weights."""

_ADD: Mapping[type, Callable[..., PreTrainedModel | PeftModel]] = {
    Lora: add_lora,
    Dora: add_lora,
    Bottlenecks: add_bottlenecks,
    PrefixTuning: add_prefix,
    PromptTuning: add_prompt,
}


def add_adapter(model: PreTrainedModel, adapter: Adapter, *, seed: int) -> PreTrainedModel | PeftModel:
    """Put a fresh adapter on `model`; only the adapter's weights require gradients.

    Returns:
        What holds the adapter: peft's model for low-rank ones, `model` itself for all others.

    Raises:
        ModelError: the model cannot have it.
    """
    return _ADD[type(adapter)](model, adapter, seed=seed)


def on_whole_weights(adapter: Adapter) -> Adapter:
    """The same adapter on weights that are not in 4 bits; its own numbers are as many."""
    return replace(adapter, base="full") if isinstance(adapter, LowRank) else adapter


def virtual_tokens(adapter: Adapter | None) -> int:
    """How many virtual tokens an adapter puts in front of every prompt."""
    return adapter.length if isinstance(adapter, (PrefixTuning, PromptTuning)) else 0


def require_merging(adapter: Adapter | None, what: str) -> None:
    """Refuse an adapter that is no change of weights, where the result must be a plain model.

    Args:
        adapter: that is to be trained.
        what: why, and what to type instead; the end of the message.

    Raises:
        ValueError: it cannot be merged.
    """
    if adapter is not None and not isinstance(adapter, LowRank):
        raise ValueError(f"an adapter of kind {adapter.kind} cannot be merged into the weights; {what}")


@contextmanager
def adapter_off(model: PeftModel | PreTrainedModel) -> Iterator[None]:
    """Run the model as it was before its adapter; a model without an adapter runs as it is."""
    if is_wrapped(model):
        with model.disable_adapter():
            yield
    else:
        with switched_off(model):
            yield


@contextmanager
def folded(model: nn.Module) -> Iterator[None]:
    """Run with the adapters folded into the weights: for sampling, where their own products cost most.

    Afterwards every weight is bit for bit what it was. Meanwhile a second copy of the adapted weights is held. In bf16
    the folded weights are rounded once more, so log-probs differ from the adapter's by what bf16 weights differ anyway.
    An adapter that is switched off stays off. Weights in 4 bits cannot hold the sum: an adapter stays beside them.
    """
    layers = [
        module
        for module in model.modules()
        if is_adapted(module) and not module.disable_adapters and not module.merged and _folds(module)
    ]
    kept = [(weight, weight.data) for layer in layers for weight in layer.get_base_layer().parameters(recurse=False)]
    try:
        for weight, data in kept:
            weight.data = data.clone()
        for layer in layers:
            layer.merge()
        yield
    finally:
        for weight, data in kept:
            weight.data = data
        for layer in layers:
            layer.merged_adapters.clear()


def _folds(layer: BaseTunerLayer) -> bool:
    return all(weight.is_floating_point() for weight in layer.get_base_layer().parameters(recurse=False))


def merged(model: PeftModel) -> PreTrainedModel:
    """Fold the adapter into the weights, in float32, and prove by logits that the model is the same.

    Weights that were held in 4 bits are made whole first: the sum is that of the rounded weights and the update.

    `model` must not be used afterwards.

    Raises:
        ModelError: the merged model computes something else.
    """
    model = model.float().eval()
    before = sample_logps(model.get_base_model())
    plain = with_whole_weights(model).merge_and_unload(safe_merge=True)
    gap = float((sample_logps(plain) - before).abs().max())
    if not gap <= MERGE_TOLERANCE:
        raise ModelError(f"the merged model differs from the adapter by {gap:.2g} nats; keep it with --adapter-only")
    return plain


def with_whole_weights(model: PeftModel) -> PeftModel:
    """The same adapter on the same weights, none of them in 4 bits; `model` must not be used afterwards."""
    if held_as(model) == "full":
        return model
    from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

    config, tensors = model.peft_config["default"], get_peft_model_state_dict(model, save_embedding_layers=False)
    base = model.unload()
    make_whole(base)
    with torch.random.fork_rng(devices=[]), old_names():  # what peft draws is replaced
        again = get_peft_model(base, config)
        set_peft_model_state_dict(again, tensors)
    return again.float().eval()


def sample_logps(model: PreTrainedModel) -> Tensor:
    """Log-probabilities of the whole vocabulary on a few fixed random tokens, to compare two models. (T, V)

    With what is attached, and without dropout; the model is left in the mode and with the attention that it came with.
    """
    vocabulary = model.get_input_embeddings().weight.shape[0]
    tokens = torch.randint(0, vocabulary, (1, 16), generator=generator_from("sample_logps"))
    implementation, training = model.config._attn_implementation, model.training
    model.set_attn_implementation("eager")
    model.eval()
    device = next(model.parameters()).device
    with torch.no_grad():
        logits = _logits(model, tokens.to(device))[0].float()
    model.train(training).set_attn_implementation(implementation)
    return torch.log_softmax(logits, dim=-1).cpu()


def _logits(model: PreTrainedModel, tokens: Tensor) -> Tensor:
    """By the model's own forward, behind what stands in front of its prompts. (B, T) -> (B, T, V)"""
    logits: Tensor
    if (front := front_of(model)) is None:
        logits = model(input_ids=tokens, use_cache=False).logits
    else:
        positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        logits = model.get_output_embeddings()(front.rows(model, tokens, torch.ones_like(tokens), positions))
    return logits
