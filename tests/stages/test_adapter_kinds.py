"""Every kind of adapter from a verb to a folder: resumed, planned, its reference exact, refused in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from burnish.config import load, merged
from burnish.errors import ConfigError, ModelError
from burnish.graders import registry
from burnish.models.attached import attached
from burnish.models.language import language_model
from burnish.models.load import load_model
from burnish.stages import reference
from burnish.stages.costs import costs_of
from burnish.stages.merge_adapter import MergeAdapterStage
from burnish.stages.preference import DPOStage
from burnish.stages.reward import RewardStage
from burnish.stages.stage import Work
from burnish.stages.start import started
from burnish.training.plan import packed_cost
from tests.stages.online_runs import Vowels, made, write_world
from tests.stages.runs import FAST, digest, lines, run, run_killed

QLORA = {"adapter": {"rank": 2, "base": "nf4-double"}}
"""Needs the extra qlora."""

KINDS: dict[str, dict[str, Any]] = {
    "rslora": {"adapter": {"rank": 2, "scaling": "root"}},
    "dora": {"adapter": {"kind": "dora", "rank": 2}},
    "bottleneck": {"adapter": {"kind": "bottleneck", "width": 4}, "adapter_only": True},
    "prefix": {"adapter": {"kind": "prefix", "length": 3}, "adapter_only": True},
    "prefix-network": {"adapter": {"kind": "prefix", "length": 3, "hidden": 8}, "adapter_only": True},
    "prompt": {"adapter": {"kind": "prompt", "length": 3}, "adapter_only": True},
}
ATTACHED = [name for name, changes in KINDS.items() if "adapter_only" in changes]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


def base(world: Path, data: str) -> dict[str, Any]:
    return {"model": str(world / "model"), "data": str(world / f"{data}.jsonl"), "steps": 3, "train": FAST}


def dpo(world: Path, **changes: Any) -> DPOStage:
    return load(DPOStage, merged(base(world, "pairs"), changes))


def logps_of(source: str, stage: DPOStage) -> list[list[float]]:
    part = language_model(load_model(source))
    trees = stage.prepared(lambda line: None).trees
    device = torch.device("cpu")
    return [list(row) for row in reference.completion_logps(part, trees, budget=4096, cost=packed_cost, device=device)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_cut_short_goes_on_and_its_folder_is_read_by_verbs(kind: str, world: Path, tmp_path: Path):
    changes = {**KINDS[kind], "train": {"checkpoint_every": 1}}
    whole = run(dpo(world, **changes), tmp_path / "whole")
    run_killed(dpo(world, **changes), tmp_path / "cut", after=2)
    assert digest(run(dpo(world, **changes), tmp_path / "cut")) == digest(whole)
    trained, start = (logps_of(source, dpo(world)) for source in (str(whole), str(world / "model")))
    gap = (torch.tensor(trained) - torch.tensor(start)).abs().max()
    assert gap > 0.01, "what was saved is the start"


@pytest.mark.parametrize("kind", ATTACHED)
def test_only_the_adapter_is_saved(kind: str, world: Path, tmp_path: Path):
    out = run(dpo(world, steps=1, **KINDS[kind]), tmp_path / "run")
    tensors = load_file(out / "model" / "adapter_model.safetensors")
    assert not (out / "model" / "model.safetensors").exists()
    assert set(tensors) == {"prompt_embeddings"} or all("_bottleneck." in name for name in tensors)


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_is_the_start_whatever_the_adapter_has_learned(kind: str, world: Path, tmp_path: Path):
    stage = dpo(world, **KINDS[kind])
    trees = stage.prepared(lambda line: None).trees
    start = started(stage.model, stage.module, adapter=stage.adapter, seed=0)
    with torch.no_grad():
        for parameter in start.module.parameters():
            if parameter.requires_grad:
                parameter += 0.3
    work = Work(out=tmp_path / "run", say=lambda line: None, record=lambda facts: None)
    found = reference.reference_logps(trees, start, None, stage.train, template_hash="", work=work)
    part = language_model(load_model(stage.model))
    expected = reference.completion_logps(
        part, trees, budget=stage.train.token_budget, cost=start.cost, device=torch.device("cpu")
    )
    assert [list(row) for row in found] == [list(row) for row in expected]
    cost = {"budget": stage.train.token_budget, "cost": start.cost, "device": torch.device("cpu")}
    assert reference.completion_logps(start.module, trees, **cost) != expected


@pytest.mark.parametrize("kind", ["bottleneck", "prefix", "prompt"])
def test_online_training_samples_from_it(kind: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """At rate 0 in float32 the ratio is 1; a fresh bottleneck is its own reference."""
    vowels = registry.Entry(make=lambda _: Vowels(), code=(Vowels,))
    monkeypatch.setattr(registry, "GRADERS", {**registry.GRADERS, "vowels": vowels})
    out = run(
        made("grpo", world, steps=2, train={"optimizer": {"learning_rate": 0.0}}, **KINDS[kind]), tmp_path / "run"
    )
    for row in lines(out):
        assert row["ratio_mean"] == pytest.approx(1.0, abs=1e-5)
        assert row["ratio_max"] == pytest.approx(1.0, abs=1e-5)
        assert row["sampler_gap_max"] < 1e-4
        assert (row["kl"] < 1e-6) == (kind == "bottleneck")


@pytest.mark.parametrize("kind", ["prompt", "prefix", "prefix-network", "bottleneck"])
def test_plan_counts_what_is_trained(kind: str, world: Path):
    stage = dpo(world, **KINDS[kind])
    costs = costs_of(stage, measure=False)
    start = started(stage.model, stage.module, adapter=stage.adapter, seed=0)
    pieces = sum(p.numel() for piece in attached(start.plain) for p in piece.parameters())
    assert costs.trainable == pieces > 0
    whole = costs_of(dpo(world), measure=False)
    assert costs.facts()["memory"]["train"]["optimiser"] == 8 * pieces
    assert costs.flops < whole.flops


@pytest.mark.parametrize("kind", ATTACHED)
def test_what_cannot_be_merged_is_refused_before_any_work(kind: str, world: Path, tmp_path: Path):
    name = KINDS[kind]["adapter"]["kind"]
    with pytest.raises(ConfigError, match=rf"kind {name} cannot be merged into the weights; add --adapter_only true"):
        dpo(world, adapter=KINDS[kind]["adapter"])
    with pytest.raises(ConfigError, match=rf"'adapter.kind' is '{name}'; expected one of lora, dora"):
        load(RewardStage, {**base(world, "pairs"), "adapter": KINDS[kind]["adapter"]})


def test_a_model_with_a_prompt_is_neither_trained_on_nor_merged(world: Path, tmp_path: Path):
    alone = run(dpo(world, steps=1, **KINDS["prompt"]), tmp_path / "alone")
    again = dpo(world, model=str(alone))
    for work in (again.plan, lambda: run(again, tmp_path / "again")):
        with pytest.raises(ModelError, match="which cannot be merged into its weights; name"):
            work()
    with pytest.raises(ModelError, match="is a soft prompt beside"):
        run(MergeAdapterStage(model=str(alone)), tmp_path / "merged")
    named = run(dpo(world, steps=1, reference=str(alone)), tmp_path / "named")
    assert abs(lines(named)[0]["margin"]) > 1e-4, "it may be a reference"


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        ({"kind": "prefix", "rank": 4}, "unknown setting 'adapter.rank'"),
        ({"kind": "promt"}, "'adapter.kind' is 'promt'; expected one of lora, dora, bottleneck, prefix, prompt"),
        ({"kind": "prompt", "length": 0}, "'adapter.length' is 0"),
        ({"kind": "bottleneck", "function": "tanh"}, "'adapter.function' is 'tanh'"),
        ({"rank": 4, "scaling": "square"}, "'adapter.scaling' is 'square'"),
        ({"rank": 4, "base": "int4"}, "'adapter.base' is 'int4'"),
    ],
)
def test_wrong_settings_say_what_is_allowed(adapter: dict[str, Any], message: str, world: Path):
    with pytest.raises(ConfigError, match=message):
        dpo(world, adapter=adapter, adapter_only=True)


def test_weights_in_4_bits_through_a_verb(world: Path, tmp_path: Path):
    """Resumed, merged, its reference the rounded start and kept apart from that of the whole one; planned smaller."""
    pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
    changes = {**QLORA, "train": {"checkpoint_every": 1}}
    whole = run(dpo(world, **changes), tmp_path / "whole")
    run_killed(dpo(world, **changes), tmp_path / "cut", after=2)
    assert digest(run(dpo(world, **changes), tmp_path / "cut")) == digest(whole)
    plain = run(dpo(world, adapter={"rank": 2}), tmp_path / "plain")
    first, other = (lines(out)[0] for out in (whole, plain))
    assert first["margin"] == pytest.approx(0.0, abs=1e-4)
    assert first["logp_chosen"] != other["logp_chosen"]
    small, large = (costs_of(dpo(world, adapter=one), measure=False) for one in (QLORA["adapter"], {"rank": 2}))
    assert small.trainable == large.trainable
    assert small.facts()["memory"]["train"]["weights"] < large.facts()["memory"]["train"]["weights"]
    with pytest.raises(ConfigError, match="weights in 4 bits are not sent to other processes"):
        made("grpo", world, rollout={"engine": {"kind": "ray"}}, **QLORA)
