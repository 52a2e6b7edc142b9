"""What `burnish plan` advises makes the peak smaller, as it says itself when it is asked again; and what each model and
each process holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.config import load, merged
from burnish.stages.costs import Costs, costs_of
from burnish.stages.registry import stage_class
from burnish.stages.training import TrainingStage
from tests.stages.tiny_chat import write_chats, write_model, write_prompts


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("advice")
    write_model(folder / "tiny")
    config = json.loads((folder / "tiny" / "config.json").read_text())
    wider = {"hidden_size": 256, "intermediate_size": 512, "head_dim": 64}  # no weights are read
    (folder / "tiny" / "config.json").write_text(json.dumps(config | wider))
    write_chats(folder / "chats.jsonl")
    write_prompts(folder / "prompts.jsonl")
    return folder


def planned(place: Path, verb: str, *given: dict[str, Any], ranks: int = 1) -> Costs:
    """Costs where there is hardly any memory."""
    base: dict[str, Any] = {
        "model": str(place / "tiny"),
        "data": str(place / ("chats.jsonl" if verb == "sft" else "prompts.jsonl")),
        "steps": 2,
        "train": {"batch_size": 4, "micro_batch_size": 2, "precision": "fp32"},
    }
    if verb != "sft":
        base |= {"rollout": {"num_samples": 8, "decoding": {"max_tokens": 100}}}
    for more in given:
        base = merged(base, more)
    stage = load(stage_class(verb), base)
    assert isinstance(stage, TrainingStage)
    return costs_of(stage, memory=1, ranks=ranks, measure=False)


def tensors(costs: Costs) -> int:
    """The peak without the process, which only grows in one that plans again and again."""
    return costs.peak.num_bytes - costs.peak.parts["process"]


def parts(costs: Costs, phase: str = "train") -> dict[str, int]:
    """The bytes of a phase by part."""
    return next(dict(one.parts) for one in costs.phases if one.name == phase)


def when_followed(place: Path, advice: str) -> Costs:
    """The costs of supervised training when one does what a piece of advice says."""
    words = advice.partition(": ")[2].split()
    if "--ranks" in words:
        return planned(place, "sft", ranks=int(words[words.index("--ranks") + 1]))
    name, value = words[0].removeprefix("--"), words[1]
    typed: Any = {"true": True}.get(value, int(value) if value.isdecimal() else value)
    for part in reversed(name.split(".")):
        typed = {part: typed}
    return planned(place, "sft", typed)


def test_each_piece_of_advice_makes_it_smaller(place: Path):
    """Batch, moments, adapter, activations, processes: everything that the plan can say of a supervised run."""
    pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
    before = planned(place, "sft")
    assert len(before.advice) == 5
    for advice in before.advice:
        assert tensors(when_followed(place, advice)) < tensors(before), advice


def test_a_batch_is_not_cut_where_gradients_beside_activations_would_take_more(place: Path):
    """Of a single micro-batch the gradients come as the activations go."""
    whole = planned(place, "sft", {"train": {"micro_batch_size": 4}})
    assert not any("--train.fill" in advice for advice in whole.advice)


def test_nothing_is_advised_that_would_be_refused(place: Path):
    """Moments in 8 bits are those of whole matrices, and an adapter leaves EWC nothing to hold."""
    two = planned(place, "sft", ranks=2).advice
    assert not any("8-bit" in advice for advice in two)
    whole = planned(place, "sft", {"train": {"divide": "nothing"}}, ranks=2).advice
    assert any("8-bit" in advice for advice in whole)
    assert any("--ranks 4 shows what each of 4" in advice for advice in two)


def test_the_models_of_ppo_stand_by_their_names(place: Path):
    found = parts(planned(place, "ppo"))
    weights = found["weights"]
    assert found["reference"] == weights
    assert weights - found["weights of the critic"] < 4 * 300 * 256 + 2000, "it has a head of one row"
    assert {"optimiser", "optimiser of the critic"} <= found.keys()
    shared = parts(planned(place, "ppo", {"critic": {"shared": True}}))
    assert not any("critic" in name for name in shared)


def test_two_processes_divide_what_is_divided_and_hold_the_rest(place: Path):
    one, two = (parts(planned(place, "grpo", ranks=count)) for count in (1, 2))
    for name in ("weights", "optimiser", "reference"):
        assert two[name] == pytest.approx(one[name] / 2, rel=0.01), name
    assert two["whole copy to sample from"] == one["weights"]
    assert "whole copy to sample from" not in parts(planned(place, "sft", ranks=2))
    one, two = (parts(planned(place, "sft", {"adapter": {"rank": 4}}, ranks=count)) for count in (1, 2))
    assert two["optimiser"] == one["optimiser"], "an adapter is whole on every rank"
    assert one["weights"] / 2 < two["weights"] < one["weights"]
    one, two = (parts(planned(place, "sft", {"train": {"divide": "nothing"}}, ranks=count)) for count in (1, 2))
    assert two["weights"] == one["weights"]
