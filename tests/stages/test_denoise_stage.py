"""The stage `denoise`: each objective from text to a folder that reads back, resuming, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from burnish.config import load, merged
from burnish.errors import ConfigError, DataError
from burnish.stages.denoise import DenoiseStage
from burnish.stages.new_model import NewModelStage
from burnish.stages.run import run_stage
from burnish.text.training import BPE, Special, trained_tokenizer
from tests.stages.runs import FAST, digest, lines, run, run_killed, weights
from tests.stages.tiny_chat import write_model
from tests.text.test_training import TEXTS

AUTO = {"bert": AutoModelForMaskedLM, "t5": AutoModelForSeq2SeqLM}
GOALS = {"masked_lm": "bert", "span_corruption": "t5", "ul2": "t5"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    special = Special(mask="<|mask|>", sentinels=30, modes=True)
    trained_tokenizer(TEXTS, BPE(vocabulary=330), special).save_pretrained(folder / "tokenizer")
    for family in AUTO:
        sizes = {"width": 32, "heads": 2, **({"context": 64} if family == "bert" else {})}
        given = {"tokenizer": str(folder / "tokenizer"), "family": family, "depth": 1, "sizes": sizes}
        run(load(NewModelStage, given), folder / family)
    rows = [{"text": text} for text in TEXTS] + [{"text": "a"}]
    (folder / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def stage(world: Path, kind: str, **changes) -> DenoiseStage:
    base = {
        "model": str(world / GOALS[kind]),
        "data": str(world / "text.jsonl"),
        "objective": {"kind": kind},
        "held_out": 6,
        "max_tokens": 48,
        "steps": 24,
        "train": {**FAST, "batch_size": 8, "checkpoint_every": 3, "evaluate_every": 8},
    }
    return load(DenoiseStage, merged(base, changes))


@pytest.mark.parametrize("kind", GOALS)
def test_the_held_out_bits_per_byte_fall_and_the_model_reads_back(world, tmp_path, kind):
    said: list[str] = []
    out = run(stage(world, kind), tmp_path / "out", said)
    looks = [line["held_out_bits_per_byte"] for line in lines(out) if "held_out_bits_per_byte" in line]
    assert len(looks) == 3
    assert looks[-1] < looks[0]
    AUTO[GOALS[kind]].from_pretrained(out / "model")
    short = json.loads((out / "run.json").read_text())["data"]["too_short"]
    assert short >= 1
    assert f"left out: {short} texts of fewer than 2 tokens" in said
    assert not (out / "checkpoints").exists()


@pytest.mark.parametrize("kind", GOALS)
def test_a_killed_run_ends_with_the_same_bytes(world, tmp_path, kind):
    made = stage(world, kind, steps=7)
    whole = run(made, tmp_path / "whole")
    run_killed(made, tmp_path / "killed", after=5)
    assert digest(run(made, tmp_path / "killed")) == digest(whole)
    assert digest(run(stage(world, kind, steps=7, seed=1), tmp_path / "other")) != digest(whole)


def test_a_trained_model_can_be_trained_on_and_bf16_keeps_float32_masters(world, tmp_path):
    first = run(stage(world, "masked_lm", steps=4, train={"precision": "bf16"}), tmp_path / "first")
    again = run(stage(world, "masked_lm", steps=12, model=str(first)), tmp_path / "again")
    assert lines(again)[-1]["loss"] < lines(first)[0]["loss"]
    still = run(
        stage(world, "masked_lm", steps=1, train={"precision": "bf16", "optimizer": {"learning_rate": 0.0}}),
        tmp_path / "still",
    )
    before = (world / "bert" / "model" / "model.safetensors").read_bytes()
    assert (still / "model" / "model.safetensors").read_bytes() == before


ADAPTERS = {
    "lora": {"rank": 4},
    "dora": {"kind": "dora", "rank": 4},
    "qlora": {"rank": 4, "base": "nf4-double"},
}


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("kind", ["masked_lm", "span_corruption"])
def test_an_adapter_learns_goes_on_after_a_kill_and_is_merged(world, tmp_path, kind, adapter):
    if adapter == "qlora":
        pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
    start = run(stage(world, kind, steps=3), tmp_path / "start")
    made = stage(world, kind, steps=12, model=str(start), adapter=ADAPTERS[adapter])
    whole = run(made, tmp_path / "whole")
    run_killed(made, tmp_path / "killed", after=5)
    assert digest(run(made, tmp_path / "killed")) == digest(whole)
    before, after = weights(start), weights(whole)
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved
    assert all(before[name].ndim == 2 and "embed" not in name and "shared" not in name for name in moved)
    assert lines(whole)[-1]["held_out_loss"] < lines(start)[-1]["held_out_loss"]
    AUTO[GOALS[kind]].from_pretrained(whole / "model")


def test_a_dry_run_counts_the_texts(world):
    plan = stage(world, "ul2", steps=None, train={"epochs": 2}).plan()
    assert plan.facts["texts"] + plan.facts["held_out"] >= len(TEXTS)
    assert plan.lines[-1] == f"{-(-2 * plan.facts['texts'] // 8)} updates of 8 texts"


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("masked_lm", {"objective": {"kind": "ul2"}}, "is ul2, and .* is trained with masked_lm"),
        ("ul2", {"objective": {"kind": "masked_lm"}}, "is trained with span_corruption or ul2"),
        ("masked_lm", {"max_tokens": 65}, "max_tokens is 65, and .* has 64 positions; lower it"),
        ("masked_lm", {"train": {"epochs": 1}}, "steps is 24 and train.epochs is 1"),
    ],
)
def test_settings_that_could_not_work_are_refused(world, tmp_path, kind, changes, message):
    made = stage(world, kind, **changes)
    for work in (made.plan, lambda: run_stage(made, tmp_path / "out", say=print)):
        with pytest.raises(ConfigError, match=message):
            work()


def test_more_spans_than_sentinels_are_refused_before_the_first_step(world, tmp_path):
    (tmp_path / "long.jsonl").write_text(json.dumps({"text": " ".join(TEXTS)}) + "\n")
    changes = {"max_tokens": 400, "held_out": 0, "data": str(tmp_path / "long.jsonl"), "objective": {"rate": 0.5}}
    with pytest.raises(DataError, match=r"\d+ hidden spans, and the tokenizer 30 sentinels"):
        run_stage(stage(world, "span_corruption", **changes), tmp_path / "out", say=print)
    assert not (tmp_path / "out" / "metrics.jsonl").exists()


def test_a_causal_model_is_refused(world, tmp_path):
    model = write_model(tmp_path / "model")
    with pytest.raises(DataError, match="no mask token"):
        run_stage(stage(world, "masked_lm", model=str(model)), tmp_path / "out", say=print)
