"""Graders for reasoning-gym's tasks: the verifier's verdict, the form alone, and what they refuse."""

from __future__ import annotations

import builtins
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import pytest

from burnish.errors import ConfigError, GraderError, MissingExtra
from burnish.example import Completion, Example, assistant
from burnish.graders import reasoning
from burnish.graders.reasoning import AnswerFormatGrader, ReasoningGrader
from burnish.graders.registry import grader_named
from burnish.graders.verdicts import graded_all, verdict
from burnish.graders.verifiers import executing, library_version, task_named, verifier
from burnish.protocols import Grade
from burnish.synth.reasoning_tasks import reasoning_tasks

pytestmark = pytest.mark.skipif(
    find_spec("reasoning_gym") is None, reason="the extra 'evals' is not installed; it needs a C compiler"
)

SUM = Example(
    id="sum",
    columns={
        "task": "chain_sum",
        "task_settings": {"max_terms": 2},
        "entry": {"question": "State the answer: 3 + 4 =", "answer": "7", "metadata": {}},
        "answer_in": "tag",
    },
)


def said(text: str) -> Completion:
    return Completion(messages=(assistant(text),))


def judged(text: str, grader: Any = None, **columns: Any) -> Grade:
    example = replace(SUM, columns={**SUM.columns, **columns})
    return verdict(grader or ReasoningGrader(), example, said(text))


@pytest.mark.parametrize(
    ("text", "score", "mark", "answered"),
    [
        ("3 and 4 make <answer>7</answer>", 1.0, 1.0, 1.0),
        ("<answer>7.0</answer>", 1.0, 1.0, 1.0),
        ("<answer>8</answer>", 0.0, 0.0, 1.0),
        ("7", 0.0, 0.0, 0.0),
        ("<answer>it is 7, of course</answer>", 0.0, 1 / 17, 1.0),  # the verifier's 1 of 17 characters, commas left out
    ],
)
def test_the_verifier_of_the_task_judges(text: str, score: float, mark: float, answered: float):
    grade = judged(text)
    assert grade.score == score
    assert grade.parts == {"verifier": pytest.approx(mark), "answered": answered}
    assert bool(grade.reasons) == (score == 0)


def test_by_choice_the_verifiers_own_mark_is_the_score():
    assert judged("<answer>it is 7, of course</answer>", ReasoningGrader(partial=True)).score == pytest.approx(1 / 17)


def test_an_answer_is_read_by_the_rule_of_its_prompt():
    assert judged("3 + 4 = 7", answer_in="last_number").score == 1.0
    assert judged("I add.\nAnswer: 7", answer_in="last_line").score == 1.0


@pytest.mark.parametrize("text", ["<answer>7</answer>", "<answer>8</answer>", "<answer>-1,000</answer>"])
def test_the_form_is_rewarded_whatever_the_answer(text: str):
    assert judged(text, AnswerFormatGrader()) == Grade(score=1.0)


def test_a_wrong_form_is_not():
    assert judged("7", AnswerFormatGrader()) == Grade(score=0.0, reasons=("no <answer>...</answer>, or nothing in it",))


@pytest.mark.parametrize("task", ["chain_sum", "letter_counting", "spell_backward", "leg_counting", "gcd"])
def test_right_answers_to_drawn_questions_pass_and_others_do_not(task: str):
    drawn = reasoning_tasks(task=task, task_settings={}, count=4, split="train", seed=3, answer_in="tag")
    right = [(example, said(f"<answer>{example.columns['answer']}</answer>")) for example in drawn]
    wrong = [(example, said("<answer>@</answer>")) for example in drawn]
    grader = grader_named("reasoning")
    assert [grade.score for grade in graded_all(grader, right)] == [1.0] * 4
    assert [grade.score for grade in graded_all(grader, wrong)] == [0.0] * 4
    assert [grade.score for grade in graded_all(grader_named("answer-format"), right)] == [1.0] * 4


@pytest.mark.parametrize(
    ("columns", "cause"),
    [
        ({"task": None}, "'task' and 'task_settings'"),
        ({"task_settings": "x"}, "'task' and 'task_settings'"),
        ({"entry": {"answer": "7"}}, "'entry' with question, answer and metadata"),
        ({"answer_in": "somewhere"}, "'answer_in', one of tag, last_line, last_number"),
    ],
)
def test_prompts_that_were_not_made_for_it_are_refused(columns: dict[str, Any], cause: str):
    with pytest.raises(
        GraderError, match=f"example 'sum' needs the column {cause}; make such prompts with `burnish ta"
    ):
        judged("<answer>7</answer>", **columns)


@pytest.mark.parametrize("mark", [float("nan"), 1.5, -0.1, None, "1"])
def test_a_mark_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, mark: Any):
    class Odd:
        def score_answer(self, answer: str, entry: dict[str, Any]) -> Any:
            return mark

    monkeypatch.setattr(reasoning, "verifier", lambda name, settings: Odd())
    monkeypatch.setattr(reasoning, "executing", lambda task: None)
    with pytest.raises(GraderError, match="the verifier of example 'sum' gave"):
        judged("<answer>7</answer>")


# --- the package


def test_verifiers_that_may_run_an_answer_as_code_are_refused_unless_allowed():
    entry = task_named("puzzle24", {}, seed=1)[0]
    columns = {"task": "puzzle24", "task_settings": {}, "entry": entry}
    with pytest.raises(ConfigError, match=r"'puzzle24' calls parse_expr.*run_answers: true"):
        judged(f"<answer>{entry['answer']}</answer>", **columns)
    allowed = ReasoningGrader(run_answers=True)
    assert judged(f"<answer>{entry['answer']}</answer>", allowed, **columns).score == 1.0


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("countdown", "parse_expr"), ("n_queens", "eval"), ("spiral_matrix", "eval"),
        ("simple_integration", "parse_expr"),
        ("chain_sum", None), ("basic_arithmetic", None), ("letter_counting", None), ("word_sorting", None),
    ],
)  # fmt: skip
def test_running_code_is_seen_in_the_source(name: str, found: str | None):
    assert executing(task_named(name, {})) == found


def test_verifiers_are_kept():
    assert verifier("chain_sum", {"max_terms": 3}) is verifier("chain_sum", {"max_terms": 3})
    assert verifier("chain_sum", {"max_terms": 3}) is not verifier("chain_sum", {"max_terms": 4})


@pytest.mark.parametrize(
    ("name", "settings", "mistakes"),
    [
        ("chain_summ", {}, ["reasoning-gym has no task 'chain_summ'; did you mean 'chain_sum'"]),
        ("chain_sum", {"max_term": 3}, ["has no setting 'max_term'; did you mean 'max_terms'"]),
        ("chain_sum", {"max_terms": 0}, ["the task 'chain_sum' refuses them: max_terms must be >= min_terms"]),
        ("chain_sum", {"max_terms": "x"}, ["refuses them"]),
        ("chain_sum", {"seed": 1, "size": 2}, ["'seed' is set by the stage", "'size' is set by the stage"]),
    ],
)
def test_wrong_settings_of_a_task_are_named(name: str, settings: dict[str, Any], mistakes: list[str]):
    with pytest.raises(ConfigError) as error:
        task_named(name, settings)
    assert len(error.value.mistakes) == len(mistakes)
    for mistake in mistakes:
        assert mistake in str(error.value)


def test_without_the_package_the_message_says_what_to_type(monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.startswith("reasoning_gym"):
            raise ImportError(name)
        return real(name, *arguments)

    assert library_version()
    monkeypatch.setattr(builtins, "__import__", without)
    for call in (library_version, lambda: grader_named("reasoning"), lambda: task_named("chain_sum", {})):
        with pytest.raises(MissingExtra, match=r"pip install 'burnish\[evals\]'"):
            call()
    assert grader_named("answer-format")  # the form needs no verifier
