"""EWC beside specialists and denoisers: what a run finds to matter at its end, a later run holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from burnish.config import load, merged
from burnish.errors import ConfigError, ModelError
from burnish.stages.fisher import FISHER
from burnish.stages.registry import stage_class
from burnish.stages.run import run_stage
from burnish.stages.stage import Stage
from tests.stages.runs import FAST, digest, lines, run, run_killed, weights
from tests.stages.specialist_world import SENTENCES, write_rows, write_world

CASES: Mapping[str, tuple[str, str, str, Mapping[str, Any]]] = {
    "classify": ("classify", "bert", "texts", {}),
    "classify-llama": ("classify", "llama", "texts", {"balanced": True}),
    "tag": ("tag", "llama", "words", {}),
    "answer-spans": ("answer-spans", "bert", "questions", {"stride": 8}),
    "seq2seq": ("seq2seq", "t5", "pairs", {}),
    "masks": ("denoise", "bert", "sentences", {}),
    "spans": ("denoise", "t5", "sentences", {"objective": {"kind": "span_corruption"}}),
}
"""By name: verb, family, rows, and what is set besides."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_world(tmp_path_factory.mktemp("world"))
    write_rows(folder / "sentences.jsonl", [{"text": text} for text in SENTENCES[:20]])
    return folder


def stage(world: Path, name: str, **changes: Any) -> Stage:
    verb, family, rows, more = CASES[name]
    base = {
        "model": str(world / family),
        "data": str(world / f"{rows}.jsonl"),
        "max_tokens": 32,
        "steps": 6,
        "train": {**FAST, "checkpoint_every": 2},
    }
    return load(stage_class(verb), merged(merged(base, more), changes))


@pytest.fixture(scope="module")
def first(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every case trained once, with what each weight matters to it then."""
    folder = tmp_path_factory.mktemp("first")
    for name in CASES:
        run(stage(world, name, fisher=6), folder / name)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_a_run_says_at_its_end_what_each_of_its_weights_matters(name: str, first: Path):
    values, saved = load_file(first / name / FISHER), weights(first / name)
    assert {own: value.shape for own, value in values.items()} == {own: saved[own].shape for own in values}
    assert values.keys() == saved.keys()
    assert all(bool((value >= 0).all()) for value in values.values())
    facts = json.loads((first / name / "run.json").read_text())["fisher"]
    assert (facts["labels"], facts["examples"]) == ("sampled", 6)
    assert facts["trace"] == pytest.approx(sum(float(value.sum()) for value in values.values()), rel=1e-4)
    assert facts["trace"] > 0


@pytest.mark.parametrize("name", CASES)
def test_a_later_run_is_held_there(name: str, world: Path, first: Path, tmp_path: Path):
    values, start = load_file(first / name / FISHER), weights(first / name)
    moved = {}
    for strength in (None, 1e5):
        held = {} if strength is None else {"ewc": {"fisher": str(first / name), "strength": strength}}
        out = run(stage(world, name, model=str(first / name), seed=1, **held), tmp_path / str(strength))
        after = weights(out)
        moved[strength] = sum(float((values[own] * (after[own] - start[own]) ** 2).sum()) for own in values)
    found = lines(out)
    assert found[0]["penalty"] == 0.0
    assert found[-1]["penalty"] > 0.0
    assert moved[1e5] < 0.5 * moved[None]


def test_a_killed_run_is_held_at_the_same_place(world: Path, first: Path, tmp_path: Path):
    ewc = {"fisher": str(first / "masks"), "strength": 1e4}
    made = stage(world, "masks", model=str(first / "masks"), ewc=ewc, fisher=3, train={"precision": "bf16"})
    whole = run(made, tmp_path / "whole")
    run_killed(made, tmp_path / "killed", after=5)
    again = run(made, tmp_path / "killed")
    assert digest(again) == digest(whole)
    assert (again / FISHER).read_bytes() == (whole / FISHER).read_bytes()


@pytest.mark.parametrize(("name", "before"), [("classify", "masks"), ("tag", "masks"), ("seq2seq", "spans")])
def test_a_specialist_is_held_at_its_base_and_its_fresh_head_is_free(
    name: str, before: str, world: Path, first: Path, tmp_path: Path
):
    held = {"model": str(first / before), "ewc": {"fisher": str(first / before), "strength": 1e8}}
    out = run(stage(world, name, **held), tmp_path / "held")
    free = run(stage(world, name, model=str(first / before)), tmp_path / "free")
    values, start, after, other = load_file(first / before / FISHER), *map(weights, (first / before, out, free))
    shared = values.keys() & after.keys()
    assert len(shared) > 10

    def moved(found: Mapping[str, Any]) -> float:
        return sum(float((values[own] * (found[own] - start[own]) ** 2).sum()) for own in shared)

    assert moved(after) < 0.5 * moved(other)
    heads = after.keys() - values.keys()
    assert set(json.loads((out / "run.json").read_text())["not_held"]) == heads
    assert bool(heads) == (name != "seq2seq")
    fresh = weights(run(stage(world, name, model=str(first / before), steps=1, train=still()), tmp_path / "fresh"))
    assert all(float((after[own] - fresh[own]).abs().max()) > 1e-3 for own in heads)
    assert lines(out)[-1]["penalty"] > 0


def still() -> dict[str, Any]:
    """Nothing is learned: what is saved is the start."""
    return {"optimizer": {"learning_rate": 0.0}}


@pytest.mark.parametrize("name", ["classify", "masks"])
def test_what_would_hold_nothing_or_another_model_is_refused(name: str, world: Path, first: Path, tmp_path: Path):
    ewc = {"fisher": str(first / name), "strength": 1.0}
    both = stage(world, name, model=str(first / name), ewc=ewc, adapter={"rank": 2})
    for work in (both.plan, lambda: run_stage(both, tmp_path / "both", say=print)):
        with pytest.raises(ConfigError, match="with an adapter these do not move; leave one of the two out"):
            work()
    other = stage(world, name, ewc=ewc)
    with pytest.raises(ModelError, match=r"estimated at other weights than those of .*bert; make it anew with"):
        run_stage(other, tmp_path / "other", say=print)
    assert not (tmp_path / "other" / "metrics.jsonl").exists()
