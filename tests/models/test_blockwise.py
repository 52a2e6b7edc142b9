"""Attention by blocks of queries: values and gradients of the definition, in float32 and bf16, and when it is used."""

from __future__ import annotations

import pytest
import torch

from burnish.models.attention import Rules, causal_attention, causal_mask, plain_attention
from burnish.models.blockwise import BLOCK, FEWEST, block_attention, computed_pairs, suits
from burnish.numerics import generator_from

HEADS, SHARED, SIZE = 6, 2, 8
PLAIN = Rules(scaling=None, window=None, soft_cap=None, sinks=None, dropout=0.0)


def normal(heads, length, key, dtype=torch.float32, size=SIZE):
    return torch.randn(1, heads, length, size, generator=generator_from("short", key)).to(dtype)


def inputs(new, old, dtype=torch.float32, scale=1.0):
    made = normal(HEADS, new, "query", dtype), normal(SHARED, old, "key", dtype), normal(SHARED, old, "value", dtype)
    return [(tensor * scale).requires_grad_() for tensor in made]


def outcome(attend, tensors):
    """The output and the gradients of a sum that weighs every number differently."""
    output = attend(*tensors)
    factors = normal(*output.shape[1:3], "factors")
    return [output.detach(), *torch.autograd.grad((output.float() * factors.to(output.device)).sum(), tensors)]


def defined(scaling):
    """In float64, by the definition."""
    rules = Rules(scaling=scaling, window=None, soft_cap=None, sinks=None, dropout=0.0)

    def attend(query, key, value):
        mask = causal_mask(query.shape[2], key.shape[2], None, query.device)
        return plain_attention(query, key, value, mask, rules)

    return attend


@pytest.mark.parametrize(
    ("new", "old"), [(1, 1), (7, 7), (5, 9), (1, 6), (40, 41), (BLOCK + 1, BLOCK + 1), (2 * BLOCK + 3, 3 * BLOCK)]
)
@pytest.mark.parametrize("scaling", [None, 0.7])
def test_values_and_gradients_are_those_of_the_definition(new, old, scaling):
    tensors = inputs(new, old)
    expected = outcome(defined(scaling), [tensor.detach().double().requires_grad_() for tensor in tensors])
    found = outcome(lambda *three: block_attention(*three, scaling), tensors)
    for here, there in zip(found, expected, strict=True):
        assert here.shape == there.shape
        assert torch.allclose(here.double(), there, atol=3e-6 * float(there.abs().max().clamp(min=1)))


def test_bf16_is_as_close_to_the_definition_as_the_fused_kernel():
    tensors = inputs(64, 64, torch.bfloat16)
    exact = outcome(defined(None), [tensor.detach().double().requires_grad_() for tensor in tensors])

    def fused(query, key, value):
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)

    def distance(found):
        return [float((here.double() - there).norm() / there.norm()) for here, there in zip(found, exact, strict=True)]

    ours = distance(outcome(lambda *three: block_attention(*three, None), tensors))
    theirs = distance(outcome(fused, tensors))
    assert all(mine < 1.5 * other + 1e-4 for mine, other in zip(ours, theirs, strict=True)), (ours, theirs)


def test_large_scores_of_unseen_keys_do_no_harm():
    """A later key may score so high that its weight would overflow if it were seen."""
    query, key, value = inputs(8, 8)
    with torch.no_grad():
        key[:, :, -1] = 1000 * query[:, ::3, 0]
    found = outcome(lambda *three: block_attention(*three, None), [query, key, value])
    assert all(bool(tensor.isfinite().all()) for tensor in found)
    alone = block_attention(query[:, :, :7], key[:, :, :7], value[:, :, :7], None)
    assert torch.allclose(found[0][:, :, :7], alone)


def test_it_is_taken_on_the_cpu_for_one_sequence_of_some_length():
    query, _, _ = inputs(FEWEST, FEWEST)
    assert suits(query)
    assert not suits(query[:, :, 1:])
    assert not suits(query.double())
    assert not suits(query.repeat(2, 1, 1, 1))
    assert not suits(query.to("meta"))


def test_the_precision_of_float32_products_is_put_back():
    products = torch.backends.mkldnn.matmul
    before = products.fp32_precision
    block_attention(*inputs(40, 40, torch.bfloat16), None).float().sum().backward()
    assert products.fp32_precision == before


@pytest.mark.parametrize(("new", "old"), [(1, 9), (FEWEST, FEWEST), (BLOCK, 2 * BLOCK), (3 * BLOCK - 5, 3 * BLOCK)])
def test_pairs_are_those_of_the_blocks(new, old):
    least = sum(old - new + row + 1 for row in range(new))
    assert least <= computed_pairs(new, old) <= new * old
    assert computed_pairs(new, old) - least <= new * min(new, BLOCK)


def test_causal_attention_takes_it():
    query, key, value = inputs(FEWEST, FEWEST + 4)
    assert causal_attention(query, key, value, PLAIN).grad_fn.name().startswith("_BlockAttention")
    windowed = Rules(scaling=None, window=3, soft_cap=None, sinks=None, dropout=0.0)
    assert not causal_attention(query, key, value, windowed).grad_fn.name().startswith("_BlockAttention")
    dropped = Rules(scaling=None, window=None, soft_cap=None, sinks=None, dropout=0.5)
    assert not causal_attention(query, key, value, dropped).grad_fn.name().startswith("_BlockAttention")
