"""`word-tasks`: what it writes, and that `instructions` takes it as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from burnish.errors import ConfigError
from burnish.example import read_jsonl
from burnish.stages.instructions import InstructionsStage
from burnish.stages.word_tasks import WordTasksStage
from tests.stages.runs import run


def test_rows_and_wordings_are_what_instructions_reads(tmp_path: Path):
    stage = WordTasksStage(tasks=("first", "counting", "kind"), rows=30, seed=1)
    assert stage.plan().facts == {"rows": {"first": 30, "counting": 30, "kind": 30}}
    out = run(stage, tmp_path / "words")
    assert sorted(path.name for path in out.glob("*.jsonl")) == ["counting.jsonl", "first.jsonl", "kind.jsonl"]
    assert len(out.joinpath("first.jsonl").read_text().splitlines()) == 30
    assert json.loads((out / "run.json").read_text())["rows"]["kind"] == 30
    mix = run(
        InstructionsStage(
            data={name: str(out / f"{name}.jsonl") for name in ("first", "counting", "kind")},
            wordings=str(out / "wordings.yaml"),
            held_out=("kind",),
            held_out_count=5,
            shots=(2,),
            reasoned=1.0,
        ),
        tmp_path / "mix",
    )
    found = list(read_jsonl(mix / "examples.jsonl"))
    assert len(found) == 60
    assert sum(bool(one.columns["reasoned"]) for one in found) == 30
    assert {one.columns["metric"] for one in read_jsonl(mix / "few_shot" / "examples.jsonl")} == {"ending"}


def test_a_task_that_does_not_exist_is_named():
    with pytest.raises(ConfigError, match="there is no task 'counitng'; did you mean 'counting'"):
        WordTasksStage(tasks=("counitng",)).plan()
