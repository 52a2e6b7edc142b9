"""What held-out questions have in common with training data."""

from __future__ import annotations

import pytest

from burnish.data.contamination import RUN, kept_apart, overlap, shared_text
from burnish.errors import DataError
from burnish.example import Completion, Example, Message, assistant, user

LONG = "the green opal lies on a flat stone beside the cold river under an old bridge"
"""16 words."""


def example(id: str, *prompt: Message, task: str | None = None, answer: str = "Yes.") -> Example:
    columns = {} if task is None else {"task": task}
    return Example(id=id, prompt=prompt, completions=(Completion(messages=(assistant(answer),)),), columns=columns)


def asked(text: str, *, task: str = "gems", shot: str | None = None) -> Example:
    before = () if shot is None else (user(shot), assistant("No."))
    return example(f"{task}/0", *before, user(text), task=task)


def test_data_that_shares_nothing_is_let_through():
    training = [example("1", user("Name a river.")), example("2", user("Opal?"), task="rivers", answer=LONG)]
    assert kept_apart([asked("Is opal a gem?"), asked("Is jade a gem?")], training) == {}


@pytest.mark.parametrize("text", ["Is opal a gem?", "is  OPAL\na gem? "])
def test_the_same_question_is_refused_whatever_its_case_and_white_space(text: str):
    with pytest.raises(DataError, match=r"training example '4' asks .*which stands in a held-out task"):
        kept_apart([asked("Is opal a gem?")], [example("3", user("Is jade?")), example("4", user(text))])
    later = Example(id="5", prompt=(user("Hi"),), completions=(Completion(messages=(assistant("?"), user(text))),))
    with pytest.raises(DataError, match="training example '5'"):
        kept_apart([asked("Is opal a gem?")], [later])
    questions = [asked("Is opal a gem?"), asked("Is jade a gem?")]
    with pytest.raises(DataError, match="and 1 more like it"):
        kept_apart(questions, [example("4", user(text)), example("6", user("Is jade a gem?"))])


def test_signs_tell_questions_apart():
    assert kept_apart([asked("3 + 4 =")], [example("1", user("3 - 4 ="))]) == {}


def test_a_worked_example_counts_as_a_question():
    with pytest.raises(DataError, match="Is jade a gem"):
        kept_apart([asked("Is opal a gem?", shot="Is jade a gem?")], [example("1", user("Is jade a gem?"))])


def test_a_training_example_of_the_task_is_refused_by_its_name():
    with pytest.raises(DataError, match="the task 'gems' is held out, and training example '9' is of it"):
        kept_apart([asked("Is opal a gem?")], [example("9", user("What is ruby?"), task="gems")])
    other = Example(id="8", prompt=(user("x"),), columns={"task": ["gems"]})
    assert kept_apart([asked("Is opal a gem?")], [other]) == {}, "a column of another form names no task"


def test_runs_of_words_are_counted_by_task_and_said():
    words = LONG.split()
    training = [example("1", user("Read this."), answer="So: " + ", ".join(words[:RUN]).upper() + "!")]
    questions = [asked(LONG), asked(f"{LONG} again"), asked(LONG, task="rivers"), asked("Is opal a gem?")]
    assert kept_apart(questions, training) == {"gems": 2, "rivers": 1}
    assert overlap(questions, [example("1", user("Read this."), answer=" ".join(words[: RUN - 1]))]).sharing == {}
    assert shared_text({"gems": 2, "rivers": 1}).endswith(": 2 of 'gems', 1 of 'rivers'")
