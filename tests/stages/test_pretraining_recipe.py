"""The recipe of pretraining: what is reported of it, and Muon through a killed run, over one model and in bf16."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
import torch

from burnish.config import load, merged
from burnish.errors import TrainingError
from burnish.stages.pretrain import PretrainStage
from tests.stages.runs import FAST, digest, lines, run, run_killed, weights
from tests.stages.tiny_chat import GEMS, write_model

RECIPE = {
    "optimizer": {"learning_rate": 1e-2, "beta2": 0.95, "weight_decay": 0.1},
    "schedule": {"kind": "cosine", "warmup": 2},
    "checkpoint_every": 2,
}


OPTIMISERS = {"adamw": {}, "muon": {"muon": {}}, "8-bit": {"optimizer": {"moments": "8-bit"}}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_model(folder / "model")
    rows = [{"id": str(n), "text": f"{gem} is a gem, and it is old."} for n, gem in enumerate(GEMS)]
    (folder / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def stage(world: Path, **changes) -> PretrainStage:
    base = {"model": str(world / "model"), "data": str(world / "text.jsonl"), "steps": 5, "held_out": 2}
    return load(PretrainStage, merged({**base, "train": {**FAST, **RECIPE}}, changes))


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_killed_run_ends_with_the_same_bytes_and_has_seen_the_same_tokens(world, tmp_path, name):
    if name == "8-bit":
        pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
    made = stage(world, train=OPTIMISERS[name])
    whole = run(made, tmp_path / "whole")
    run_killed(made, tmp_path / "killed", after=3)
    assert digest(run(made, tmp_path / "killed")) == digest(whole)
    rows = lines(whole)
    assert [row["tokens_seen"] for row in rows] == list(itertools.accumulate(row["tokens"] for row in rows))
    for row in rows:
        assert row["perplexity"] == pytest.approx(math.exp(row["loss"]), rel=1e-5)
    assert rows[-1]["held_out_perplexity"] == pytest.approx(math.exp(rows[-1]["held_out_loss"]), rel=1e-5)
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_muon_moves_the_matrices_otherwise_and_learns(world, tmp_path):
    by = {
        name: run(stage(world, train={"muon": muon}), tmp_path / name) for name, muon in (("adamw", None), ("muon", {}))
    }
    first, second = (weights(out) for out in by.values())
    changed = {name for name in first if not torch.equal(first[name], second[name])}
    assert any("q_proj" in name for name in changed)
    norms = [float(weights(out)["model.layers.0.mlp.up_proj.weight"].norm()) for out in by.values()]
    assert norms[0] == pytest.approx(norms[1], rel=0.2)  # updates of the same size


def test_an_adapter_alone_is_refused(world, tmp_path):
    with pytest.raises(TrainingError, match="every trained weight"):
        run(stage(world, adapter={"rank": 2}, train={"muon": {}}), tmp_path / "out")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can")
def test_moments_that_this_device_cannot_hold_are_refused_before_any_work(world):
    pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
    with pytest.raises(TrainingError, match="8-bit-paged, which moves moments between a GPU and the machine"):
        stage(world, train={"optimizer": {"moments": "8-bit-paged"}}).plan()
