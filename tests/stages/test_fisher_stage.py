"""The stage `fisher` and `ewc` beside training: a cached estimate, held weights, resuming, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from burnish.config import load, merged
from burnish.errors import ConfigError, ModelError, StoreError
from burnish.stages.fisher import FISHER, FisherStage
from burnish.stages.preference import DPOStage
from burnish.stages.pretrain import PretrainStage
from burnish.stages.run import run_stage
from tests.stages.runs import FAST, digest, lines, run, run_killed, weights
from tests.stages.tiny_chat import write_model, write_pairs, write_text


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_model(folder / "model")
    write_model(folder / "other", seed=1)
    write_text(folder / "text.jsonl")
    write_pairs(folder / "pairs.jsonl")
    run(fisher(folder), folder / "fisher")
    return folder


def fisher(world: Path, **changes: Any) -> FisherStage:
    base = {"model": str(world / "model"), "data": str(world / "text.jsonl"), "examples": 5, "precision": "fp32"}
    return load(FisherStage, merged(base, changes))


def trained(world: Path, *, strength: float | None = 1e5, **changes: Any) -> PretrainStage:
    base: dict[str, Any] = {
        "model": str(world / "model"),
        "data": str(world / "text.jsonl"),
        "steps": 6,
        "train": {**FAST, "checkpoint_every": 2},
    }
    if strength is not None:
        base["ewc"] = {"fisher": str(world / "fisher"), "strength": strength}
    return load(PretrainStage, merged(base, changes))


def test_an_estimate_names_every_parameter_and_says_over_what_it_is(world, tmp_path):
    values = load_file(world / "fisher" / FISHER)
    scores = json.loads((world / "fisher" / "scores.json").read_text())
    model = load_file(world / "model" / "model.safetensors")
    assert {name: value.shape for name, value in values.items()} == {n: v.shape for n, v in model.items()}
    assert all(bool((value >= 0).all()) for value in values.values())
    assert (scores["labels"], scores["examples"]) == ("sampled", 5)
    assert scores["trace"] == pytest.approx(sum(float(value.sum()) for value in values.values()), rel=1e-4)
    again = run(fisher(world), tmp_path / "again")
    assert (again / FISHER).read_bytes() == (world / "fisher" / FISHER).read_bytes()
    other = run(fisher(world, labels="data"), tmp_path / "other")
    assert json.loads((other / "scores.json").read_text())["trace"] != scores["trace"]


def test_the_penalty_holds_what_the_fisher_information_minds(world, tmp_path):
    start, values = load_file(world / "model" / "model.safetensors"), load_file(world / "fisher" / FISHER)
    moved = {}
    for strength in (None, 1.0, 1e5):
        out = run(trained(world, strength=strength), tmp_path / str(strength))
        moved[strength] = sum(float((values[n] * (w - start[n]) ** 2).sum()) for n, w in weights(out).items())
        rows = lines(out)
        assert ("penalty" in rows[0]) == (strength is not None)
    assert moved[1e5] < 0.5 * moved[None]
    assert moved[1e5] < moved[1.0]
    assert rows[0]["penalty"] == 0.0
    assert rows[-1]["penalty"] > 0.0


def test_a_killed_run_is_held_at_the_same_place_and_bf16_is_held_in_float32(world, tmp_path):
    made = trained(world, train={"precision": "bf16"})
    whole = run(made, tmp_path / "whole")
    run_killed(made, tmp_path / "killed", after=5)
    assert digest(run(made, tmp_path / "killed")) == digest(whole)
    assert lines(whole)[0]["penalty"] == 0.0


def test_it_stands_beside_any_objective(world, tmp_path):
    stage = load(
        DPOStage,
        {
            "model": str(world / "model"),
            "data": str(world / "pairs.jsonl"),
            "steps": 2,
            "train": FAST,
            "ewc": {"fisher": str(world / "fisher"), "strength": 10.0},
        },
    )
    assert lines(run(stage, tmp_path / "out"))[-1]["penalty"] > 0


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"adapter": {"rank": 4}}, ConfigError, "with an adapter these do not move; leave one of the two out"),
        ({"model": "other"}, ModelError, "estimated at other weights than those of .*other; make it anew with"),
        ({"ewc": {"fisher": "text.jsonl"}}, StoreError, "holds no fisher.safetensors; make one with: burnish fisher"),
    ],
)
def test_what_would_hold_nothing_or_another_model_is_refused(world, tmp_path, changes, error, message):
    place = {"model": lambda name: str(world / name), "ewc": lambda one: {"fisher": str(world / one["fisher"])}}
    made = trained(world, **{name: place.get(name, lambda v: v)(value) for name, value in changes.items()})
    with pytest.raises(error, match=message):
        run_stage(made, tmp_path / "out", say=print)
    assert not (tmp_path / "out" / "metrics.jsonl").exists()


def test_a_damaged_estimate_is_named(world, tmp_path):
    (tmp_path / "fisher").mkdir()
    (tmp_path / "fisher" / FISHER).write_bytes(b"nothing")
    made = trained(world, ewc={"fisher": str(tmp_path / "fisher")})
    with pytest.raises(ModelError, match="cannot be read as an estimate of the Fisher information"):
        run_stage(made, tmp_path / "out", say=print)
