"""`tasks` and what grades its prompts; `grade` and `pairs` on GSM8K; weighted graders and failures in the stages."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from burnish.config import load
from burnish.errors import ConfigError, GraderError
from burnish.evals.scores import graded_scores, shown
from burnish.example import Completion, Example, assistant, read_jsonl, write_jsonl
from burnish.graders.verifiers import library_version
from burnish.stages.evaluate import EvaluateStage
from burnish.stages.grade import GradeStage
from burnish.stages.pairs import PairsStage
from burnish.stages.run import run_stage, stage_identity
from burnish.stages.tasks import TasksStage
from tests.stages.tiny_chat import write_model

pytestmark = pytest.mark.skipif(
    find_spec("reasoning_gym") is None, reason="the extra 'evals' is not installed; it needs a C compiler"
)

SMALL = {"max_terms": 2, "max_digits": 1}


def run(stage: Any, out: Path) -> tuple[list[Example], dict[str, Any]]:
    run_stage(stage, out, say=lambda line: None)
    scores = out / "scores.json"
    return list(read_jsonl(out / "examples.jsonl")), json.loads(scores.read_text()) if scores.exists() else {}


def answered(path: Path, examples: list[Example], *texts: str) -> str:
    """A file of `examples`, each answered by `texts` with its reference filled in."""
    answers = [
        tuple(Completion(messages=(assistant(text.format(right=e.columns["answer"])),)) for text in texts)
        for e in examples
    ]
    write_jsonl(path, [replace(e, completions=group) for e, group in zip(examples, answers, strict=True)])
    return str(path)


def gsm8k(path: Path) -> str:
    """Questions as a sampling stage leaves them: read from GSM8K's format, with answers of a model."""
    from burnish.data.read import DataSettings, read

    rows = [
        {"question": f"What is {n} + 1?", "answer": f"It is <<{n}+1={n + 1}>>{n + 1}.\n#### {n + 1}"} for n in range(4)
    ]
    source = path.with_suffix(".source.jsonl")
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    sampled = [
        replace(
            example,
            completions=tuple(
                Completion(messages=(assistant(f"That makes {number + said}."),), token_ids=(5,) * (said * 8))
                for said in (1, 2)
            ),
        )
        for number, example in enumerate(read(DataSettings(path=str(source))).examples)
    ]
    write_jsonl(path, sampled)
    return str(path)


def test_tasks_writes_prompts_that_the_graders_judge(tmp_path: Path):
    stage = load(TasksStage, {"task": "chain_sum", "task_settings": SMALL, "count": 6, "split": "test"})
    plan = stage.plan()
    assert plan.facts == {"prompts": 6}
    assert "6 test questions of the task 'chain_sum', such as: State the final answer" in plan.lines[0]
    prompts, _ = run(stage, tmp_path / "prompts")
    assert len(prompts) == 6
    record = json.loads((tmp_path / "prompts" / "run.json").read_text())
    assert record["reasoning_gym"] == library_version()
    assert any(name.startswith("chain_sum.py:") for name in record["code"])
    data = answered(tmp_path / "a.jsonl", prompts, "<answer>{right}</answer>", "<answer>99</answer>", "{right}")
    graded, scores = run(GradeStage(data=data, grader="reasoning"), tmp_path / "graded")
    assert [[c.score for c in example.completions] for example in graded] == [[1.0, 0.0, 0.0]] * 6
    assert scores["overall"]["pass_rate"] == pytest.approx(1 / 3)
    assert scores["kinds"] == {"chain_sum": scores["overall"]}
    assert scores["parts"]["answered"]["mean"] == pytest.approx(2 / 3)
    _, form = run(GradeStage(data=data, grader="answer-format"), tmp_path / "form")
    assert form["overall"]["pass_rate"] == pytest.approx(2 / 3)


def test_another_difficulty_is_another_artefact_and_a_wrong_task_is_named():
    keys = {
        stage_identity(load(TasksStage, {"task": "chain_sum", "task_settings": given})).key
        for given in (None, SMALL, {**SMALL, "max_terms": 3})
    }
    assert len(keys) == 3
    with pytest.raises(ConfigError, match="did you mean 'chain_sum'"):
        TasksStage(task="chain_summ").plan()


def test_grade_and_pairs_on_gsm8k(tmp_path: Path):
    data = gsm8k(tmp_path / "sampled.jsonl")
    graded, scores = run(GradeStage(data=data, grader="maths"), tmp_path / "graded")
    assert [[c.score for c in example.completions] for example in graded] == [[1.0, 0.0]] * 4
    assert graded[0].completions[1].reasons == ("the answer is 2; expected 1",)
    assert scores["grader"] == "maths"
    assert scores["overall"]["pass_rate"] == 0.5
    assert scores["parts"]["answered"]["mean"] == 1.0
    pairs, _ = run(PairsStage(data=str(tmp_path / "graded")), tmp_path / "pairs")
    assert [pair.completions[0].text for pair in pairs] == [f"That makes {number + 1}." for number in range(4)]
    assert pairs[0].columns["answer"].endswith("#### 1")


def test_a_weighted_sum_is_graded_with_all_its_parts(tmp_path: Path):
    grading = {"weights": {"maths": 1.0, "length": 0.5}, "length": {"free": 8, "limit": 16}}
    stage = load(GradeStage, {"data": gsm8k(tmp_path / "s.jsonl"), "grader": "weighted", "grading": grading})
    graded, scores = run(stage, tmp_path / "graded")
    assert [[c.score for c in example.completions] for example in graded] == [[1.0, -0.5]] * 4
    assert {name: value["mean"] for name, value in scores["parts"].items()} == {
        "maths": 0.5,
        "maths.answered": 1.0,
        "length": -0.5,
        "length.tokens": 12.0,
    }
    assert scores["overall"]["mean_score"] == 0.25
    assert scores["overall"]["low"] <= 0.25 <= scores["overall"]["high"]
    assert scores["length_tokens"]["mean"] == 12.0


def test_a_grader_that_fails_stops_by_name_or_counts(tmp_path: Path):
    own = tmp_path / "own.py"
    own.write_text(
        "def fussy(example, completion):\n    return 1 / (len(completion.token_ids) - 16)\n", encoding="utf-8"
    )
    data = gsm8k(tmp_path / "s.jsonl")
    with pytest.raises(GraderError, match=r"own.py:fussy on example '1': ZeroDivision.*\(answer 1 to example '1'"):
        GradeStage(data=data, grader=f"{own}:fussy").run(None)  # type: ignore[arg-type]
    stage = load(GradeStage, {"data": data, "grader": f"{own}:fussy", "grading": {"on_failure": "zero"}})
    graded, scores = run(stage, tmp_path / "graded")
    assert [c.score for c in graded[0].completions] == [-1 / 8, 0.0]
    assert scores["parts"]["failed"]["mean"] == 1.0
    assert scores["parts"]["failed"]["count"] == 4


def test_scores_that_are_no_pass_or_fail_are_shown_as_means(tmp_path: Path):
    examples = [
        Example(id=f"e{n}", completions=(Completion(messages=(assistant("a"),), score=n / 2),)) for n in range(3)
    ]
    scores = graded_scores(examples)
    assert scores["overall"]["mean_score"] == 0.5
    assert shown(scores).startswith("the mean score of 3 answers is 0.5 (")
    assert "length_tokens" not in scores
    assert "pass_rate" in graded_scores([examples[0], examples[2]])["overall"]


def questions(path: Path) -> str:
    """A file in the shape of GSM8K."""
    rows = [{"question": f"What is {n} + 1?", "answer": f"It is {n + 1}.\n#### {n + 1}"} for n in range(3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_evaluate_reads_gsm8k_and_keeps_the_reference(tmp_path: Path):
    """A random model's answers are wrong; what counts is that every one was judged against its reference."""
    given = {
        "model": str(write_model(tmp_path / "model")),
        "data": questions(tmp_path / "gsm8k.jsonl"),
        "sampling": {"num_samples": 2, "precision": "fp32", "decoding": {"max_tokens": 4}},
    }
    graded, scores = run(load(EvaluateStage, {**given, "grader": "maths"}), tmp_path / "out")
    assert [str(example.columns["answer"])[-1] for example in graded] == ["1", "2", "3"]
    assert scores["overall"]["count"] == 6
    assert set(scores["parts"]) == {"answered"}
    weights = {"maths": 1.0, "length": 1.0}
    grading = {"weights": weights, "length": {"free": 0, "limit": 4}}
    _, summed = run(load(EvaluateStage, {**given, "grader": "weighted", "grading": grading}), tmp_path / "sum")
    assert summed["overall"]["mean_score"] < 0
    assert {"maths", "length", "length.tokens"} <= set(summed["parts"])


def test_evaluate_finds_out_before_it_samples_that_a_grader_cannot_judge(tmp_path: Path):
    stage = EvaluateStage(
        model=str(write_model(tmp_path / "model")), data=questions(tmp_path / "q.jsonl"), grader="reasoning"
    )
    for action in (stage.plan, lambda: run(stage, tmp_path / "out")):
        with pytest.raises(GraderError, match="example '1' needs the column 'task' and 'task_settings'"):
            action()
    assert not (tmp_path / "out" / "samples.part.jsonl").exists()
    with pytest.raises(ConfigError, match="did you mean 'maths'"):
        replace(stage, grader="mahts").plan()
