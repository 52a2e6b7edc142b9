"""`instructions`: what it writes, and that `sft` trains on it with held-out tasks beside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from burnish.errors import ConfigError
from burnish.example import read_jsonl
from burnish.stages.instructions import InstructionsStage
from burnish.stages.sft import SFTStage
from tests.stages.runs import FAST, lines, run
from tests.stages.tiny_chat import write_model

WORDINGS = """
sums:
  plain: [{prompt: "{a} + 1 =", answer: "{c}"}, {prompt: "Add 1 to {a}.", answer: "{c}"}]
  reasoned: [{prompt: "{a} + 1? Think.", answer: "It is one more. {c}"}]
gems: {plain: [{prompt: "What is {gem}?", answer: "a gem"}]}
words: {plain: [{prompt: "Say {word}.", answer: "{word}"}]}
"""


@pytest.fixture
def stage(tmp_path: Path) -> InstructionsStage:
    (tmp_path / "wordings.yaml").write_text(WORDINGS)
    tasks = {
        "sums": [{"a": n, "c": n + 1} for n in range(40)],
        "gems": [{"gem": f"gem{n}"} for n in range(10)],
        "words": [{"word": f"word{n}"} for n in range(12)],
    }
    for name, rows in tasks.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return InstructionsStage(
        data=[f"{name}={tmp_path / name}.jsonl" for name in tasks],
        wordings=str(tmp_path / "wordings.yaml"),
        held_out=("words",),
        held_out_count=4,
        shots=2,
        cap=20,
    )


def test_tasks_are_mixed_and_held_out_ones_stand_apart(stage: InstructionsStage, tmp_path: Path):
    assert stage.plan().facts == {"examples": 30, "counts": {"sums": 20, "gems": 10}}
    out = run(stage, tmp_path / "mix")
    found = list(read_jsonl(out / "examples.jsonl"))
    assert [sum(one.columns["task"] == name for one in found) for name in ("sums", "gems", "words")] == [20, 10, 0]
    assert {one.columns["task"] for one in found[:12]} == {"sums", "gems"}, "they are mixed"
    assert 0 < sum(bool(one.columns["reasoned"]) for one in found) < 20
    zero, few = (list(read_jsonl(out / kind / "examples.jsonl")) for kind in ("zero_shot", "few_shot"))
    assert [one.columns["task"] for one in zero] == ["words"] * 4
    assert [len(one.prompt) for one in (zero[0], few[0])] == [1, 5]


@pytest.mark.parametrize("kind", ["zero_shot", "few_shot"])
def test_sft_learns_from_it_and_looks_at_tasks_that_it_never_sees(stage: InstructionsStage, tmp_path: Path, kind: str):
    out, model = run(stage, tmp_path / "mix"), write_model(tmp_path / "model")
    run(
        SFTStage(model=str(model), data=str(out), held_out_data=str(out / kind), steps=2, train=FAST),
        tmp_path / "tuned",
    )
    assert "held_out_loss" in lines(tmp_path / "tuned")[-1]


def test_what_does_not_fit_is_refused(stage: InstructionsStage, tmp_path: Path):
    def changed(**values: object) -> InstructionsStage:
        given = {"data": dict(stage.data), "wordings": stage.wordings}
        return InstructionsStage(**{**given, **values})  # type: ignore[arg-type]

    with pytest.raises(ConfigError, match="there is no task 'sum'; tasks are sums, gems, words"):
        changed(held_out=("sum",)).plan()
    with pytest.raises(ConfigError, match="all 3 tasks are held out"):
        changed(held_out=("sums", "gems", "words")).plan()
    with pytest.raises(ConfigError, match="no wordings for the task 'more'"):
        changed(data={"more": str(tmp_path / "gems.jsonl")}).plan()
