"""Small tasks on words: right answers, different rows, wordings that read them, and wordings that tell tasks apart."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from burnish.data.instructions import Task, training_examples
from burnish.data.wordings import read_wordings
from burnish.evals.tasks import METRICS
from burnish.synth.word_tasks import ENDING, KINDS, OF_KIND, WORD_TASKS, rows_of, wordings_of
from burnish.synth.word_wordings import PLAIN, REASONED

EVERY = pytest.mark.parametrize("name", WORD_TASKS)


@EVERY
def test_rows_are_different_and_functions_of_the_seed(name: str):
    rows = rows_of(name, 40, seed=1)
    assert len({tuple(row.items()) for row in rows}) == len(rows) == 40
    assert rows_of(name, 10, seed=1) == rows[:10], "more rows begin with the fewer"
    assert rows_of(name, 40, seed=2) != rows


def test_a_task_without_more_rows_gives_those_that_it_has():
    rows = rows_of("kind", 5000, seed=0)
    assert 0.9 * sum(map(len, OF_KIND.values())) <= len(rows) <= sum(map(len, OF_KIND.values()))
    assert len({row["word"] for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("capitals", lambda row: row["words"].upper()),
        ("second", lambda row: row["words"].split(", ")[1]),
        ("reversing", lambda row: ", ".join(reversed(row["words"].split(", ")))),
        ("sorting", lambda row: ", ".join(sorted(row["words"].split(", ")))),
        ("joining", lambda row: row["words"].replace(", ", "-")),
        ("counting", lambda row: str(row["words"].count(",") + 1)),
        ("longest", lambda row: sorted(row["words"].split(", "), key=len)[-1]),
        ("letters", lambda row: "yes" if row["letter"] in row["word"] else "no"),
        ("removing", lambda row: ", ".join(w for w in row["words"].split(", ") if w != row["gone"])),
        ("replacing", lambda row: ", ".join(row["new"] if w == row["old"] else w for w in row["words"].split(", "))),
        ("kind", lambda row: next(KINDS[one] for one in KINDS if row["word"] in OF_KIND[one])),
    ],
)
def test_answers_are_right(name: str, right):
    for row in rows_of(name, 30, seed=3):
        assert row["answer"] == right(row), row


def test_the_odd_one_is_of_another_kind_than_the_three():
    for row in rows_of("odd-one", 30, seed=3):
        of = {word: next(kind for kind in KINDS if word in OF_KIND[kind]) for word in row["words"].split(", ")}
        others = {kind for word, kind in of.items() if word != row["answer"]}
        assert len(of) == 4
        assert len(others) == 1
        assert of[row["answer"]] not in others


def test_every_task_is_worded_and_a_reasoned_answer_scores_as_right(tmp_path: Path):
    assert set(PLAIN) == set(WORD_TASKS) >= set(REASONED)
    path = tmp_path / "wordings.yaml"
    path.write_text(yaml.safe_dump({name: wordings_of(name) for name in WORD_TASKS}))
    found = read_wordings(path)
    for name, wordings in found.items():
        assert len(wordings["plain"]) >= 3
        assert wordings["metric"] == ("ending" if name in ENDING else "exact")
        task = Task(name=name, rows=rows_of(name, 12, seed=0), **wordings)
        for share in (0.0, 1.0):
            for example in training_examples(task, 12, reasoned=share, seed=0):
                number = int(example.id.split("/")[1])
                assert METRICS[task.metric](task.rows[number]["answer"], example.completions[0].text) == 1.0


def test_no_two_tasks_ask_in_the_same_words():
    prompts = [prompt for two in PLAIN.values() for prompt in two]
    assert len(set(prompts)) == len(prompts)
