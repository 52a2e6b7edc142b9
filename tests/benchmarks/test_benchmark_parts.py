"""Where an update's time goes: each event's own time lands in one part, by what it runs within."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from torch.profiler import ProfilerActivity, profile

from benchmarks import parts
from burnish.batch import Branch, Tree
from burnish.models.language import LanguageModel
from burnish.objectives.sft import SFT
from burnish.training.optimizer import AdamW
from burnish.training.part import Part
from burnish.training.trainer import Trainer, Updates
from tests.models.tiny import tiny_model


def event(name, microseconds=0.0, parent=None):
    return SimpleNamespace(name=name, self_cpu_time_total=microseconds, cpu_parent=parent)


@pytest.mark.parametrize(
    ("name", "parents", "part"),
    [
        ("aten::mm", [], "layers"),
        ("aten::mm", ["aten::linear"], "layers"),
        ("aten::mm", ["_ChosenLogpBackward", "autograd::engine"], "head"),
        ("aten::bmm", ["_BlockAttention"], "attention"),
        ("aten::mul", ["_RMSNormBackward"], "norms"),
        ("aten::mul", ["aten::silu"], "rest"),
        ("aten::_fused_adamw_", ["Optimizer.step#AdamW.step"], "optimiser"),
        ("aten::add_", ["torch::autograd::AccumulateGrad"], "gradients"),
    ],
)
def test_an_event_belongs_to_what_it_runs_within(name, parents, part):
    place = None
    for parent in reversed(parents):
        place = event(parent, parent=place)
    assert parts.part_of(event(name, parent=place)) == part


def test_own_times_are_summed_once():
    outer = event("_ChosenLogp", 1e6)
    found = parts.parts([outer, event("aten::mm", 2e6, outer), event("aten::mm", 4e6)])
    assert found["head"] == 3.0
    assert found["layers"] == 4.0
    assert sum(found.values()) == 7.0


def test_an_update_has_every_part():
    """The names in the table are those that the code's functions have in a profile."""
    part = Part(module=LanguageModel(tiny_model("llama").requires_grad_(True), layout="tree").bfloat16())
    trainer = Trainer({"main": part}, SFT(), Updates(optimizer=AdamW()), steps=1)
    tree = Tree(id="x", prompt=[1] * 40, branches=(Branch(tokens=[2] * 9, weights=[1.0] * 9),))
    with profile(activities=[ProfilerActivity.CPU]) as found:
        trainer.step([tree])
    seconds = parts.parts(found.events())
    assert all(value > 0 for value in seconds.values()), seconds
