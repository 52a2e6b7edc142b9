"""A mixture of experts through the verbs: made, pretrained, resumed, fine-tuned with an adapter, sampled, planned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from burnish.batch import pack
from burnish.cli.costs import lines_of
from burnish.config import load
from burnish.errors import ConfigError
from burnish.models.front import num_virtual
from burnish.models.language import language_model
from burnish.models.load import load_model
from burnish.models.mixture import NoisyMoeForCausalLM
from burnish.models.routed import RoutedLanguageModel
from burnish.objectives.dpo import DPO
from burnish.protocols import Decoding, Request
from burnish.sampling.engine import InProcessEngine
from burnish.stages.costs import costs_of
from burnish.stages.demand import demand_of
from burnish.stages.new_model import NewModelStage
from burnish.stages.preference import DPOStage
from burnish.stages.pretrain import PretrainStage
from burnish.stages.sft import SFTStage
from tests.stages.runs import FAST, digest, lines, run, run_killed, weights
from tests.stages.tiny_chat import tiny_tokenizer, write_chats, write_pairs, write_text

SIZES = {"width": 32, "heads": 4, "inner": 24, "experts": 4}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new mixture, and data."""
    folder = tmp_path_factory.mktemp("world")
    tiny_tokenizer().save_pretrained(folder / "tokenizer")
    run(new(folder, balance={"load_weight": 0.2}), folder / "new")
    write_chats(folder / "chats.jsonl")
    write_pairs(folder / "pairs.jsonl")
    write_text(folder / "text.jsonl")
    return folder


def new(folder: Path, **changes) -> NewModelStage:
    base = {"family": "moe", "tokenizer": str(folder / "tokenizer"), "depth": 2, "sizes": SIZES}
    return load(NewModelStage, {**base, **changes})


def pretrain(world: Path, **changes) -> PretrainStage:
    base = {"model": str(world / "new"), "data": str(world / "text.jsonl"), "steps": 6, "held_out": 2}
    train = {**FAST, "evaluate_every": 3, "checkpoint_every": 2}
    return load(PretrainStage, {**base, "train": train, **changes})


@pytest.fixture(scope="module")
def base(world: Path) -> Path:
    """The mixture, pretrained."""
    return run(pretrain(world), world / "base")


def test_a_new_mixture_has_the_sizes_asked_for_and_the_rules_for_the_others(world: Path):
    record = json.loads((world / "new" / "run.json").read_text())
    model = load_model(str(world / "new"))
    assert type(model) is NoisyMoeForCausalLM
    assert (model.config.num_experts, model.config.num_experts_per_tok) == (4, 2)
    assert (model.config.importance_weight, model.config.load_weight) == (0.1, 0.2)
    assert record["shape"]["experts_per_token"] == 2
    assert sum(record["parameters"].values()) == sum(p.numel() for p in model.parameters())
    derived = load(NewModelStage, {"family": "moe", "tokenizer": "x", "depth": 6})._shape()
    assert (derived.width, derived.experts, derived.experts_per_token, derived.inner) == (384, 8, 2, 512)


def test_gates_start_at_zero_and_each_expert_by_the_rule_of_a_layer_of_its_own(world: Path):
    started = weights(run(new(world, zero_residual=False, sizes={**SIZES, "inner": 96}), world / "loose"))
    for name, value in started.items():
        if ".gate." in name:
            assert not value.any()
        elif "experts" in name:
            assert float(value.std()) == pytest.approx((2 / (32 + 96)) ** 0.5, rel=0.05)
            assert not torch.equal(value[0], value[1])
    zeroed = weights(world / "new")
    zeros = {name.split(".", 3)[3] for name, value in zeroed.items() if value.ndim > 1 and not value.any()}
    gates = {"mlp.gate.weight", "mlp.gate.noise_weight"}
    assert zeros == gates | {"self_attn.o_proj.weight", "mlp.experts.down_proj"}


def test_pretraining_lowers_the_loss_and_says_what_the_experts_do(base: Path):
    found = lines(base)
    assert found[-1]["nll"] < 0.9 * found[0]["nll"]
    assert found[0]["loss"] == pytest.approx(found[0]["nll"] + found[0]["importance"] + found[0]["load"])
    assert 1 <= found[-1]["busiest_expert"] <= 2
    assert {"importance_cv", "load_cv"} < found[0].keys()
    assert "held_out_loss" in found[-1]
    assert not {"held_out_importance", "held_out_load"} & found[-1].keys()
    assert found[-1]["held_out_loss"] < found[2]["held_out_loss"]
    gates = [value for name, value in weights(base).items() if ".gate.weight" in name]
    assert all(float(value.abs().max()) > 0 for value in gates)


def test_a_killed_run_goes_on_to_the_same_bytes(world: Path, base: Path):
    run_killed(pretrain(world), world / "killed", after=3)
    assert digest(run(pretrain(world), world / "killed")) == digest(base)


def test_an_adapter_learns_beside_still_gates_and_experts(world: Path, base: Path):
    made = {"model": str(base), "data": str(world / "chats.jsonl"), "steps": 3, "train": FAST, "adapter": {"rank": 2}}
    tuned, before = weights(run(load(SFTStage, made), world / "tuned")), weights(base)
    moved = {name.split(".")[3] for name in before if not torch.equal(tuned[name], before[name])}
    assert moved == {"self_attn"}
    assert lines(world / "tuned")[-1]["load"] > 0


def test_it_is_sampled_from_as_it_is_evaluated(base: Path):
    model = load_model(str(base))
    engine = InProcessEngine(language_model(model), stop_tokens=(1,), policy_version="v")
    asked = [Request(id="a", prompt=[5, 6, 7, 8], num_samples=2), Request(id="b", prompt=[9, 20], num_samples=1)]
    for group, request in zip(engine.sample(asked, Decoding(max_tokens=8), seed=0), asked, strict=True):
        for sample in group:
            model.set_attn_implementation("sdpa")
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([[*request.prompt, *sample.tokens]])).logits[0]
            logps = torch.log_softmax(logits, -1)[len(request.prompt) - 1 : -1]
            expected = logps.gather(1, torch.tensor(sample.tokens)[:, None])[:, 0]
            assert list(sample.logps) == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_plan_counts_active_experts_and_the_pass_of_the_statistics(world: Path):
    demand = demand_of(pretrain(world))
    assert demand.passes == 1
    assert {"expert_importance", "expert_load"} < demand.trained[0].reads
    costs = costs_of(pretrain(world), measure=False)
    found = costs.parameters["policy"]
    model = load_model(str(world / "new"))
    experts = [p.numel() for name, p in model.named_parameters() if ".experts." in name]
    assert (found.experts, found.chosen) == (sum(experts), sum(experts) // 2)
    assert found.active == found.total - sum(experts) // 2
    assert costs.facts()["parameters"]["policy"]["active"] == found.active
    assert any(f"{found.experts:,} in experts, and {found.active:,} active" in line for line in lines_of(costs))
    assert {phase.name for phase in costs.phases} == {"load", "train", "save"}


@pytest.mark.parametrize("kind", ["prefix", "prompt", "bottleneck"])
def test_what_stands_beside_the_weights_is_trained_resumed_planned_and_read(
    world: Path, base: Path, tmp_path: Path, kind: str
):
    size = {"width": 4} if kind == "bottleneck" else {"length": 2}
    made = {
        "model": str(base),
        "data": str(world / "chats.jsonl"),
        "steps": 3,
        "train": {**FAST, "checkpoint_every": 1},
        "adapter": {"kind": kind, **size},
        "adapter_only": True,
    }
    stage = load(SFTStage, made)
    whole = run(stage, tmp_path / "whole")
    run_killed(stage, tmp_path / "cut", after=2)
    assert digest(run(stage, tmp_path / "cut")) == digest(whole)
    assert lines(whole)[-1]["load"] > 0
    costs = costs_of(stage, measure=False)
    saved = load_file(whole / "model" / "adapter_model.safetensors")
    assert costs.trainable == sum(value.numel() for value in saved.values())
    read = language_model(load_model(str(whole)))
    assert num_virtual(read.model) == size.get("length", 0)
    trees = stage.prepared(lambda line: None).trees[:2]
    before = language_model(load_model(str(base)))
    with torch.no_grad():
        found, start = (part(pack(trees), frozenset({"logp"}))["logp"] for part in (read, before))
    assert float((found - start).abs().max()) > 1e-3


def test_only_training_by_likelihood_is_noisy(world: Path, base: Path):
    asked = {"model": str(base), "data": str(world / "pairs.jsonl")}
    model = load_model(str(base))
    assert load(DPOStage, asked).goal_over(model.config) == DPO()
    assert not isinstance(load(DPOStage, asked).module(model), RoutedLanguageModel)
    assert isinstance(load(SFTStage, asked).module(model), RoutedLanguageModel)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": {"experts": 0}}, "sizes.experts is 0; a gate needs 2 or more to choose from"),
        ({"sizes": {"experts": 4, "experts_per_token": 5}}, "sizes.experts_per_token is 5, and there are 4 experts"),
        ({"sizes": {"experts_per_token": 1}}, "sizes.experts_per_token is 1; one alone has the weight 1 always"),
        ({"sizes": {**SIZES, "inner": 20}}, "the inner is 20, and products grouped by expert take multiples of 8"),
        ({"family": "llama", "sizes": {"experts": 4}}, "sizes.experts is 4, and llama has no such size"),
        ({"family": "llama", "sizes": {}, "balance": {"load_weight": 0}}, "balance is for experts, and llama has none"),
    ],
)
def test_settings_that_no_gate_can_have_are_refused_before_any_work(world: Path, changes, message):
    with pytest.raises(ConfigError, match=message):
        new(world, **changes).plan()
