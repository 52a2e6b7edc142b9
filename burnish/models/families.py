"""Model families made from one dial, the depth; the other sizes follow from it by a stated rule.

    width      64 depth
    heads      width / 64, so that a head has 64 numbers
    key heads  llama, moe: the largest divisor of the heads that is not over a third of them
    experts    moe alone: 8, of which 2 see a token
    inner      gated (llama, t5): 8/3 width, rounded up to a multiple of 64; plain (bert): 4 width; of an expert of moe
               8/3 width / experts per token, so rounded: a token goes through as much as in llama
    positions  llama, moe 2048 (rotary), bert 512 (learned), t5 relative ones without an end

The rule meets published models: bert at depth 12 is BERT-base and t5 at depth 12 is T5 v1.1-base (Devlin et al. 2019;
Shazeer 2020), llama at 9 has the nine heads over three of SmolLM-135M. A size that is given by name replaces its rule,
and those derived from it follow. The depth of t5 counts the layers of the encoder, and as many of the decoder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from transformers import BertConfig, LlamaConfig, PretrainedConfig, PreTrainedTokenizerFast, T5Config

from burnish.config import setting, settings
from burnish.errors import ConfigError, ModelError
from burnish.models.mixture import NoisyMoeConfig, gate_mistakes

FamilyName = Literal["llama", "bert", "t5", "moe"]

HEAD_SIZE = 64

_ROUND = 64

GROUPED = 8
"""The products of experts take multiples of 16 bytes on a GPU, in bf16 of this many numbers (grouped.py)."""

_LLAMA = ("width", "heads", "key_heads", "head_size", "inner", "context", "rope_base", "tied")

_SIZES: Mapping[str, tuple[str, ...]] = {
    "llama": _LLAMA,
    "moe": (*_LLAMA, "experts", "experts_per_token"),
    "bert": ("width", "heads", "inner", "context"),
    "t5": ("width", "heads", "head_size", "inner"),
}
"""What can be set in each family; transformers ties embeddings and head of bert and t5 always."""


@settings
class Sizes:
    """Sizes that replace what the depth gives."""

    width: int | None = setting(None, "of hidden states; 64 times the depth if not given", ge=1)
    heads: int | None = setting(None, "of queries; width / head size", ge=1)
    key_heads: int | None = setting(
        None, "of keys and values (llama, moe); up to a third of the heads, dividing them", ge=1
    )
    head_size: int | None = setting(None, "numbers in a head (not bert); 64, or width / heads", ge=1)
    inner: int | None = setting(None, "width of the feed-forward layer; 8/3 width if gated, 4 width if not", ge=1)
    context: int | None = setting(None, "positions (llama, moe 2048, bert 512; t5 has no end)", unit="tokens", ge=1)
    rope_base: float | None = setting(None, "theta of rotary positions (llama, moe); 10000", gt=1)
    tied: bool | None = setting(None, "one matrix for embeddings and head (llama, moe); true")
    experts: int | None = setting(None, "in each layer (moe); 8")
    experts_per_token: int | None = setting(None, "experts that see a token (moe); 2")


@settings
class Balance:
    """What keeps the experts of a mixture evenly busy while it is trained by likelihood."""

    importance_weight: float = setting(0.1, "of CV^2 of the summed gates, in each layer (moe)", ge=0)
    load_weight: float = setting(0.1, "of CV^2 of the smooth loads, in each layer (moe)", ge=0)


UNTOUCHED = Balance()
"""The weights of the paper's language models."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A family with every size decided; None where the family has no such size."""

    family: FamilyName
    depth: int
    width: int
    heads: int
    key_heads: int | None
    head_size: int
    inner: int
    context: int | None
    rope_base: float | None
    tied: bool
    experts: int | None = None
    experts_per_token: int | None = None


def shape_of(family: FamilyName, depth: int, sizes: Sizes) -> Shape:
    """Every size, given or derived.

    Raises:
        ConfigError: lists sizes that the family does not have, and those that do not fit each other.
    """
    given = {name: value for name, value in dataclasses.asdict(sizes).items() if value is not None}
    own, rotary = _SIZES[family], family in ("llama", "moe")
    mistakes = [
        f"sizes.{name} is {value}, and {family} has no such size; leave it out (its sizes: {', '.join(own)})"
        for name, value in given.items()
        if name not in own
    ]
    width = given.get("width", HEAD_SIZE * depth)
    head_size = given.get("head_size", width // given["heads"] if "heads" in given else HEAD_SIZE)
    heads = given.get("heads", width // max(1, head_size))
    if "head_size" not in given or "heads" not in given:
        mistakes += _undivided(width, heads, head_size, given)
    elif rotary and width % heads:  # transformers asks for it, whatever the head size is
        mistakes.append(f"sizes.heads is {heads}, which does not divide the width {width}")
    key_heads = given.get("key_heads", _key_heads(heads)) if rotary else None
    if key_heads is not None and heads % key_heads:
        mistakes.append(f"sizes.key_heads is {key_heads}, which does not divide the {heads} heads")
    experts, chosen = (given.get("experts", 8), given.get("experts_per_token", 2)) if family == "moe" else (None, None)
    inner = given.get("inner", 4 * width if family == "bert" else _rounded_up(8 * width / 3 / max(1, chosen or 1)))
    if experts is not None and chosen is not None:
        mistakes += _expert_mistakes(experts, chosen, {"width": width, "inner": inner})
    if rotary and head_size % 2:
        mistakes.append(f"a head has {head_size} numbers; rotary positions turn pairs, so it takes an even number")
    if mistakes:
        raise ConfigError(mistakes)
    return Shape(
        family=family,
        depth=depth,
        width=width,
        heads=heads,
        key_heads=key_heads,
        head_size=head_size,
        inner=inner,
        context=given.get("context", {"llama": 2048, "moe": 2048, "bert": 512, "t5": None}[family]),
        rope_base=given.get("rope_base", 10000.0) if rotary else None,
        tied=given.get("tied", True),
        experts=experts,
        experts_per_token=chosen,
    )


def _undivided(width: int, heads: int, head_size: int, given: Mapping[str, int]) -> list[str]:
    """What is wrong where one of heads and head size follows from the other."""
    if heads and heads * head_size == width:
        return []
    asked = "heads" if "heads" in given else "head_size" if "head_size" in given else ""
    what = (
        f"sizes.{asked} is {given[asked]}" if asked else f"a head has {HEAD_SIZE} numbers unless sizes.heads is given"
    )
    return [f"{what}, which does not divide the width {width}"]


def _expert_mistakes(experts: int, chosen: int, products: Mapping[str, int]) -> list[str]:
    """What is wrong with the numbers of experts, and with the sizes of their matrices."""
    return [f"sizes.{mistake}" for mistake in gate_mistakes(experts, chosen)] + [
        f"the {name} is {size}, and products grouped by expert take multiples of {GROUPED}; set sizes.{name}"
        for name, size in products.items()
        if size % GROUPED
    ]


def _key_heads(heads: int) -> int:
    """The largest divisor that is not over a third, 1 for few heads."""
    return next((count for count in range(heads // 3, 0, -1) if heads % count == 0), 1)


def _rounded_up(value: float) -> int:
    return int(-(-value // _ROUND)) * _ROUND


def config_of(shape: Shape, tokenizer: PreTrainedTokenizerFast, balance: Balance = UNTOUCHED) -> PretrainedConfig:
    """The config of a model of this shape over the vocabulary of a tokenizer.

    Args:
        shape: of the model.
        tokenizer: gives the vocabulary and the special tokens.
        balance: of the experts, where there are some.

    Raises:
        ModelError: the tokenizer lacks a special token that the family cannot do without.
    """
    _require(tokenizer, shape.family)
    tokens = {
        "vocab_size": max(tokenizer.get_vocab().values()) + 1,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if shape.family == "moe":
        return _moe(shape, tokens, balance)
    return {"llama": _llama, "bert": _bert, "t5": _t5}[shape.family](shape, tokens)


def _require(tokenizer: PreTrainedTokenizerFast, family: FamilyName) -> None:
    """What no model of the family can be trained without."""
    needed = {"llama": ("eos",), "moe": ("eos",), "bert": ("pad", "mask"), "t5": ("eos", "pad")}[family]
    ids = {"eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id, "mask": tokenizer.mask_token_id}
    if missing := [f"{name}_token" for name in needed if ids[name] is None]:
        raise ModelError(
            f"a model of family {family} needs a tokenizer with {' and '.join(missing)}; set it in the tokenizer's "
            "tokenizer_config.json, or train one with burnish tokenizer"
        )


def _llama(shape: Shape, tokens: Mapping[str, int | None]) -> PretrainedConfig:
    return LlamaConfig(**tokens, **_rotary(shape))


def _moe(shape: Shape, tokens: Mapping[str, int | None], balance: Balance) -> PretrainedConfig:
    return NoisyMoeConfig(
        **tokens,
        **_rotary(shape),
        num_experts=shape.experts,
        num_experts_per_tok=shape.experts_per_token,
        importance_weight=balance.importance_weight,
        load_weight=balance.load_weight,
    )


def _rotary(shape: Shape) -> dict[str, Any]:
    """What Llama's config and that of a mixture share."""
    return {
        "hidden_size": shape.width,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.depth,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_heads,
        "head_dim": shape.head_size,
        "max_position_embeddings": shape.context,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_base},
        "tie_word_embeddings": shape.tied,
    }


def _bert(shape: Shape, tokens: Mapping[str, int | None]) -> PretrainedConfig:
    return BertConfig(
        **tokens,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.depth,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.context,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def _t5(shape: Shape, tokens: Mapping[str, int | None]) -> PretrainedConfig:
    return T5Config(
        **tokens,
        decoder_start_token_id=tokens["pad_token_id"],
        d_model=shape.width,
        d_kv=shape.head_size,
        d_ff=shape.inner,
        num_layers=shape.depth,
        num_heads=shape.heads,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
    )
