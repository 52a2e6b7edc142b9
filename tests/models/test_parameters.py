"""Parameters by part: the worked numbers of the ST7003 lecture, published sizes, and the modules themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import GPT2Config, LlamaConfig, MixtralConfig, Qwen3MoeConfig

from burnish.errors import ModelError
from burnish.models.parameters import FAMILIES, counted, model_parameters, parameters_of
from burnish.models.untrained import empty_model
from tests.models.tiny import ARCHITECTURES, PADDED, tiny_model

LLAMA_2_13B = LlamaConfig(
    vocab_size=32000, hidden_size=5120, num_hidden_layers=40, num_attention_heads=40, intermediate_size=13824
)
ONE_LAYER = LlamaConfig(**{**LLAMA_2_13B.to_dict(), "num_hidden_layers": 1})


def test_the_worked_numbers_of_the_lecture():
    found = parameters_of(ONE_LAYER)
    assert found.embeddings == 32000 * 5120 == 163_840_000
    assert found.head == 163_840_000
    assert not found.tied
    assert found.attention == 78_643_200 + 26_214_400
    assert found.feed_forward == 3 * 5120 * 13824
    assert found.norms == 3 * 5120


LECTURE = {
    "Llama 7B": ((32000, 4096, 32, 32, 32, 11008), 6_738_415_616),
    "Llama 13B": ((32000, 5120, 40, 40, 40, 13824), 13_015_864_320),
    "Llama 33B": ((32000, 6656, 60, 52, 52, 17920), 32_528_943_616),
    "Llama 65B": ((32000, 8192, 80, 64, 64, 22016), 65_285_660_672),
    "Llama 2 70B": ((32000, 8192, 80, 64, 8, 28672), 68_976_648_192),
    "Llama 3 8B": ((128256, 4096, 32, 32, 8, 14336), 8_030_261_248),
    "Llama 3 70B": ((128256, 8192, 80, 64, 8, 28672), 70_553_706_496),
}
"""Rows of the lecture's table of Llama models (Llama 3's key heads and vocabulary from its paper), and the sizes of the
published weights."""


@pytest.mark.parametrize("name", LECTURE)
def test_the_table_of_llama_models(name):
    (vocabulary, hidden, layers, heads, key_heads, inner), total = LECTURE[name]
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        intermediate_size=inner,
    )
    assert parameters_of(config).total == total


def test_published_sizes_with_biases_ties_and_experts():
    assert parameters_of(GPT2Config()).total == 124_439_808
    mixtral = parameters_of(MixtralConfig(vocab_size=32000, num_key_value_heads=8, sliding_window=None))
    assert mixtral.total == 46_702_792_704
    active = mixtral.layer_products + mixtral.head_products
    assert active == pytest.approx(12.7e9, rel=0.01)  # 12.9B with embeddings, as its paper says


@pytest.mark.parametrize("name", [name for name, (kind, _) in ARCHITECTURES.items() if kind in FAMILIES])
def test_the_formula_counts_what_the_module_has(name):
    model = tiny_model(name)
    found = parameters_of(model.config)
    assert found == counted(model)
    assert found.total == sum(parameter.numel() for parameter in model.parameters())


def test_every_switch_of_a_config_counts():
    shape = {**ARCHITECTURES["llama"][1], **tiny_model("llama").config.to_dict(), "model_type": "llama"}
    for changes in ({"attention_bias": True}, {"mlp_bias": True}, {"tie_word_embeddings": True}, {"head_dim": 16}):
        config = LlamaConfig(**{**shape, **changes})
        assert parameters_of(config) == counted(empty_model(config)), changes
        assert parameters_of(config) != parameters_of(LlamaConfig(**shape)), changes


def test_tied_embeddings_are_counted_once():
    config = LlamaConfig(**{**ONE_LAYER.to_dict(), "tie_word_embeddings": True})
    tied, apart = parameters_of(config), parameters_of(ONE_LAYER)
    assert tied == replace(apart, head=0, tied=True)
    assert apart.total - tied.total == 163_840_000


def test_layers_without_experts_among_layers_with_them():
    config = Qwen3MoeConfig(
        **{**tiny_model("qwen3_moe").config.to_dict(), "mlp_only_layers": [1], "num_hidden_layers": 3}
    )
    assert parameters_of(config) == counted(empty_model(config))


@pytest.mark.parametrize("name", PADDED)
def test_a_family_without_a_formula_is_counted_from_its_module(name):
    model = tiny_model(name)
    found = model_parameters(model.config)
    assert found.total == sum(parameter.numel() for parameter in model.parameters())
    assert found.embeddings >= 97 * 32
    assert found.layer_products > 0


def test_a_family_without_a_formula_is_named():
    with pytest.raises(ModelError, match="'mamba'; known: llama"):
        parameters_of(tiny_model("mamba").config)


def test_an_empty_model_takes_no_memory():
    assert {parameter.device for parameter in empty_model(LLAMA_2_13B).parameters()} == {torch.device("meta")}
