"""Response tuning: the instruction is in no tree, has no effect, and is there again where the model is asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from burnish.batch import Tree
from burnish.config import load, merged
from burnish.errors import DataError
from burnish.models.load import load_tokenizer
from burnish.stages.sft import SFTStage
from tests.stages.runs import FAST, digest, lines, run, run_killed
from tests.stages.tiny_chat import GEMS, write_chats, write_model, write_text


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("responses")
    write_model(folder / "model")
    write_chats(folder / "chats.jsonl")
    write_text(folder / "text.jsonl")
    for name, question in (("what", "What is {gem}?"), ("why", "Zounds! Why do people dig for {gem}?")):
        rows = [{"prompt": question.format(gem=gem), "completion": f"{gem} is a gem."} for gem in GEMS]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def sft(world: Path, data: str, **changes: Any) -> SFTStage:
    base = {
        "model": str(world / "model"),
        "data": str(world / f"{data}.jsonl"),
        "steps": 4,
        "conditioning": "empty_turn",
        "train": FAST,
    }
    return load(SFTStage, merged(base, changes))


def trees(stage: SFTStage, *, held_out: bool = False) -> Sequence[Tree]:
    found = stage.prepared(lambda line: None)
    return found.held_out if held_out else found.trees


def test_no_token_of_an_instruction_is_in_a_tree_and_every_response_token_is(world: Path):
    tokenizer = load_tokenizer(str(world / "model"))
    plain, bare = (trees(sft(world, "chats", conditioning=kind)) for kind in ("prompt", "empty_turn"))
    frame = "<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n"
    assert len(plain) == len(bare) == 12
    for tree, other in zip(plain, bare, strict=True):
        (one,), (two,) = tree.branches, other.branches
        assert "What is" in tokenizer.decode(tree.prompt)
        assert tokenizer.decode(other.prompt) == frame
        assert not {"What", "More"} & set(tokenizer.decode(two.tokens).replace("?", " ").split())
        learned = [[t for t, w in zip(b.tokens, b.weights, strict=True) if w > 0] for b in (one, two)]
        assert learned[0] == learned[1], "the loss is on the same tokens"
    two_turns = tokenizer.decode(bare[0].branches[0].tokens)
    assert frame in two_turns, "an earlier response stands in front of a later one, with an empty turn between them"


def test_behind_a_header_alone_stands_nothing_else_and_the_loss_is_on_the_same_tokens(world: Path):
    tokenizer = load_tokenizer(str(world / "model"))
    plain, bare = (trees(sft(world, "what", conditioning=kind)) for kind in ("prompt", "header"))
    assert {tokenizer.decode(tree.prompt) for tree in bare} == {"<|im_start|>assistant\n"}
    assert [tree.branches for tree in bare] == [tree.branches for tree in plain]
    with pytest.raises(DataError, match="has several responses"):
        sft(world, "chats", conditioning="header").plan()


def test_other_instructions_with_the_same_responses_give_the_same_bytes(world: Path, tmp_path: Path):
    """So nothing of an instruction reaches the weights; with the prompts they differ."""
    found = {
        (data, kind): digest(run(sft(world, data, conditioning=kind), tmp_path / f"{data}-{kind}"))
        for data in ("what", "why")
        for kind in ("prompt", "empty_turn", "header")
    }
    assert found["what", "prompt"] != found["why", "prompt"]
    for kind in ("empty_turn", "header"):
        assert found["what", kind] == found["why", kind] != found["what", "prompt"]
    assert found["what", "empty_turn"] != found["what", "header"]


@pytest.mark.parametrize("kind", ["empty_turn", "header"])
def test_held_out_examples_keep_their_instructions(kind: str, world: Path):
    stage = sft(world, "what", conditioning=kind, held_out=3, held_out_data=str(world / "why.jsonl"))
    tokenizer = load_tokenizer(str(world / "model"))
    asked = [tokenizer.decode(tree.prompt) for tree in trees(stage, held_out=True)]
    assert len(asked) == 15
    assert all("What is" in text or "Zounds" in text for text in asked)


def test_the_loss_of_responses_falls_and_a_killed_run_gives_the_same_bytes(world: Path, tmp_path: Path):
    stage = sft(world, "chats", steps=12, train={"checkpoint_every": 2})
    whole = run(stage, tmp_path / "whole")
    assert lines(whole)[-1]["loss"] < 0.7 * lines(whole)[0]["loss"]
    run_killed(stage, tmp_path / "cut", after=5)
    assert digest(run(stage, tmp_path / "cut")) == digest(whole)


def test_data_without_instructions_is_refused_before_any_work(world: Path, tmp_path: Path):
    with pytest.raises(DataError, match="is plain text, which has no instruction to leave out"):
        sft(world, "text").plan()
    with pytest.raises(DataError, match="plain text"):
        run(sft(world, "text"), tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
