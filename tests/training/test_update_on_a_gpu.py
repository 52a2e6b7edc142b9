"""What an update does on a GPU, on a device of shapes alone, which every machine has."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.attention import flex_attention as torchs

from burnish.batch import pack
from burnish.models import flex
from burnish.training.optimizer import AdamW, MasterOptimizer
from burnish.training.part import trainable_parameters
from tests.models.elsewhere import ELSEWHERE, language_model_there
from tests.training.toys import chats

READS = frozenset({"logp"})


@pytest.fixture
def flexible(monkeypatch: pytest.MonkeyPatch) -> None:
    """FlexAttention as its definition, for heads of any size and on any device."""
    monkeypatch.setattr(torchs, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    monkeypatch.setattr(torchs, "_validate_device", lambda query, key, value: None)
    monkeypatch.setattr(flex, "_compiled", lambda: torchs.flex_attention)
    monkeypatch.setattr(flex, "LEAST_HEAD", 1)
    monkeypatch.setattr(flex, "attention_for", lambda device: ("flex", ""))


@pytest.mark.parametrize("name", ["llama", "qwen2-sliding", "gemma2", "gpt2"])
def test_nothing_of_a_pass_through_flexattention_stands_on_the_cpu(name: str, flexible: None):
    part, batch = language_model_there(name), pack(chats(4, completions=2)).to(ELSEWHERE)
    logp = part(batch, READS)["logp"]
    assert (logp.device, len(logp)) == (ELSEWHERE, len(batch.target_N))


def test_backward_and_masters_stand_where_the_weights_do():
    """Two micro-batches: the second gradient is added to the first."""
    part, batch = language_model_there(), pack(chats(4, completions=2)).to(ELSEWHERE)
    optimizer = MasterOptimizer(trainable_parameters(part), AdamW())
    for _ in range(2):
        part(batch, READS)["logp"].sum().backward()
        gradients = optimizer.gradients()
        assert {(gradient.dtype, gradient.device) for gradient in gradients} == {(torch.float32, ELSEWHERE)}
        assert len(gradients) == len(optimizer.masters)


def test_a_state_that_is_read_from_a_file_stands_where_its_master_does():
    """A checkpoint is read on the CPU, and the fused update on a GPU reads the number of updates there."""
    optimizer = MasterOptimizer({"weight": nn.Parameter(torch.zeros(3, 4, device=ELSEWHERE))}, AdamW())
    saved = {f"adam.{key}.weight": torch.ones(3, 4) for key in ("exp_avg", "exp_avg_sq")}
    optimizer.restore({"master.weight": torch.ones(3, 4), "adam.step.weight": torch.tensor(2.0), **saved})
    state = optimizer.adam.state[optimizer.masters["weight"]]
    assert {name: value.device for name, value in state.items()} == dict.fromkeys(
        ("step", "exp_avg", "exp_avg_sq"), ELSEWHERE
    )
