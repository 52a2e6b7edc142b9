"""Sizes from the depth against published models, the account of parameters, and how weights start."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from burnish.models.bidirectional import probe_logps
from burnish.models.families import Sizes, config_of, shape_of
from burnish.models.initial import KINDS, new_model
from burnish.models.parameters import by_part, counted, has_tied_head, parameters_of, parts_of
from tests.stages.tiny_chat import tiny_tokenizer

TINY = Sizes(width=64, heads=4)


class Vocabulary:
    """What a config takes of a tokenizer."""

    bos_token_id, eos_token_id, pad_token_id, mask_token_id = None, 1, 0, 3

    def __init__(self, size: int) -> None:
        self.size = size

    def get_vocab(self) -> dict[str, int]:
        return {"last": self.size - 1}


def empty(family: str, depth: int, vocabulary: int, sizes: Sizes = Sizes()) -> PreTrainedModel:  # noqa: B008
    with torch.device("meta"):
        return KINDS[family].from_config(config_of(shape_of(family, depth, sizes), Vocabulary(vocabulary)))


def made(family: str, *, sizes: Sizes = TINY, **settings) -> PreTrainedModel:
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"mask_token": "<|mask|>"})
    return new_model(shape_of(family, 2, sizes), tokenizer, **settings)


def test_depth_12_is_bert_base_and_t5_base():
    assert sum(by_part(empty("bert", 12, 30522)).values()) == 109_514_298  # BERT-base with its head for masks
    assert sum(by_part(empty("t5", 12, 32128)).values()) == 222_903_552  # T5-base, whose plain layer weighs as much
    shape = shape_of("t5", 12, Sizes())
    assert (shape.width, shape.heads, shape.head_size, shape.inner) == (768, 12, 64, 2048)  # T5 v1.1-base


def test_depth_9_has_the_width_of_smollm_135m():
    shape = shape_of("llama", 9, Sizes())
    assert (shape.width, shape.heads, shape.key_heads, shape.inner) == (576, 9, 3, 1536)


@pytest.mark.parametrize(("depth", "key_heads"), [(1, 1), (4, 1), (6, 2), (8, 2), (12, 4), (24, 8), (32, 8)])
def test_key_heads_divide_the_heads_and_are_at_most_a_third_of_them(depth, key_heads):
    assert shape_of("llama", depth, Sizes()).key_heads == key_heads


def test_a_size_given_by_name_moves_those_derived_from_it():
    shape = shape_of("llama", 3, Sizes(width=256, heads=8, context=99, rope_base=5e5, tied=False))
    assert (shape.head_size, shape.key_heads, shape.inner) == (32, 2, 704)
    config = config_of(shape, Vocabulary(50))
    assert config.max_position_embeddings == 99
    assert config.rope_parameters["rope_theta"] == 5e5
    assert not config.tie_word_embeddings
    assert config_of(shape_of("llama", 3, Sizes(heads=6, head_size=16)), Vocabulary(50)).head_dim == 16


def test_the_account_of_a_llama_is_that_of_the_formula():
    for sizes in (TINY, Sizes(tied=False), Sizes(heads=6, head_size=16, key_heads=6, inner=7)):
        model = empty("llama", 3, 500, sizes)
        formula = parameters_of(model.config)
        assert formula == counted(model)
        assert by_part(model) == {name: value for name, value in vars(formula).items() if name in by_part(model)}
        assert has_tied_head(model) == (sizes.tied is not False)


def test_the_account_of_bert_by_hand():
    parts = by_part(empty("bert", 12, 30522))
    assert parts["embeddings"] == (30522 + 512 + 2) * 768
    assert parts["attention"] == 12 * 4 * (768 * 768 + 768)
    assert parts["feed_forward"] == 12 * (2 * 768 * 3072 + 3072 + 768)
    assert parts["norms"] == (1 + 2 * 12 + 1) * 2 * 768
    assert parts["head"] == 768 * 768 + 768 + 30522


def test_the_account_of_t5_by_hand():
    parts = by_part(empty("t5", 12, 32128))
    assert parts["embeddings"] == 32128 * 768 + 2 * 32 * 12  # and two tables of relative positions
    assert parts["attention"] == (12 + 2 * 12) * 4 * 768 * 768
    assert parts["feed_forward"] == 24 * 3 * 768 * 2048
    assert parts["norms"] == (12 * 2 + 1 + 12 * 3 + 1) * 768
    assert parts["head"] == 0


@pytest.mark.parametrize("family", ["llama", "bert", "t5"])
@pytest.mark.parametrize(("initial", "fan"), [("xavier", lambda i, o: i + o), ("he", lambda i, o: i)])
def test_matrices_have_the_spread_of_their_rule(family, initial, fan):
    model = made(family, initial=initial, zero_residual=False)
    parts = parts_of(model)
    seen = 0
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and parts.get(f"{name}.weight") in ("attention", "feed_forward"):
            expected = (2 / fan(module.in_features, module.out_features)) ** 0.5
            expected /= 4 if family == "t5" and name.endswith(".q") else 1  # the square root of the head size, 16
            assert float(module.weight.detach().std()) == pytest.approx(expected, rel=0.06), name
            assert abs(float(module.weight.detach().mean())) < 5 * expected / module.weight.numel() ** 0.5
            seen += 1
    assert seen >= 12
    table = model.get_input_embeddings().weight.detach()
    assert float(table.std()) == pytest.approx(1.0 if family == "t5" else 0.02, rel=0.05)


def test_an_untied_head_and_an_initialisation_by_the_family():
    untied = made("llama", sizes=Sizes(width=64, heads=4, tied=False))
    assert float(untied.lm_head.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    family = made("llama", initial="family", zero_residual=False)
    assert float(family.model.layers[0].self_attn.q_proj.weight.detach().std()) == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize(("family", "writing"), [("llama", 4), ("bert", 4), ("t5", 10)])
@pytest.mark.parametrize("initial", ["xavier", "family"])
def test_zeroed_residual_outputs_leave_the_embeddings_and_the_head(family, writing, initial):
    model = made(family, initial=initial, zero_residual=True)
    zeros = [name for name, p in model.named_parameters() if p.ndim == 2 and not p.any()]
    assert len(zeros) == writing
    before = probe_logps(model)
    parts = parts_of(model)
    for name, parameter in model.named_parameters():  # no other matrix of a layer has a say
        if parts[name] in ("attention", "feed_forward") and name not in zeros and parameter.ndim == 2:
            parameter.data.normal_(0, 3)
    assert torch.equal(probe_logps(model), before)
    for name, parameter in model.named_parameters():
        if name in zeros:
            parameter.data.normal_(0, 3)
    assert not torch.allclose(probe_logps(model), before, atol=1e-3)
    assert not [name for name, p in made(family, zero_residual=False).named_parameters() if p.ndim == 2 and not p.any()]


def test_weights_are_keyed_by_name_so_that_a_deeper_model_begins_alike():
    tokenizer = tiny_tokenizer()
    low = new_model(shape_of("llama", 1, TINY), tokenizer, seed=5)
    high = new_model(shape_of("llama", 3, TINY), tokenizer, seed=5)
    taken = dict(high.named_parameters())
    assert all(torch.equal(value, taken[name]) for name, value in low.named_parameters())
