"""Seeds are functions of their keys alone; the compute dtype is what was asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from burnish import numerics
from burnish.numerics import (
    cast_weights,
    compute_dtype,
    default_device,
    generator_from,
    has_fast_bf16,
    seed_from,
)

CPU = torch.device("cpu")
KEYS = st.lists(st.one_of(st.text(max_size=4), st.integers(), st.floats(allow_nan=False)), max_size=4)


def test_a_seed_never_changes():
    """Runs of last year are repeated only while this number stays."""
    assert seed_from("run", 0, "shuffle", 3) == 7576578348854625384


def test_a_seed_is_the_same_in_another_process():
    code = "from burnish.numerics import seed_from; print(seed_from('run', 1, 0.5))"
    environment = {"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(sys.path)}
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert int(printed.stdout) == seed_from("run", 1, 0.5)


@given(KEYS)
def test_a_seed_has_63_bits(keys):
    assert 0 <= seed_from(*keys) < 2**63


@given(KEYS, KEYS)
def test_other_keys_give_another_seed(first, second):
    assert (seed_from(*first) == seed_from(*second)) == (repr(first) == repr(second))


@pytest.mark.parametrize(
    ("first", "second"), [(("a", "b"), ("b", "a")), ((1,), ("1",)), (("ab",), ("a", "b")), ((1, 23), (12, 3))]
)
def test_order_type_and_borders_of_keys_matter(first, second):
    assert seed_from(*first) != seed_from(*second)


def test_a_generator_depends_on_its_keys_and_leaves_the_global_one_alone():
    state = torch.get_rng_state()
    drawn = torch.rand(4, generator=generator_from("run", 1))
    assert torch.equal(drawn, torch.rand(4, generator=generator_from("run", 1)))
    assert not torch.equal(drawn, torch.rand(4, generator=generator_from("run", 2)))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("fast", [True, False])
def test_auto_takes_bf16_only_where_it_is_fast(monkeypatch, fast):
    monkeypatch.setattr(numerics, "has_fast_bf16", lambda device: fast)
    assert compute_dtype("auto", CPU) == (torch.bfloat16 if fast else torch.float32)
    assert compute_dtype("bf16", CPU) == torch.bfloat16, "what is asked for is obeyed"
    assert compute_dtype("fp32", CPU) == torch.float32


@pytest.mark.parametrize(
    ("capability", "fast"),
    [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"bf16": True}, True), ({"avx2": True}, False)],
)
def test_a_processor_says_whether_it_multiplies_bf16(monkeypatch, capability, fast):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capability)
    assert has_fast_bf16(CPU) is fast


def test_casting_turns_weights_and_leaves_buffers():
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    module.register_buffer("frequencies", torch.tensor([0.3333333]), persistent=False)
    before = list(module.parameters())
    cast_weights(module, torch.bfloat16)
    assert {parameter.dtype for parameter in module.parameters()} == {torch.bfloat16}
    assert all(new is old for new, old in zip(module.parameters(), before, strict=True)), "optimisers hold them"
    assert module[1].weight is module[0].weight
    assert module.frequencies.item() == pytest.approx(0.3333333, rel=1e-7)


def test_an_unknown_device_is_not_fast():
    assert not has_fast_bf16(torch.device("meta"))


@pytest.mark.parametrize("present", [True, False])
def test_the_default_device_is_the_accelerator_where_there_is_one(monkeypatch, present):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: present)
    assert default_device().type == ("cuda" if present else "cpu")
