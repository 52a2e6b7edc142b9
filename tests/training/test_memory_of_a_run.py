"""The phases of a run, on a model of 1,000 weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from burnish.objectives.elastic import elastic
from burnish.objectives.sft import CausalLM
from burnish.training.live_bytes import LiveBytes
from burnish.training.memory import SLACK, Holding, Phase, TrainedPart
from burnish.training.rehearsal import Stretches

STRETCHES = Stretches(kept=50_000, forward=60_000, head=70_000, top=65_000, bottom=20_000, update=10_000)
FULL = TrainedPart(
    weights=1000, trained=1000, layer=100, table=200, itemsize=2, stretches=STRETCHES, folds=False, moments=8000
)
LORA = replace(FULL, weights=1010, trained=10, folds=True, moments=80)


def phases(part: TrainedPart = FULL, **others: object) -> dict[str, Phase]:
    holding = replace(Holding(process=7, trained=[part], frozen={}), **others)
    return {phase.name: phase for phase in holding.phases()}


def test_training_all_weights_in_bf16():
    parts = phases()["train"].parts
    assert parts["weights"] == 2 * 1000
    assert parts["masters"] == 4 * 1000
    assert parts["optimiser"] == 8 * 1000
    assert (parts["activations"], parts["temporaries"]) == (50_000, 20_000)
    assert "gradients" not in parts  # they come as activations go
    assert parts["process"] == 7
    tensors = sum(size for name, size in parts.items() if name not in ("process", "allocator"))
    assert parts["allocator"] == round(SLACK * tensors)


def test_in_float32_the_weights_are_their_own_masters():
    parts = phases(replace(FULL, itemsize=4))["train"].parts
    assert parts["weights"] == 4 * 1000
    assert "masters" not in parts


def test_an_adapter_has_few_masters_and_moments():
    parts = phases(LORA)["train"].parts
    assert (parts["weights"], parts["masters"], parts["optimiser"]) == (2 * 1010, 40, 80)


def test_gradients_stand_beside_activations_after_the_first_micro_batch():
    assert phases(accumulates=True)["train"].parts["gradients"] == 4 * 1000


def test_a_short_batch_has_its_peak_at_the_first_layer():
    short = replace(FULL, stretches=replace(STRETCHES, kept=10, forward=20, head=30, top=30, bottom=4100))
    parts = phases(short)["train"].parts
    assert (parts["gradients"], parts["temporaries"]) == (4000, 100)
    assert "activations" not in parts


def test_a_critic_adds_its_own():
    """Its weights and what updates them stand beside the policy's; activations are those of both."""
    one, two = phases()["train"].parts, phases(trained=[FULL, replace(FULL, name="critic")])["train"].parts
    for name in ("weights", "masters", "optimiser"):
        assert two[name] == two[f"{name} of the critic"] == one[name]
    assert two["activations"] == 2 * one["activations"]


def test_models_that_are_only_read_are_there_in_training():
    assert phases(frozen={"reference": 2000})["train"].parts["reference"] == 2000


def test_sampling_holds_the_cache_and_a_folded_copy():
    assert "sample" not in phases()
    found = phases(LORA, cache=500, logits=60)["sample"].parts
    assert (found["cache"], found["logits"]) == (500, 60)
    assert found["folded weights"] == 2 * (1010 - 200)
    assert "folded weights" not in phases(cache=500)["sample"].parts
    assert "folded weights" not in phases(replace(LORA, folds=False), cache=500)["sample"].parts, "a soft prompt"


def test_sampling_on_a_cpu_in_bf16_holds_the_weights_in_another_order_as_well():
    assert phases(cache=500, packs=True)["sample"].parts["packed weights"] == 2 * 1000
    assert "packed weights" not in phases(cache=500)["sample"].parts


def test_saving_holds_the_finished_model_twice():
    parts = phases()["save"].parts
    assert (parts["finished model"], parts["read back"]) == (4000, 4000)
    assert "weights" not in parts  # they have become the finished model
    assert phases(LORA)["save"].parts["weights"] == 2 * 1010
    assert phases(LORA)["save"].parts["merged layers"] == 4 * (1010 - 200)
    assert "merged layers" not in parts


def test_ranks_divide_what_stands_and_gather_layers():
    one, two = phases()["train"].parts, phases(ranks=2)["train"].parts
    for name in ("weights", "masters", "optimiser"):
        assert two[name] == one[name] // 2
    assert two["gathered weights"] == 2 * (2 * 100 + 200)
    assert two["activations"] == one["activations"]


HELD = replace(FULL, anchored=1000, matrix=200)


def test_ewc_holds_the_start_and_the_fisher_information_in_float32():
    parts = phases(HELD)["train"].parts
    assert (parts["anchors"], parts["Fisher information"]) == (4000, 4000)
    assert phases(HELD)["save"].parts["anchors"] == 4000
    assert "anchors" not in phases()["train"].parts
    assert phases(HELD, ranks=2)["train"].parts["anchors"] == 2000


def test_the_penalty_is_computed_when_the_activations_are_gone():
    short = replace(HELD, stretches=replace(STRETCHES, kept=10, forward=20, head=30, top=30, bottom=4100))
    parts = phases(short)["train"].parts
    assert (parts["gradients"], parts["temporaries"]) == (4000, 4 * (1000 + 4 * 200))
    assert phases(HELD)["train"].parts["activations"] == 50_000


def test_what_the_penalty_takes_is_what_it_takes():
    """Beside the weights, their gradients, the start and the Fisher information."""
    shapes = {"table": (300, 16), "layer": (64, 16), "head": (500, 16)}
    with LiveBytes() as live:
        trained = {name: torch.ones(shape, requires_grad=True) for name, shape in shapes.items()}
        start, fisher = ({name: torch.ones(shape) for name, shape in shapes.items()} for _ in range(2))
        for value in trained.values():
            value.grad = torch.zeros_like(value)
        goal = elastic(CausalLM(), strength=1.0, trained=trained, start=start, fisher=fisher)
        live.lap()
        before = live.now
        penalty = goal.penalty({})
        assert penalty is not None
        penalty.backward()
    anchored = sum(value.numel() for value in trained.values())
    planned = replace(FULL, anchored=anchored, matrix=500 * 16).penalty
    assert live.peak - before == pytest.approx(planned, rel=0.02)


def test_an_encoder_may_keep_more_than_its_decoder_when_the_decoder_is_done():
    deep = replace(FULL, stretches=replace(STRETCHES, between=90_000))
    assert phases(deep)["train"].parts["temporaries"] == 40_000
    accumulated = phases(deep, accumulates=True)["train"].parts
    assert accumulated["temporaries"] == 20_000, "its gradients are there from the micro-batch before"


def test_what_each_weight_matters_is_estimated_beside_the_finished_model():
    assert "estimate" not in phases()
    found = phases(estimates=True)
    parts, saved = dict(found["estimate"].parts), dict(found["save"].parts)
    assert parts.pop("squares and gradients") == 8 * 1000
    assert saved.pop("read back") == 4 * 1000
    assert {**parts, "allocator": 0} == {**saved, "allocator": 0}


def test_the_peak_is_the_largest_phase():
    holding = Holding(process=7, trained=[FULL], frozen={}, cache=10**6)
    assert holding.peak.name == "sample"
    assert holding.peak.num_bytes == pytest.approx(7 + (1 + SLACK) * (10**6 + 14_000), abs=2)
