"""Packed weights: the same products within bf16, layers as they were afterwards, other layers left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from burnish.models import packed as module
from burnish.models.packed import MOST_ROWS, packed

needs_kernel = pytest.mark.skipif(not module._kernel_is_there(), reason="this processor has no bf16 products in oneDNN")


def layers(dtype: torch.dtype = torch.bfloat16, *, bias: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(96, 160, bias=bias), nn.SiLU(), nn.Linear(160, 64, bias=bias)).to(dtype)


@needs_kernel
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 32, MOST_ROWS, MOST_ROWS + 1])
def test_products_are_those_of_the_plain_layers(bias: bool, rows: int):
    model = layers(bias=bias)
    hidden = torch.randn(rows, 1, 96).bfloat16()
    plain = model(hidden)
    with packed(model, 32), torch.no_grad():
        found = model(hidden)
    assert found.shape == plain.shape
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, plain, rtol=2e-2, atol=4e-3)


@needs_kernel
def test_the_weights_that_are_read_are_those_of_the_beginning_and_the_layers_get_their_own_again():
    model = layers()
    hidden = torch.randn(4, 96).bfloat16()
    before = model(hidden)
    with packed(model, 4), torch.no_grad():
        model[0].weight.zero_()
        assert not torch.equal(model(hidden), torch.zeros_like(before))
    assert torch.equal(model(hidden), torch.zeros_like(before))
    assert all("forward" not in layer.__dict__ for layer in model)


@needs_kernel
def test_layers_get_their_own_products_again_after_an_error_too():
    model = layers()
    with pytest.raises(KeyError), packed(model, 4):
        raise KeyError
    assert all("forward" not in layer.__dict__ for layer in model)


@needs_kernel
def test_many_rows_have_the_plain_product_to_the_bit():
    model = layers()
    hidden = torch.randn(MOST_ROWS + 1, 96).bfloat16()
    with packed(model, 8):
        found = model[0](hidden)
    assert torch.equal(found, functional.linear(hidden, model[0].weight))


def test_float32_and_other_layers_stay_as_they_are():
    class Own(nn.Linear):
        pass

    model = nn.ModuleList([layers(torch.float32), Own(8, 8).bfloat16()])
    with packed(model, 8):
        assert all("forward" not in piece.__dict__ for piece in model.modules())


def test_without_the_kernel_nothing_changes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_kernel_is_there", lambda: False)
    model = layers()
    with packed(model, 8):
        assert all("forward" not in piece.__dict__ for piece in model.modules())
