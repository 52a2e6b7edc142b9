"""Prompts from reasoning-gym: splits that never share a question, what repeats, and tasks that cannot be used."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import ConfigError, DataError
from burnish.example import Example, example_dict, example_from
from burnish.graders.extraction import Rule
from burnish.graders.reasoning import AnswerFormatGrader, ReasoningGrader
from burnish.synth import reasoning_tasks as module
from burnish.synth.reasoning_tasks import INSTRUCTIONS, reasoning_tasks, split_of

pytestmark = pytest.mark.skipif(
    find_spec("reasoning_gym") is None, reason="the extra 'evals' is not installed; it needs a C compiler"
)

SMALL = {"max_terms": 2, "max_digits": 1}
"""Sums and differences of two digits: 200 questions in all, so that draws repeat themselves."""


def drawn(**changes: Any) -> list[Example]:
    given = {"task": "chain_sum", "task_settings": SMALL, "count": 20, "split": "train", "seed": 0, "answer_in": "tag"}
    return reasoning_tasks(**(given | changes))


def questions(examples: list[Example]) -> list[str]:
    return [example.columns["entry"]["question"] for example in examples]


def test_training_and_test_questions_are_never_the_same():
    """Also where every question there is gets drawn, from seeds beside each other."""
    train = {question for seed in (0, 1, 2) for question in questions(drawn(count=100, seed=seed))}
    test = {question for seed in (0, 1, 2) for question in questions(drawn(count=20, split="test", seed=seed))}
    assert len(train) > 100
    assert not train & test


def test_no_question_comes_twice():
    found = questions(drawn(count=120))
    assert len(set(found)) == 120


def test_prompts_repeat_and_longer_data_begins_with_the_shorter():
    assert drawn() == drawn()
    assert drawn(count=40)[:20] == drawn()
    assert questions(drawn(seed=1)) != questions(drawn())


def test_a_row_carries_what_the_verifier_needs_through_json():
    example = drawn()[0]
    assert example.id == "chain_sum-train-0-0"
    assert example.prompt[0].content == f"{example.columns['entry']['question']}\n{INSTRUCTIONS['tag']}"
    assert {**example.columns, "entry": None} == {
        "task": "chain_sum",
        "task_settings": SMALL,
        "answer_in": "tag",
        "kind": "chain_sum",
        "split": "train",
        "answer": example.columns["entry"]["answer"],
        "entry": None,
    }
    assert example_from(json.loads(json.dumps(example_dict(example))), file="x", line=1) == example


@pytest.mark.parametrize("rule", ["tag", "last_line", "last_number"])
def test_the_prompt_asks_for_the_answer_where_it_is_looked_for(rule: Rule):
    assert drawn(answer_in=rule)[0].prompt[0].content.endswith(INSTRUCTIONS[rule])
    own = drawn(answer_in=rule, instruction="Use <answer> and </answer>.")[0]
    assert own.prompt[0].content.endswith("\nUse <answer> and </answer>.")


@pytest.mark.parametrize("rule", get_args(Rule))
def test_a_demonstration_is_right_and_has_the_form_asked_for(rule: Rule):
    for example in drawn(answer_in=rule, demonstrate=True):
        (completion,) = example.completions
        assert ReasoningGrader().grade(example, completion).score == 1
        assert AnswerFormatGrader().grade(example, completion).score == 1
    assert questions(drawn(answer_in=rule, demonstrate=True)) == questions(drawn(answer_in=rule))


def test_the_bare_question_can_be_asked():
    example = drawn(answer_in="last_number", instruction="")[0]
    assert example.prompt[0].content == example.columns["entry"]["question"]


@given(st.text(max_size=30))
def test_a_question_has_one_split(question: str):
    assert split_of(question) == split_of(question) in ("train", "test")


def test_one_question_in_five_is_for_testing():
    splits = [split_of(f"question {number}") for number in range(5000)]
    assert 0.18 < splits.count("test") / 5000 < 0.22


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"task": "chain_summ"}, "did you mean 'chain_sum'"),
        ({"count": 200}, r"gave 1\d\d different questions of split 'train' in 8000 draws; ask for fewer than 200"),
        ({"instruction": "Just answer."}, "with answer_in tag it has to name <answer> and </answer>"),
    ],
)
def test_what_cannot_be_drawn_is_refused(changes: dict[str, Any], mistake: str):
    with pytest.raises(ConfigError, match=mistake):
        drawn(**changes)


class Stubborn:
    """A task whose verifier needs a tuple, which JSON does not have."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self.entry = entry

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"question": f"Number {index}?", **self.entry}

    def score_answer(self, answer: str, entry: dict[str, Any]) -> float:
        return float(isinstance(entry["metadata"], tuple))


@pytest.mark.parametrize(
    ("entry", "mistake"),
    [
        ({"answer": "7", "metadata": (1, 2)}, "gives the right answer 0.0 after its entry was written as JSON"),
        ({"answer": "7", "metadata": {1, 2}}, "cannot be written as JSON"),
        ({"answer": None, "metadata": {}}, r"states no right answer \(found None\)"),
    ],
)
def test_a_task_whose_entries_do_not_survive_is_refused(monkeypatch: pytest.MonkeyPatch, entry: Any, mistake: str):
    monkeypatch.setattr(module, "task_named", lambda name, settings, seed, size: Stubborn(entry))
    with pytest.raises(DataError, match=mistake):
        drawn(task="stubborn", task_settings={})
