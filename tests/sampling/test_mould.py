"""A model poured from its mould is the same model, whatever it is made of."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from burnish.errors import ModelError
from burnish.models.language import LanguageModel
from burnish.models.lora import Dora, Lora, add_lora
from burnish.sampling.mould import Mould, Numbers, poured
from tests.models.tiny import tiny_model

CPU = torch.device("cpu")
TOKENS = torch.tensor([[5, 9, 13, 2, 40]])


def again(mould: Mould) -> LanguageModel:
    """The model as another process would make it."""
    module = poured(mould.pickled, {**mould.fixed(), **mould.changing()}, CPU).module
    assert isinstance(module, LanguageModel)
    return module


def logits(part: LanguageModel) -> torch.Tensor:
    part.model.set_attn_implementation("eager")
    with torch.no_grad():
        return part.model(input_ids=TOKENS, use_cache=False).logits


@pytest.mark.parametrize("name", ["llama", "gemma2", "qwen3_moe", "gpt2", "gpt_oss"])
def test_the_poured_model_computes_the_same_bits(name: str):
    part = LanguageModel(tiny_model(name), temperature=0.7)
    copy = again(Mould(part))
    assert copy.temperature == 0.7
    assert torch.equal(logits(copy), logits(part))


@pytest.mark.parametrize("method", [Lora, Dora])
def test_with_an_adapter_only_its_numbers_change(method):
    model = tiny_model()
    add_lora(model, method(rank=2), seed=0)
    part = LanguageModel(model)
    mould = Mould(part)
    copy = poured(mould.pickled, {**mould.fixed(), **mould.changing()}, CPU)
    trained = {name: weight for name, weight in part.named_parameters() if weight.requires_grad}
    before = logits(copy.module)
    with torch.no_grad():
        for weight in trained.values():
            weight += 0.5
    copy.refill(mould.changing())
    assert torch.equal(logits(copy.module), logits(part))
    assert not torch.equal(logits(part), before)
    sent = sum(numbers.num_bytes for numbers in mould.changing().values())
    assert sent == sum(4 * weight.numel() for weight in trained.values())


def test_all_weights_change_where_all_are_trained():
    part = LanguageModel(tiny_model().requires_grad_(True))
    parameters = sum(4 * weight.numel() for weight in part.parameters())
    assert sum(numbers.num_bytes for numbers in Mould(part).changing().values()) == parameters


def test_tied_weights_are_one_tensor_again():
    model = tiny_model("gemma")
    assert model.lm_head.weight is model.model.embed_tokens.weight
    copy = again(Mould(LanguageModel(model))).model
    assert copy.lm_head.weight is copy.model.embed_tokens.weight


def test_a_mould_leaves_the_original_as_it_is():
    part = LanguageModel(tiny_model().requires_grad_(True))
    before = {name: (weight, weight.clone()) for name, weight in part.named_parameters()}
    copy = again(Mould(part))
    with torch.no_grad():
        for weight in copy.parameters():
            weight.zero_()
    for name, weight in part.named_parameters():
        assert weight is before[name][0]
        assert torch.equal(weight, before[name][1])
    assert not any(weight.requires_grad for weight in copy.parameters())


def test_numbers_are_those_of_the_moment_once_they_are_stored():
    weight = nn.Parameter(torch.zeros(2, 3))
    numbers = Numbers.of(weight)
    copy = numbers.tensor()
    with torch.no_grad():
        weight += 1
    assert torch.equal(copy, torch.zeros(2, 3))
    assert torch.equal(numbers.tensor(), torch.ones(2, 3))  # they share the memory until they are sent


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_numbers_of_any_kind_are_a_tensor_again(dtype, shape):
    tensor = torch.arange(6)[: torch.Size(shape).numel()].reshape(shape).to(dtype)
    found = Numbers.of(tensor).tensor()
    assert found.dtype == dtype
    assert torch.equal(found, tensor)
    assert torch.equal(Numbers.of(torch.arange(6).reshape(2, 3).T).tensor(), torch.arange(6).reshape(2, 3).T)


def test_what_cannot_be_sent_is_refused_in_words():
    part = LanguageModel(tiny_model())
    part.model.register_forward_hook(lambda module, arguments, output: None)
    with pytest.raises(ModelError, match=r"cannot be sent to another process: .*lambda.*sample in this process"):
        Mould(part)
