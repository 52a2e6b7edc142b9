"""The case that both sides compute: a tiny Llama from written-down randomness, and six pairs of made-up words.

TRL runs in an environment of its own, so both sides build the models again and compare a digest of the weights. Every
weight comes from Python's own generator, which gives the same numbers on every machine and in every version of torch.
Imports nothing but torch and transformers: the other environment has no Burnish.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Literal

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

Who = Literal["policy", "reference", "reward"]

SPECIAL = ("<pad>", "<end>", "<unknown>")
NUM_WORDS = 45
WEIGHT_SPREAD = 0.5
"""Weights are uniform between minus and plus this, so that the logits differ by nats."""
REFERENCE_SHIFT = 0.08
"""The reference is the policy with this much added to or taken from each weight: log-ratios of about one nat."""

PROMPT_LENGTHS = (2, 5, 3, 7, 4, 2)
CHOSEN_LENGTHS = (4, 1, 6, 3, 8, 2)
REJECTED_LENGTHS = (3, 5, 2, 7, 1, 2)
MARGINS = (0.0, 0.5, 1.0, 0.25, 2.0, 0.0)
DESIRABLE = (True, False, True, True, False, True)
"""For unpaired data: a row gives its chosen answer if True, else its rejected one."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One pair, as text; an answer begins with a space, so that prompt and answer can be joined."""

    prompt: str
    chosen: str
    rejected: str
    margin: float
    desirable: bool

    @property
    def answer(self) -> str:
        """The answer of the unpaired row."""
        return self.chosen if self.desirable else self.rejected


def rows() -> list[Row]:
    """The six pairs."""
    words = random.Random("rows")

    def text(count: int) -> str:
        return " ".join(f"w{words.randrange(NUM_WORDS)}" for _ in range(count))

    shapes = zip(PROMPT_LENGTHS, CHOSEN_LENGTHS, REJECTED_LENGTHS, MARGINS, DESIRABLE, strict=True)
    return [
        Row(prompt=text(p), chosen=" " + text(c), rejected=" " + text(r), margin=margin, desirable=good)
        for p, c, r, margin, good in shapes
    ]


def tokenizer() -> PreTrainedTokenizerFast:
    """One token per word; no begin token; the padding token is not the end token."""
    names = [*SPECIAL, *(f"w{number}" for number in range(NUM_WORDS))]
    words = Tokenizer(WordLevel({name: number for number, name in enumerate(names)}, unk_token="<unknown>"))
    words.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="<end>", unk_token="<unknown>", model_max_length=64
    )


def model(who: Who) -> PreTrainedModel:
    """The policy, the reference, or the policy with a head of one number, in float32."""
    config = LlamaConfig(
        vocab_size=len(SPECIAL) + NUM_WORDS,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
        use_cache=False,
        num_labels=1,
    )
    built = LlamaForSequenceClassification(config) if who == "reward" else LlamaForCausalLM(config)
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            parameter.copy_(_weights(name, parameter, shifted=who == "reference"))
    return built.float().eval()


def _weights(name: str, parameter: nn.Parameter, *, shifted: bool) -> torch.Tensor:
    """What the parameter of that name holds; norms lie around 1."""
    own = random.Random(f"policy {name}")
    shift = random.Random(f"reference {name}")
    centre, spread = (1.0, 0.2) if parameter.ndim == 1 else (0.0, WEIGHT_SPREAD)
    values = [centre + own.uniform(-spread, spread) for _ in range(parameter.numel())]
    if shifted:
        values = [value + shift.uniform(-REFERENCE_SHIFT, REFERENCE_SHIFT) for value in values]
    return torch.tensor(values, dtype=torch.float32).view_as(parameter)


def digest(built: nn.Module) -> str:
    """SHA-256 over the names and float32 bytes of all parameters, sorted by name."""
    found = hashlib.sha256()
    for name, parameter in sorted(built.named_parameters()):
        found.update(name.encode())
        found.update(parameter.detach().numpy().astype("<f4").tobytes())
    return found.hexdigest()
