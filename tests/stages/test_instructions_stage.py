"""`instructions`: what it writes, and that `sft` trains on it with held-out tasks beside."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from burnish.errors import ConfigError, DataError
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
        shots=(2,),
        cap=20,
    )


def test_tasks_are_mixed_and_held_out_ones_stand_apart(stage: InstructionsStage, tmp_path: Path):
    asked = {"zero_shot": 4, "few_shot": 4}
    assert stage.plan().facts == {"examples": 30, "counts": {"sums": 20, "gems": 10}, **asked}
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


def test_every_number_of_shots_asks_the_same_questions(stage: InstructionsStage, tmp_path: Path):
    several = dataclasses.replace(stage, shots=(1, 3, 1))
    out = run(several, tmp_path / "mix")
    few = list(read_jsonl(out / "few_shot" / "examples.jsonl"))
    assert [one.columns["shots"] for one in few] == [1] * 4 + [3] * 4
    assert [one.prompt[-1:] for one in few[:4]] == [one.prompt[-1:] for one in few[4:]]
    assert len({one.id for one in few}) == 8
    with pytest.raises(ValueError, match="shots: found 0; expected 1 or more"):
        dataclasses.replace(stage, shots=(0, 2))


def test_a_held_out_question_that_is_trained_on_is_refused_before_anything_is_written(
    stage: InstructionsStage, tmp_path: Path
):
    (tmp_path / "gems.jsonl").write_text("".join(json.dumps({"gem": f"gem{n}"}) + "\n" for n in range(10)))
    (tmp_path / "wordings.yaml").write_text(WORDINGS.replace("Say {word}.", "What is gem{word}?"))
    (tmp_path / "words.jsonl").write_text("".join(json.dumps({"word": n}) + "\n" for n in range(12)))
    with pytest.raises(DataError, match=r"training example 'gems/\d/0' asks 'What is gem\d\?', which stands in a held"):
        run(stage, tmp_path / "mix")
    assert not (tmp_path / "mix" / "examples.jsonl").exists()


def test_a_held_out_task_that_is_too_small_or_has_a_wrong_metric_is_refused_by_the_plan(
    stage: InstructionsStage, tmp_path: Path
):
    with pytest.raises(DataError, match="the held-out task 'words' has 12 rows; 4 questions with 9 shots need 13"):
        dataclasses.replace(stage, shots=(2, 9)).plan()
    (tmp_path / "wordings.yaml").write_text(WORDINGS.replace("words: {plain", "words: {metric: exacd, plain"))
    with pytest.raises(ConfigError, match=r"words\.metric: there is no metric 'exacd'; did you mean 'exact'"):
        stage.plan()
