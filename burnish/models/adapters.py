"""Low-rank adapters through peft: LoRA (Hu et al. 2021) and DoRA (Liu et al. 2024), added, switched off, merged.

    LoRA  W x + (alpha / r) B A x,  B = 0 at the start        DoRA  m (W + B A) / ||W + B A||  column by column

The reference of a preference run is the model it started from: with a fresh adapter that is the same model with the
adapter off, whatever adapters were merged before. A merge is checked by comparing logits before it is trusted.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from burnish.config import setting, settings
from burnish.errors import ModelError
from burnish.numerics import generator_from, seed_from

MERGE_TOLERANCE = 2e-3
"""Largest difference of a float32 log-probability (nats) that a merge may make."""


@settings
class Lora:
    """A low-rank adapter on the linear layers."""

    method: Literal["lora", "dora"] = setting("lora", "dora also learns the magnitude of each weight column")
    rank: int = setting(16, "rank r of the update", ge=1)
    alpha: float = setting(32.0, "the update is scaled by alpha / rank", gt=0)
    dropout: float = setting(0.0, "dropout on the adapter's input", ge=0, lt=1)
    targets: tuple[str, ...] = setting(
        (), "names of the linear layers that get one, such as q_proj; empty for all but the output head"
    )


def add_lora(model: PreTrainedModel, lora: Lora, *, seed: int) -> PeftModel:
    """Put a fresh adapter on `model`; only the adapter's weights require gradients.

    Raises:
        ModelError: a target names no layer of the model, or one that peft cannot adapt (DoRA on fused experts).
    """
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets) if lora.targets else "all-linear",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),  # GPT-2 keeps its weights turned
        use_dora=lora.method == "dora",
        task_type="CAUSAL_LM" if model.can_generate() else None,  # a reward model's backbone generates nothing
    )
    with torch.random.fork_rng(devices=[]), _old_names():
        # Its settings for fused experts do apply; it looks for them among modules, and they are parameters.
        warnings.filterwarnings("ignore", "The following (rank|alpha)_pattern keys did not match", RuntimeWarning)
        torch.default_generator.manual_seed(seed_from(seed, "lora"))  # peft draws on the CPU; leave other devices alone
        try:
            return get_peft_model(model, config)
        except ValueError as error:
            where = ", ".join(lora.targets) or "all linear layers; name those that get one in targets"
            raise ModelError(f"cannot add the adapter to {where}: {error}") from error


def read_adapter(model: PreTrainedModel, folder: Path) -> PeftModel:
    """Put a saved adapter on `model`."""
    with _old_names():
        return PeftModel.from_pretrained(model, str(folder))


@contextmanager
def _old_names() -> Iterator[None]:
    """peft asks transformers by a name that it has deprecated; nothing a user could act on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
        yield


@contextmanager
def adapter_off(model: PeftModel | PreTrainedModel) -> Iterator[None]:
    """Run the model as it was before its adapter; a model without an adapter runs as it is."""
    if isinstance(model, PeftModel):
        with model.disable_adapter():
            yield
    else:
        yield


@contextmanager
def folded(model: nn.Module) -> Iterator[None]:
    """Run with the adapters folded into the weights: for sampling, where their own products cost most.

    Afterwards every weight is bit for bit what it was. Meanwhile a second copy of the adapted weights is held. In bf16
    the folded weights are rounded once more, so log-probs differ from the adapter's by what bf16 weights differ anyway.
    An adapter that is switched off stays off.
    """
    layers = [
        module
        for module in model.modules()
        if isinstance(module, BaseTunerLayer) and not module.disable_adapters and not module.merged
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


def merged(model: PeftModel) -> PreTrainedModel:
    """Fold the adapter into the weights, in float32, and prove by logits that the model is the same.

    `model` must not be used afterwards.

    Raises:
        ModelError: the merged model computes something else.
    """
    model = model.float().eval()
    before = sample_logps(model.get_base_model())
    plain = model.merge_and_unload(safe_merge=True)
    gap = float((sample_logps(plain) - before).abs().max())
    if not gap <= MERGE_TOLERANCE:
        raise ModelError(f"the merged model differs from the adapter by {gap:.2g} nats; keep it with --adapter-only")
    return plain


def sample_logps(model: PreTrainedModel) -> Tensor:
    """Log-probabilities of the whole vocabulary on a few fixed random tokens, to compare two models. (T, V)

    Without dropout; the model is left in the mode and with the attention that it came with.
    """
    vocabulary = model.get_input_embeddings().weight.shape[0]
    tokens = torch.randint(0, vocabulary, (1, 16), generator=generator_from("sample_logps"))
    implementation, training = model.config._attn_implementation, model.training
    model.set_attn_implementation("eager")
    model.eval()
    device = next(model.parameters()).device
    with torch.no_grad():
        logits = model(input_ids=tokens.to(device), use_cache=False).logits[0].float()
    model.train(training).set_attn_implementation(implementation)
    return torch.log_softmax(logits, dim=-1).cpu()
