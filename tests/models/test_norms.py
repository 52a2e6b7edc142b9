"""Root-mean-square norms: values and gradients of the written-out norm, which modules are taken, and what they keep."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm

from burnish.models.norms import replace_norms, rms_norm
from burnish.numerics import generator_from
from tests.models.tiny import tiny_model

SIZE = 24


def normal(*shape: int, key: str) -> torch.Tensor:
    return torch.randn(*shape, generator=generator_from("norms", key))


def norm(dtype: torch.dtype = torch.float32) -> LlamaRMSNorm:
    module = LlamaRMSNorm(SIZE, 1e-5)
    with torch.no_grad():
        module.weight.copy_(normal(SIZE, key="weight"))
    return module.to(dtype)


def outcome(module: nn.Module, hidden: torch.Tensor) -> list[torch.Tensor]:
    tokens = hidden.clone().requires_grad_()
    output = module(tokens)
    gradients = torch.autograd.grad(
        output, [tokens, module.weight], normal(*hidden.shape, key="slope").to(output.dtype)
    )
    return [output.detach(), *gradients]


@pytest.mark.parametrize("shape", [(SIZE,), (5, SIZE), (2, 3, SIZE)])
def test_values_and_gradients_are_those_of_the_module(shape):
    plain, ours = norm(), norm()
    assert replace_norms(ours) == 1
    hidden = 3 * normal(*shape, key="hidden")
    for found, wanted in zip(outcome(ours, hidden), outcome(plain, hidden), strict=True):
        assert found.shape == wanted.shape
        assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_with_and_without_a_gradient_the_bits_are_the_same(dtype):
    """The ratio of a policy to itself is exactly 1 only if both passes round alike."""
    module = norm(dtype)
    replace_norms(module)
    hidden = normal(64, SIZE, key="hidden").to(dtype)
    with torch.no_grad():
        quiet = module(hidden)
    assert torch.equal(module(hidden.requires_grad_()).detach(), quiet)


def test_the_backward_pass_is_the_derivative():
    hidden, weight = normal(3, 8, key="hidden").double(), normal(8, key="weight").double()
    torch.autograd.gradcheck(
        lambda tokens, factor: rms_norm(tokens, factor, 1e-3), (hidden.requires_grad_(), weight.requires_grad_())
    )


def test_bf16_gives_the_module_s_values_and_gradients_at_least_as_near_to_the_exact_ones():
    plain, ours, exact = norm(torch.bfloat16), norm(torch.bfloat16), norm(torch.bfloat16).double()
    replace_norms(ours)
    hidden = normal(64, SIZE, key="hidden").bfloat16()
    truth = outcome(exact, hidden.double())
    found, wanted = outcome(ours, hidden), outcome(plain, hidden)
    assert torch.equal(found[0], wanted[0])
    for mine, theirs, best in zip(found, wanted, truth, strict=True):
        assert mine.dtype == torch.bfloat16
        assert float((mine - best).norm()) <= 1.01 * float((theirs - best).norm())


def test_a_frozen_weight_gets_no_gradient():
    module = norm().requires_grad_(False)
    replace_norms(module)
    tokens = normal(4, SIZE, key="hidden").requires_grad_()
    module(tokens).sum().backward()
    assert tokens.grad is not None
    assert module.weight.grad is None


def test_less_is_kept_for_the_backward_pass():
    def kept(module: nn.Module) -> int:
        sizes: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
            return tensor

        tokens = normal(100, SIZE, key="hidden").bfloat16().requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = module(tokens)
        del output
        return sum(sizes.values())

    plain, ours = norm(torch.bfloat16), norm(torch.bfloat16)
    replace_norms(ours)
    assert kept(ours) <= 100 * SIZE * 2 + 100 * 4 + SIZE * 2
    assert kept(plain) > 2.5 * kept(ours)


class WithBias(LlamaRMSNorm):
    """Called like a norm of this kind, with the same attributes, and other numbers."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return super().forward(hidden_states) + 0.01


class Gated(LlamaRMSNorm):
    """Wants more than the tokens."""

    def forward(self, hidden_states: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        return super().forward(hidden_states) * gate


@pytest.mark.parametrize(
    "module", [GemmaRMSNorm(SIZE), WithBias(SIZE), Gated(SIZE), nn.LayerNorm(SIZE), nn.Linear(4, 4)]
)
def test_another_kind_is_left_alone(module):
    assert replace_norms(module) == 0
    assert "forward" not in module.__dict__


def test_the_kind_is_told_by_numbers_whatever_it_is_called():
    assert replace_norms(T5LayerNorm(SIZE)) == 1


def test_a_model_without_numbers_yet_is_taken_too():
    assert replace_norms(norm().to("meta")) == 1


def test_replacing_twice_changes_nothing():
    module = norm()
    assert (replace_norms(module), replace_norms(module)) == (1, 0)


def test_a_copy_computes_with_its_own_weights():
    module = norm()
    replace_norms(module)
    other = copy.deepcopy(module)
    with torch.no_grad():
        other.weight.zero_()
    hidden = normal(2, SIZE, key="hidden")
    assert float(other(hidden).detach().abs().max()) == 0
    assert float(module(hidden).detach().abs().max()) > 0


def test_what_is_saved_has_the_same_names():
    model = tiny_model("llama")
    names = list(model.state_dict())
    assert replace_norms(model) == 5
    assert list(model.state_dict()) == names
