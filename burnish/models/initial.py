"""The first weights of a model: a function of the seed and of each parameter's name, on every machine of one kind.

    xavier    N(0, 2 / (inputs + outputs))     every matrix of the layers (Glorot and Bengio 2010, eq. 12)
    he        N(0, 2 / inputs)                 the same ones (He et al. 2015, eq. 10)
    family    what transformers does for the family

Embeddings and an untied head are N(0, 0.02^2), those of t5 N(0, 1): its head divides by the square root of the width.
T5 leaves out the division by the square root of the head size in its attention, so its queries start that much
smaller. Biases are 0, norms 1. The gates of a mixture of experts start at 0 (gate.py).

Zeroed residual outputs: the matrices through which attention and feed-forward layers write into the residual stream
start at 0, so that the model begins as its embeddings and its head, at any depth, and each layer comes in as it learns
(the lifecycle document, section 1.6; Zhang et al. 2019, arXiv 1901.09321).
"""

from __future__ import annotations

import re
from typing import Literal

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from burnish.models.families import UNTOUCHED, Balance, Shape, config_of
from burnish.models.load import quiet
from burnish.models.mixture import Experts
from burnish.numerics import generator_from, seed_from

Initial = Literal["xavier", "he", "family"]

KINDS = {
    "llama": AutoModelForCausalLM,
    "bert": AutoModelForMaskedLM,
    "t5": AutoModelForSeq2SeqLM,
    "moe": AutoModelForCausalLM,
}
"""transformers' class for each family, with the head that pretraining needs."""

_SPREAD = 0.02

_RESIDUAL = re.compile(
    r"(self_attn\.o_proj|mlp\.down_proj"  # llama, moe
    r"|attention\.output\.dense|layer\.\d+\.output\.dense"  # bert
    r"|(SelfAttention|EncDecAttention)\.o|DenseReluDense\.wo)\.weight$"  # t5
    r"|experts\.down_proj$"  # moe
)
"""The matrices that write into the residual stream."""


def new_model(
    shape: Shape,
    tokenizer: PreTrainedTokenizerFast,
    *,
    initial: Initial = "xavier",
    zero_residual: bool = True,
    balance: Balance = UNTOUCHED,
    seed: int = 0,
) -> PreTrainedModel:
    """A model with its first weights, in float32, in evaluation mode.

    Args:
        shape: of the model.
        tokenizer: gives the vocabulary and the special tokens.
        initial: how matrices start.
        zero_residual: start the matrices that write into the residual stream at 0.
        balance: of the experts of a mixture.
        seed: of the weights.

    Raises:
        ModelError: the tokenizer lacks a special token that the family needs.
    """
    config = config_of(shape, tokenizer, balance)
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_from(seed, "family"))
        model: PreTrainedModel = KINDS[shape.family].from_config(config, dtype=torch.float32)
    with torch.no_grad():
        if initial != "family":
            _fill(model, shape, initial, seed)
        if zero_residual:
            for name, parameter in model.named_parameters():
                if _RESIDUAL.search(name):
                    parameter.zero_()
    return model.eval()


def _fill(model: PreTrainedModel, shape: Shape, initial: Initial, seed: int) -> None:
    """Draw every matrix; biases and norms are as transformers starts them."""
    head = model.get_output_embeddings()
    for name, module in model.named_modules():
        if isinstance(module, Experts):
            _fill_experts(module, name, initial, seed)
        if not isinstance(module, (nn.Linear, nn.Embedding)) or (module is head and shape.tied):
            continue
        spread = _spread(name, module, shape, initial, is_head=module is head)
        if spread is not None:
            module.weight.normal_(0.0, spread, generator=generator_from(seed, "initial", name))


def _fill_experts(experts: Experts, name: str, initial: Initial, seed: int) -> None:
    """Draw each expert's matrices as those of a layer of its own; those of gate and up are two."""
    inner, width = experts.down_proj.shape[2], experts.down_proj.shape[1]
    for kind, weights, inputs in (("gate_up", experts.gate_up_proj, width), ("down", experts.down_proj, inner)):
        spread = _matrix_spread(inputs, inner + width - inputs, initial)
        for number, weight in enumerate(weights):
            weight.normal_(0.0, spread, generator=generator_from(seed, "initial", name, kind, number))


def _matrix_spread(inputs: int, outputs: int, initial: Initial) -> float:
    """Standard deviation by Glorot and Bengio or by He et al."""
    return float((2.0 / (inputs if initial == "he" else inputs + outputs)) ** 0.5)


def _spread(
    name: str, module: nn.Linear | nn.Embedding, shape: Shape, initial: Initial, *, is_head: bool
) -> float | None:
    """Standard deviation of a matrix; None leaves it as it is."""
    if isinstance(module, nn.Embedding):
        if name.endswith("relative_attention_bias"):
            return None
        return 1.0 if shape.family == "t5" else _SPREAD
    if is_head:
        return _SPREAD
    spread = _matrix_spread(module.in_features, module.out_features, initial)
    unscaled = shape.family == "t5" and name.endswith("Attention.q")
    return spread * shape.head_size**-0.5 if unscaled else spread
