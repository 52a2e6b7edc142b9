"""`burnish plan` of denoising and of specialists: what it says against what the run is made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from burnish.cli import plan
from burnish.config import load, merged
from burnish.errors import ModelError
from burnish.models.load import load_config
from burnish.stages.costs import Costs, costs_of
from burnish.stages.denoise import DenoiseStage
from burnish.stages.registry import stage_class
from burnish.stages.row_demand import row_demand
from burnish.stages.specialist import SpecialistStage
from tests.models.torch_flops import torch_flops
from tests.stages.specialist_world import SENTENCES, write_rows, write_world

MASKED, SPANS = {"objective": {"kind": "masked_lm"}}, {"objective": {"kind": "span_corruption"}}

CASES: Mapping[str, tuple[str, str, str, Mapping[str, Any]]] = {
    "classify": ("classify", "bert", "texts", {}),
    "classify-causal": ("classify", "llama", "texts", {}),
    "tag": ("tag", "bert", "words", {}),
    "answer-spans": ("answer-spans", "bert", "questions", {"stride": 8}),
    "seq2seq": ("seq2seq", "t5", "pairs", {}),
    "masked": ("denoise", "bert", "sentences", MASKED),
    "spans": ("denoise", "t5", "sentences", SPANS),
}
"""By name: verb, family, rows, and what is set besides."""

ADAPTED = ("classify", "classify-causal", "tag", "seq2seq", "spans")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_world(tmp_path_factory.mktemp("world"))
    write_rows(folder / "sentences.jsonl", [{"text": f"{one} {one}"} for one in SENTENCES])
    return folder


def given(world: Path, name: str, **changes: Any) -> dict[str, Any]:
    _, family, rows, more = CASES[name]
    base: dict[str, Any] = {
        "model": str(world / family),
        "data": str(world / f"{rows}.jsonl"),
        "max_tokens": 32,
        "steps": 3,
        "train": {"batch_size": 5, "micro_batch_size": 2, "precision": "fp32"},
    }
    return merged(merged(base, dict(more)), changes)


def stage(world: Path, name: str, **changes: Any) -> Any:
    return load(stage_class(CASES[name][0]), given(world, name, **changes))


def started(made: Any) -> Any:
    """What the run itself would train."""
    if isinstance(made, DenoiseStage):
        return made._start().part
    assert isinstance(made, SpecialistStage)
    return made._start(made._labels(lambda line: None)).part


@pytest.mark.parametrize("name", CASES)
def test_parameters_and_what_is_held_of_them(name: str, world: Path):
    made = stage(world, name)
    costs = costs_of(made, measure=False)
    weights = sum(parameter.numel() for parameter in started(made).parameters())
    assert costs.trainable == costs.facts()["parameters"]["model"]["total"] == weights
    memory = costs.facts()["memory"]
    assert list(memory) == ["load", "train", "save"]
    train = memory["train"]
    assert (train["weights"], train["optimiser"]) == (4 * weights, 8 * weights)
    assert "masters" not in train  # float32
    assert memory["save"]["read back"] == 4 * weights
    assert costs.advice == []


@pytest.mark.parametrize("name", CASES)
def test_operations_are_those_that_torch_counts_of_the_run(name: str, world: Path):
    """The very micro-batches, through the very part."""
    made = stage(world, name)
    demand, part = row_demand(made), started(made)
    assert (len(demand.batches), demand.steps) == (3, 3)
    assert {len(micro.items) for batch in demand.batches for micro in batch} == {1, 2}
    (trained,) = demand.trained
    counted = sum(
        torch_flops(part.train(), type(micro.items[0]).collate(micro.items), trained.reads, backward=True)
        for batch in demand.batches
        for micro in batch
    )
    costs = costs_of(made, measure=False)
    assert costs.flops == counted // 3
    assert costs.run_flops == 3 * costs.flops


@pytest.mark.parametrize("name", ADAPTED)
def test_an_adapter_trains_with_the_head_beside_it(name: str, world: Path):
    made = stage(world, name, adapter={"rank": 2})
    costs, whole = costs_of(made, measure=False), costs_of(stage(world, name), measure=False)
    part = started(made)
    trained = sum(parameter.numel() for parameter in part.parameters() if parameter.requires_grad)
    assert costs.trainable == trained < whole.trainable
    train = costs.facts()["memory"]["train"]
    assert train["optimiser"] == 8 * trained
    assert train["weights"] == 4 * sum(parameter.numel() for parameter in part.parameters())
    assert costs.flops < whole.flops


def test_bf16_has_masters_and_muon_one_moment(world: Path):
    half = costs_of(stage(world, "classify", train={"precision": "bf16"}), measure=False)
    memory, weights = half.facts()["memory"], half.trainable
    assert (memory["train"]["weights"], memory["train"]["masters"]) == (2 * weights, 4 * weights)
    assert memory["save"]["finished model"] == 4 * weights
    muon = costs_of(stage(world, "masked", train={"muon": {}}), measure=False)
    assert muon.facts()["memory"]["train"]["optimiser"] < 8 * muon.trainable


def tensors(costs: Costs) -> int:
    """Bytes of all tensors while it trains."""
    train = costs.facts()["memory"]["train"]
    return sum(size for name, size in train.items() if name not in ("process", "allocator"))


@pytest.mark.parametrize("name", ["classify", "seq2seq", "masked"])
def test_ewc_is_held_beside_the_optimiser(name: str, world: Path):
    held = costs_of(stage(world, name, ewc={"fisher": "elsewhere", "strength": 1.0}), measure=False)
    train = held.facts()["memory"]["train"]
    assert (train["anchors"], train["Fisher information"]) == (4 * held.trainable, 4 * held.trainable)
    plain = costs_of(stage(world, name), measure=False)
    assert tensors(held) >= tensors(plain) + 8 * held.trainable
    assert held.flops == plain.flops, "elementwise work is not counted"
    estimated = costs_of(stage(world, name, fisher=3), measure=False).facts()["memory"]["estimate"]
    assert estimated["squares and gradients"] == 8 * held.trainable


def test_every_process_holds_all_weights_and_shares_the_rows(world: Path):
    one, two = (costs_of(stage(world, "classify"), measure=False, ranks=ranks) for ranks in (1, 2))
    for part in ("weights", "optimiser"):
        assert one.facts()["memory"]["train"][part] == two.facts()["memory"]["train"][part]
    assert "gathered weights" not in two.facts()["memory"]["train"]
    assert one.flops == two.flops, "of all processes together"


def test_what_to_change_where_it_does_not_fit(world: Path):
    found = "\n".join(costs_of(stage(world, "classify"), memory=10**6, measure=False).advice)
    for advice in ("--train.optimizer.moments 8-bit", "--adapter.rank 16", "--train.fill"):
        assert advice in found
    assert "--ranks" not in found, "each process would hold as much"
    assert "gradient_checkpointing" not in found, "these verbs have no such setting"
    alone = stage(world, "classify", train={"micro_batch_size": 1}, ewc={"fisher": "elsewhere", "strength": 1.0})
    found = "\n".join(costs_of(alone, memory=10**6, measure=False).advice)
    assert "--max_tokens 16" in found
    assert "--adapter" not in found, "beside EWC an adapter is refused"


def test_the_command_line_plans_them(world: Path, capsys: pytest.CaptureFixture[str]):
    words = ["--model", str(world / "bert"), "--data", str(world / "texts.jsonl"), "--max_tokens", "32", "--steps", "3"]
    plan.run(["classify", *words])
    shown = capsys.readouterr().out
    assert "3 updates of 16 rows" in shown
    assert "parameters of the model:" in shown
    assert "peak:" in shown
    assert "s per update; measured now" in shown
    plan.run(["classify", *words, "--no-clock", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["costs"]["updates"] == 3
    assert found["plan"]["rows"] == 48


def test_the_clock_measures_a_slice_of_encoder_and_decoder(world: Path):
    costs = costs_of(stage(world, "seq2seq"))
    assert costs.seconds is not None
    low, high = costs.seconds
    assert 0 < low < high


def test_a_tied_head_is_named_with_what_stands_before_it(world: Path, capsys: pytest.CaptureFixture[str]):
    common = ["--data", str(world / "sentences.jsonl"), "--steps", "1", "--max_tokens", "32", "--no-clock"]
    plan.run(["denoise", "--model", str(world / "bert"), *common])
    vocabulary = load_config(str(world / "bert")).vocab_size
    assert f"head {32 * 32 + 32 + vocabulary:,}; its matrix is the embeddings, counted once" in capsys.readouterr().out


def test_stages_of_a_recipe_are_planned_too(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    settings = given(world, "masked")
    stages = {"base": {"use": "denoise", **settings}, "sorted": {"use": "classify", **given(world, "classify")}}
    stages["sorted"]["model"] = "@base"
    (tmp_path / "demo.yaml").write_text(json.dumps({"name": "demo", "stages": stages}))
    plan.run(["demo.yaml", "--no-clock", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["base"]["costs"]["updates"] == 3
    assert found["sorted"]["waits_for"] == ["base"]


def test_a_specialist_over_an_encoder_decoder_is_not_foretold(world: Path):
    made = stage(world, "tag", model=str(world / "t5"))
    with pytest.raises(
        ModelError, match=r"t5' is an encoder-decoder, and what a specialist of it costs is not foretold"
    ):
        costs_of(made, measure=False)
