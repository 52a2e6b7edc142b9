"""Parameters by part, from a config alone: embeddings, attention, feed-forward, norms, head.

D hidden size, V vocabulary, L layers, H query heads and Hkv key heads of size d, F inner size, E experts of which k are
chosen. A layer without biases has

    attention       D H d  +  2 D Hkv d  +  H d D         queries, keys and values, output
    feed-forward    3 D F, gated (Shazeer 2020); 2 D F, plain; with experts E times that and D E for the router, twice
                    that for a noisy gate
    norms           2 D (RMSNorm has one number per dimension, LayerNorm two)

and the model V D for embeddings, D for its last norm, and V D for the head, unless head and embeddings are one matrix
(tied): then it is counted once, under embeddings. This is the accounting of the ST7003 lecture, with grouped-query
attention, biases and experts added; where the lecture gives the feed-forward layers of Llama 2 biases, they have none.

`parameters_of` counts by these formulas for the families it knows. `counted` counts the parameters of a module by their
names, for any model; tests hold the two equal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from burnish.errors import ModelError
from burnish.models.layers import embedding_tables
from burnish.models.untrained import empty_model, text_config


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """How many parameters a model has.

    Attributes:
        embeddings: of tokens and, where they are learned, of positions.
        attention: projections with their biases; in layers that have no attention, what stands in its place.
        feed_forward: all experts and their routers.
        norms: of layers, of queries and keys, and the last one.
        head: 0 where it is tied to the embeddings.
        tied: whether head and embeddings are one matrix.
        layer_products: weights of the layers that one token is multiplied with: of the experts, those chosen.
        head_products: V D.
        attention_width: L H d, for the products of queries with keys; layers without attention count too.
        experts: those of the feed-forward layers that belong to experts.
        chosen: those of the experts that one token goes through.
    """

    embeddings: int
    attention: int
    feed_forward: int
    norms: int
    head: int
    tied: bool
    layer_products: int
    head_products: int
    attention_width: int
    experts: int = 0
    chosen: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.embeddings + self.attention + self.feed_forward + self.norms + self.head

    @property
    def active(self) -> int:
        """Those that one token goes through: of the experts only the chosen ones."""
        return self.total - self.experts + self.chosen


@dataclass(frozen=True, kw_only=True)
class _Family:
    """What the config of a family does not say.

    Attributes:
        biases: of attention and feed-forward: none, all, of queries, keys and values (qkv), or as `attention_bias` and
            `mlp_bias` say (asked); gpt_neox asks for attention alone (attention).
        gated: whether the feed-forward layer has a gate.
        norms: in a layer.
        norm_size: numbers per dimension of a norm.
        query_norm: norms of queries and keys: one per head size, or over all heads.
        positions: whether positions have embeddings.
        grouped: whether query heads may share a key head.
        routers: matrices that choose experts, a layer.
    """

    biases: Literal["none", "all", "qkv", "asked", "attention"] = "none"
    gated: bool = True
    norms: int = 2
    norm_size: int = 1
    query_norm: Literal["", "head", "whole"] = ""
    positions: bool = False
    grouped: bool = True
    routers: int = 1


FAMILIES = {
    "llama": _Family(biases="asked"),
    "noisy_moe": _Family(biases="asked", routers=2),
    "mistral": _Family(),
    "mixtral": _Family(),
    "smollm3": _Family(biases="asked"),
    "qwen2": _Family(biases="qkv"),
    "qwen3": _Family(biases="asked", query_norm="head"),
    "qwen3_moe": _Family(biases="asked", query_norm="head"),
    "gemma": _Family(biases="asked"),
    "gemma2": _Family(biases="asked", norms=4),
    "gemma3_text": _Family(biases="asked", norms=4, query_norm="head"),
    "olmo2": _Family(biases="asked", query_norm="whole"),
    "phi3": _Family(),
    "gpt2": _Family(biases="all", gated=False, norm_size=2, positions=True, grouped=False),
    "gpt_neox": _Family(biases="attention", gated=False, norm_size=2, grouped=False),
}
"""Model families that are counted by formula, as transformers calls them."""


def parameters_of(config: PretrainedConfig) -> Parameters:
    """Count by formula.

    Args:
        config: of a causal language model.

    Raises:
        ModelError: no formula is known for the family.
    """
    config = text_config(config)
    if config.model_type not in FAMILIES:
        raise ModelError(f"no formula counts the parameters of '{config.model_type}'; known: {', '.join(FAMILIES)}")
    family, values = FAMILIES[config.model_type], _Values(config)
    hidden, layers, head_size = values.hidden, values.layers, values.head_size
    query, key = values.heads * head_size, (values.key_heads if family.grouped else values.heads) * head_size
    projections = hidden * (query + 2 * key) + query * hidden
    matrices = 3 if family.gated else 2
    inner, dense = values.expert_inner, layers - values.expert_layers
    one, expert = matrices * hidden * values.inner, matrices * hidden * inner
    router = family.routers * hidden * values.experts
    own_biases, wide_biases = _biases(family, values, query, key)
    table = values.vocabulary * hidden
    tied = bool(config.tie_word_embeddings)
    query_norms = {"": 0, "head": 2 * head_size, "whole": query + key}[family.query_norm]
    return Parameters(
        embeddings=table + (int(config.max_position_embeddings) * hidden if family.positions else 0),
        attention=layers * (projections + own_biases),
        feed_forward=dense * (one + wide_biases) + values.expert_layers * (values.experts * expert + router),
        norms=layers * (family.norms * family.norm_size * hidden + query_norms) + family.norm_size * hidden,
        head=0 if tied else table,
        tied=tied,
        layer_products=layers * projections + dense * one + values.expert_layers * (values.chosen * expert + router),
        head_products=table,
        attention_width=layers * query,
        experts=values.expert_layers * values.experts * expert,
        chosen=values.expert_layers * values.chosen * expert,
    )


def _biases(family: _Family, values: _Values, query: int, key: int) -> tuple[int, int]:
    """Biases of one layer: of attention, and of the feed-forward layer."""
    inputs, output = query + 2 * key, values.hidden
    wide = (values.inner * (2 if family.gated else 1)) + values.hidden
    asked = values.flag("attention_bias")
    if family.biases == "asked":
        return (inputs + output) * asked, wide * values.flag("mlp_bias")
    if family.biases == "attention":
        return (inputs + output) * asked, wide
    return {"none": 0, "qkv": inputs, "all": inputs + output}[family.biases], wide * (family.biases == "all")


class _Values:
    """The numbers of a config under one set of names; `config` is that of the text model."""

    def __init__(self, config: PretrainedConfig) -> None:
        self._config: dict[str, Any] = config.to_dict()
        self.vocabulary = int(config.vocab_size)
        self.hidden = int(config.hidden_size)
        self.layers = int(config.num_hidden_layers)
        self.heads = int(config.num_attention_heads)
        self.key_heads = self._number("num_key_value_heads") or self.heads
        self.head_size = self._number("head_dim", "d_kv") or self.hidden // self.heads
        self.inner = self._number("intermediate_size", "n_inner") or 4 * self.hidden
        self.experts = self._number("num_local_experts", "num_experts")
        self.chosen = self._number("num_experts_per_tok")
        self.expert_inner = self._number("moe_intermediate_size") or self.inner
        self.expert_layers = sum(self._has_experts(layer) for layer in range(self.layers))

    def flag(self, name: str) -> bool:
        """Whether a switch is on."""
        return bool(self._config.get(name))

    def _number(self, *names: str) -> int:
        """The first of these that the config has, 0 if it has none."""
        return next((int(self._config[name]) for name in names if self._config.get(name)), 0)

    def _has_experts(self, layer: int) -> bool:
        dense = self._config.get("mlp_only_layers") or ()
        every = self._number("decoder_sparse_step") or 1
        return self.experts > 0 and layer not in dense and (layer + 1) % every == 0


_EXPERTS = r"\bexperts\b"

_LAYERS = ("attention", "feed_forward")


def counted(model: PreTrainedModel) -> Parameters:
    """Count the parameters of a module, which may be on the meta device.

    Args:
        model: any transformers model without adapters.
    """
    values = _Values(text_config(model.config))
    parts, matrices = parts_of(model), matrices_of(model)
    inside = {name: p.numel() for name, p in model.named_parameters() if re.search(_EXPERTS, name)}
    return Parameters(
        **by_part(model),
        tied=has_tied_head(model),
        layer_products=sum(count for name, count in matrices.items() if parts[name] in _LAYERS),
        head_products=values.vocabulary * values.hidden,
        attention_width=layer_width(model.config) * values.layers,
        experts=sum(inside.values()),
        chosen=sum(_met(count, values) for count in inside.values()),
    )


def matrices_of(model: PreTrainedModel) -> dict[str, int]:
    """The matrices that tokens are multiplied with, but for an output head over the vocabulary, and how many weights of
    each one token meets: of experts those of the chosen ones. An adapter's are among them."""
    values = _Values(text_config(model.config))
    skipped = embedding_tables(model) | _output_head(model)
    return {
        name: _met(parameter.numel(), values) if re.search(_EXPERTS, name) else parameter.numel()
        for name, parameter in model.named_parameters()
        if parameter.ndim >= 2 and id(parameter) not in skipped
    }


def _met(count: int, values: _Values) -> int:
    """Of the weights of experts, those that one token meets."""
    return round(count * values.chosen / values.experts)


def layer_width(config: PretrainedConfig) -> int:
    """H d, what the attention of one layer is wide."""
    values = _Values(text_config(config))
    return values.heads * values.head_size


def by_part(model: PreTrainedModel) -> dict[str, int]:
    """How many parameters each part has, for any transformers model without adapters; parts stand in one order."""
    found = dict.fromkeys(("embeddings", "attention", "feed_forward", "norms", "head"), 0)
    parts = parts_of(model)
    for name, parameter in model.named_parameters():
        found[parts[name]] += parameter.numel()
    return found


def parts_of(model: PreTrainedModel) -> dict[str, str]:
    """The part that each named parameter belongs to; a head that is tied belongs to the embeddings."""
    tables, output = embedding_tables(model), _output_head(model)
    body = {id(parameter) for parameter in model.base_model.parameters()}

    def part(name: str, place: int) -> str:
        if place in tables:
            return "embeddings"
        return "head" if place in output else _part(name, inside=place in body)

    return {name: part(name, id(parameter)) for name, parameter in model.named_parameters()}


def _output_head(model: PreTrainedModel) -> frozenset[int]:
    """The `id` of each parameter of the head over the vocabulary, where there is one."""
    output = model.get_output_embeddings()
    return frozenset(map(id, output.parameters())) if isinstance(output, nn.Linear) else frozenset()


def has_tied_head(model: PreTrainedModel) -> bool:
    """Whether the head's matrix is the table of embeddings."""
    output = model.get_output_embeddings()
    return isinstance(output, nn.Linear) and output.weight is model.get_input_embeddings().weight


def _part(name: str, *, inside: bool) -> str:
    """The part that a parameter belongs to; what stands behind the layers, `inside` or not, is a head."""
    if re.search(r"[nN]orm|\bln_", name):
        return "norms"
    if not inside or re.search(r"\bpooler\b", name):  # as what BERT has between its layers and its tied matrix
        return "head"
    inner = r"\b(mlp|feed_forward|experts|intermediate|DenseReluDense)\b|\blayer\.\d+\.output\.dense"
    return "feed_forward" if re.search(inner, name) else "attention"


def model_parameters(config: PretrainedConfig) -> Parameters:
    """Count by formula where there is one, else from the module without its numbers."""
    text = text_config(config)
    return parameters_of(text) if text.model_type in FAMILIES else counted(empty_model(config))
