"""`burnish reward`: what it learns, saves, resumes, repeats and refuses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from burnish.batch import pack
from burnish.config import load, merged
from burnish.errors import BurnishError, DataError
from burnish.models.classifier import load_reward_model
from burnish.stages.reward import RewardStage
from tests.stages.changes import ALONE, changed_values
from tests.stages.runs import FAST, digest, lines, run, run_killed
from tests.stages.tiny_chat import write_chats, write_model, write_pairs, write_rankings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("world")
    return {
        "model": str(write_model(folder / "model")),
        "pairs": str(write_pairs(folder / "pairs.jsonl")),
        "rankings": str(write_rankings(folder / "rankings.jsonl")),
        "chats": str(write_chats(folder / "chats.jsonl")),
    }


def reward(world: Mapping[str, str], **changes: Any) -> RewardStage:
    base = {"model": world["model"], "data": world["pairs"], "steps": 4, "train": FAST}
    return load(RewardStage, merged(base, changes))


@pytest.mark.parametrize("adapter", [None, {"rank": 4}])
def test_a_trained_model_prefers_the_chosen_answers_in_transformers_too(adapter, world, tmp_path: Path):
    stage = reward(world, steps=12, adapter=adapter, held_out=2)
    out = run(stage, tmp_path / "out")
    rows = lines(out)
    assert rows[0]["loss"] == pytest.approx(0.693, abs=0.1)
    assert rows[-1]["held_out_accuracy"] == 1.0
    assert sorted(path.name for path in out.iterdir()) == ["metrics.jsonl", "model", "run.json"]
    model = AutoModelForSequenceClassification.from_pretrained(out / "model")
    tokenizer = AutoTokenizer.from_pretrained(out / "model")
    trees = stage.prepared(lambda line: None).held_out
    texts = [[*tree.prompt, *branch.tokens] for tree in trees for branch in tree.branches]
    padded = tokenizer.pad({"input_ids": texts}, return_tensors="pt")
    with torch.no_grad():
        theirs = model(input_ids=padded["input_ids"], attention_mask=padded["attention_mask"]).logits[:, 0]
        ours = load_reward_model(str(out))(pack(trees), frozenset({"score"}))["score"]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert (ours[0::2] > ours[1::2]).all()


@pytest.mark.parametrize("changes", [{}, {"adapter": {"rank": 2}, "heads": 2, "train": {"precision": "bf16"}}])
def test_a_killed_run_goes_on_with_the_same_bytes_head_included(changes, world, tmp_path: Path):
    changes = merged({"steps": 5, "train": {"checkpoint_every": 2}}, changes)
    whole = run(reward(world, **changes), tmp_path / "whole")
    run_killed(reward(world, **changes), tmp_path / "cut", after=3)
    state = next((tmp_path / "cut" / "checkpoints").glob("step-*/scorer-*.safetensors"))
    assert load_file(state)["master.head.weight"].dtype == torch.float32
    assert digest(run(reward(world, **changes), tmp_path / "cut")) == digest(whole)
    assert digest(run(reward(world, seed=1, **changes), tmp_path / "other")) != digest(whole)


def test_the_head_is_trained_in_float32_where_the_model_is_not(world, tmp_path: Path):
    """A step far below the spacing of bf16 numbers moves the head, and the start weights come back to the bit."""
    train = {"precision": "bf16", "optimizer": {"learning_rate": 0.0}}
    still = run(reward(world, adapter={"rank": 2}, train=train), tmp_path / "still")
    found = load_file(still / "model" / "model.safetensors")
    for name, value in load_file(Path(world["model"]) / "model.safetensors").items():
        if name in found and found[name].shape == value.shape:
            assert torch.equal(found[name], value), name
    assert json.loads((still / "run.json").read_text())["dtype"] == "torch.bfloat16"
    train["optimizer"] = {"learning_rate": 1e-7}
    moved = load_file(run(reward(world, train=train), tmp_path / "moved") / "model" / "model.safetensors")
    assert not torch.equal(moved["score.weight"], found["score.weight"])
    torch.testing.assert_close(moved["score.weight"], found["score.weight"], atol=1e-6, rtol=0)


def test_an_ensemble_is_saved_member_by_member(world, tmp_path: Path):
    out = run(reward(world, heads=3), tmp_path / "out")
    assert sorted(path.name for path in (out / "model").iterdir()) == ["head-0", "head-1", "head-2"]
    heads = [load_file(out / "model" / f"head-{i}" / "model.safetensors")["score.weight"] for i in range(3)]
    assert not torch.equal(heads[0], heads[1])
    assert "spread" in lines(out)[0]


def test_rankings_train_too_and_demonstrations_are_refused(world, tmp_path: Path):
    rows = lines(run(reward(world, data=world["rankings"], steps=8), tmp_path / "out"))
    assert rows[-1]["accuracy"] > rows[0]["accuracy"]
    with pytest.raises(DataError, match="a reward model needs two or more"):
        reward(world, data=world["chats"]).plan()


def test_every_setting_changes_the_run_or_is_refused(world, tmp_path: Path):
    base = {"model": world["model"], "data": world["rankings"], "steps": 4, "train": FAST}

    def outcome(changes: Mapping[str, Any], name: str) -> object:
        out = tmp_path / name
        try:
            run(load(RewardStage, merged(base, changes)), out)
        except BurnishError as error:
            return str(error)
        return lines(out), digest(out)

    before = outcome({}, "base")
    also = {"columns": {"prompt": "question"}, "date": "2020-02-20"}
    changes = changed_values(RewardStage, merged(base, {"adapter": {}}), also, ALONE)
    names = ("objective.", "heads", "save_dtype", "seed")
    own = {name: change for name, change in changes.items() if name.startswith(names)}
    assert len(own) >= 8
    assert [name for name, change in own.items() if outcome(change, name) == before] == []
