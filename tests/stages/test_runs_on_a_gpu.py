"""Whole runs on a GPU beside the same runs on the CPU of the machine; skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from burnish.config import load, merged
from burnish.graders import registry
from burnish.stages.registry import stage_class
from tests.stages.online_runs import Vowels
from tests.stages.runs import lines, run, run_killed
from tests.stages.tiny_chat import write_chats, write_model, write_pairs, write_prompts

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

DATA = {"sft": "chats", "dpo": "pairs", "reward": "pairs", "grpo": "prompts", "ppo": "prompts"}
ONLINE = ("grpo", "ppo")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu")
    write_model(folder / "model")
    write_chats(folder / "chats.jsonl")
    write_pairs(folder / "pairs.jsonl")
    write_prompts(folder / "prompts.jsonl", count=12)
    return folder


@pytest.fixture(autouse=True)
def graders(monkeypatch: pytest.MonkeyPatch) -> None:
    more = {"vowels": registry.Entry(make=lambda _: Vowels(), code=(Vowels,))}
    monkeypatch.setattr(registry, "GRADERS", {**registry.GRADERS, **more})


def made(verb: str, world: Path, **changes):
    train = {"batch_size": 2 if verb in ONLINE else 4, "precision": "fp32", "checkpoint_every": 1}
    base = {
        "model": str(world / "model"),
        "data": str(world / f"{DATA[verb]}.jsonl"),
        "steps": 4,
        "train": {**train, "optimizer": {"learning_rate": 1e-2, "epsilon": 1e-2}},
    }
    if verb in ONLINE:
        base |= {"reward": {"grader": "vowels"}, "rollout": {"num_samples": 3, "decoding": {"max_tokens": 8}}}
    return load(stage_class(verb), merged(base, changes))


@pytest.mark.parametrize("verb", ["sft", "dpo", "reward"])
def test_losses_are_those_of_the_cpu(verb: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    there = run(made(verb, world), tmp_path / "there")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    here = run(made(verb, world), tmp_path / "here")
    for row, other in zip(lines(there), lines(here), strict=True):
        for name in ("loss", "grad_norm"):
            assert row[name] == pytest.approx(other[name], rel=1e-3, abs=1e-5), name


@pytest.mark.parametrize("verb", ["sft", "ppo"])
def test_a_killed_run_goes_on(verb: str, world: Path, tmp_path: Path):
    """Sums over a GPU's threads have no fixed order, so the numbers are near and not the same."""
    whole = run(made(verb, world), tmp_path / "whole")
    run_killed(made(verb, world), tmp_path / "broken", after=2)
    broken = run(made(verb, world), tmp_path / "broken")
    assert len(lines(broken)) == 4
    for row, other in zip(lines(broken), lines(whole), strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-2, abs=1e-3)


@pytest.mark.parametrize("verb", ONLINE)
def test_a_policy_that_has_not_moved_has_a_ratio_of_1(verb: str, world: Path, tmp_path: Path):
    out = run(made(verb, world, train={"optimizer": {"learning_rate": 0.0}}), tmp_path / "still")
    for row in lines(out):
        assert row["ratio_max"] == pytest.approx(1.0, abs=1e-5)
        assert row["sampler_gap_max"] < 1e-3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_is_saved_and_read_back(dtype: str, world: Path, tmp_path: Path):
    out = run(made("sft", world, steps=1, save_dtype=dtype, train={"precision": "bf16"}), tmp_path / "saved")
    assert (out / "model" / "model.safetensors").is_file()
