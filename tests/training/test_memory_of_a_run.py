"""The phases of a run, on a model of 1,000 weights."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
    one, two = phases()["train"].parts, phases(trained=[FULL, FULL])["train"].parts
    assert two["weights"] == 2 * one["weights"]
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


def test_the_peak_is_the_largest_phase():
    holding = Holding(process=7, trained=[FULL], frozen={}, cache=10**6)
    assert holding.peak.name == "sample"
    assert holding.peak.num_bytes == pytest.approx(7 + (1 + SLACK) * (10**6 + 14_000), abs=2)
