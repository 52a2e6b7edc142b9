"""Low-rank adapters through peft: LoRA (Hu et al. 2021), rsLoRA (Kalajdzievski 2023) and DoRA (Liu et al. 2024).

    LoRA    W x + s B A x,  A (r, in), B (out, r), B = 0 at the start,  s = alpha / r
    rsLoRA  the same with s = alpha / sqrt(r), so that the update keeps its size when r grows
    DoRA    m (W + s B A) x / ||W + s B A||, row by row: the length m of each row of W is learned beside its direction

An adapter on a matrix of (4096, 4096) with r = 16 has 131,072 weights, where the matrix has 16,777,216.

The output head gets none: log-probs are computed from its matrix in chunks (logprobs.py), and so an adapter beside it
would be passed over. Where the head is tied to the embeddings, the embeddings get none either.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from burnish.config import setting, settings
from burnish.errors import ModelError
from burnish.models.four_bits import Held, hold
from burnish.numerics import seed_from

if TYPE_CHECKING:
    from peft import PeftModel


@settings
class LowRank:
    """What low-rank adapters share."""

    rank: int = setting(16, "rank r of the update", ge=1)
    alpha: float = setting(32.0, "the update is scaled by alpha / rank", gt=0)
    scaling: Literal["rank", "root"] = setting(
        "rank", "what alpha is divided by: the rank, or its root (rsLoRA), which keeps large ranks from learning less"
    )
    base: Held = setting(
        "full", "how the frozen weights are held: nf4-double is QLoRA, about 4.1 bits each (the extra qlora)"
    )
    dropout: float = setting(0.0, "dropout on the adapter's input", ge=0, lt=1)
    targets: tuple[str, ...] = setting(
        (), "names of the linear layers that get one, such as q_proj; empty for all but the output head"
    )


@settings
class Lora(LowRank):
    """A low-rank update of each weight matrix."""

    kind: Literal["lora"] = setting("lora", "low-rank updates of the weight matrices")


@settings
class Dora(LowRank):
    """A low-rank update of each weight matrix's directions, and the length of each of its rows."""

    kind: Literal["dora"] = setting("dora", "low-rank updates of directions, and lengths")


def add_lora(model: PreTrainedModel, lora: Lora | Dora, *, seed: int, beside: Collection[str] = ()) -> PeftModel:
    """Put a fresh adapter on `model`; only the adapter's weights require gradients.

    Args:
        model: with float32 weights.
        lora: the adapter.
        seed: of its first values.
        beside: names of layers that keep whole weights where those of others are held in 4 bits.

    Raises:
        ModelError: a target names no layer of the model, its output head, or a layer that peft cannot adapt (DoRA on
            fused experts); or DoRA would divide by the length of a row of zeros.
        MissingExtra: weights are to be held in 4 bits, and bitsandbytes is not installed.
    """
    from peft import LoraConfig, get_peft_model  # a second, for runs that train one

    _refuse_head(model, lora.targets)
    hold(model, lora.base, beside=beside)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        use_rslora=lora.scaling == "root",
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets) if lora.targets else "all-linear",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),  # GPT-2 keeps its weights turned
        use_dora=isinstance(lora, Dora),
        task_type="CAUSAL_LM" if model.can_generate() else None,  # a reward model's backbone generates nothing
    )
    with torch.random.fork_rng(devices=[]), old_names():
        # Its settings for fused experts do apply; it looks for them among modules, and they are parameters.
        warnings.filterwarnings("ignore", "The following (rank|alpha)_pattern keys did not match", RuntimeWarning)
        torch.default_generator.manual_seed(seed_from(seed, "lora"))  # peft draws on the CPU; leave other devices alone
        try:
            adapted = get_peft_model(model, config)
        except ValueError as error:
            where = ", ".join(lora.targets) or "all linear layers; name those that get one in targets"
            raise ModelError(f"cannot add the adapter to {where}: {error}") from error
    _refuse_zeros(adapted)
    return adapted


def _refuse_zeros(model: PeftModel) -> None:
    """Refuse DoRA where a row of a matrix has no length, as in a new model whose residual matrices start at 0.

    Raises:
        ModelError: there is one.
    """
    for name, length in model.named_parameters():
        layer, found, _ = name.partition(".lora_magnitude_vector")
        if found and not length.is_meta and not bool(length.all()):
            raise ModelError(
                f"DoRA divides by the length of each row, and {layer.removeprefix('base_model.model.')} has rows of "
                "zeros; take adapter.kind lora, or name other layers in adapter.targets"
            )


def _refuse_head(model: PreTrainedModel, targets: Sequence[str]) -> None:
    """Refuse targets whose adapter the log-probs would not see.

    Raises:
        ModelError: one is the output head, or the embeddings that are tied to it.
    """
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    tied = isinstance(head, nn.Linear) and head.weight is table.weight
    for name, module in model.named_modules():
        named = [target for target in targets if name == target or name.endswith(f".{target}")]
        if named and (module is head or (tied and module is table)):
            what = "is the output head" if module is head else "is tied to the output head"
            raise ModelError(
                f"targets names {named[0]}, which {what}; log-probs are computed from its matrix, so leave it out"
            )


@contextmanager
def old_names() -> Iterator[None]:
    """peft asks transformers by a name that it has deprecated; nothing a user could act on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
        yield
