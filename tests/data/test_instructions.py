"""Wordings, how often each task is drawn, and which row is put in which words."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.data import instructions
from burnish.data.instructions import Task, held_out_examples, task_counts, training_examples
from burnish.data.wordings import Wording, read_wordings
from burnish.errors import ConfigError, DataError

PLAIN = (
    Wording(prompt="What is {a} and {b}?", answer="{c}"),
    Wording(prompt="{a} + {b} =", answer="{c}."),
    Wording(prompt="Add {a} to {b}.", answer="It is {c}."),
)
REASONED = (Wording(prompt="{a} + {b}? Think first.", answer="{why} So {c}."),)


def task(count: int = 20, *, why: bool = True) -> Task:
    rows = [{"a": n, "b": 1, "c": n + 1, "why": f"One more than {n}." if why or n % 2 else None} for n in range(count)]
    return Task(name="sums", rows=rows, plain=PLAIN, reasoned=REASONED)


def test_the_worked_numbers_of_a_cap_and_a_temperature():
    """min(N, 200)^(1/2) is 14.142, 10, 3.162; of 100 draws that is 51.79, 36.62, 11.58."""
    sizes = {"large": 1000, "middle": 100, "small": 10}
    assert task_counts(sizes, 100, temperature=2, cap=200) == {"large": 52, "middle": 37, "small": 11}
    assert task_counts(sizes, 310, temperature=1, cap=200) == {"large": 200, "middle": 100, "small": 10}
    assert task_counts(sizes, 1110, temperature=1, cap=None) == sizes
    assert task_counts(sizes, 30, temperature=1e6, cap=None) == {"large": 10, "middle": 10, "small": 10}


@given(
    st.dictionaries(st.text("abc", min_size=1), st.integers(1, 10**6), min_size=1),
    st.integers(1, 5000),
    st.floats(1, 50),
    st.none() | st.integers(1, 1000),
)
def test_counts_sum_to_the_total_and_larger_tasks_get_no_less(
    sizes: dict[str, int], total: int, temperature: float, cap: int | None
):
    counts = task_counts(sizes, total, temperature=temperature, cap=cap)
    assert sum(counts.values()) == total
    assert all(counts[a] <= counts[b] + 1 for a in sizes for b in sizes if sizes[a] <= sizes[b])


def test_every_row_comes_once_before_any_comes_again_and_in_other_words():
    found = training_examples(task(), 60, reasoned=0.0, seed=0)
    for start in (0, 20, 40):
        assert len({one.id.split("/")[1] for one in found[start : start + 20]}) == 20
    assert {one.columns["wording"] for one in found} == {wording.prompt for wording in PLAIN}
    by_row: dict[str, set[object]] = {}
    for one in found:
        by_row.setdefault(one.id.split("/")[1], set()).add(one.columns["wording"])
    assert sum(len(wordings) > 1 for wordings in by_row.values()) > 10
    assert found == training_examples(task(), 60, reasoned=0.0, seed=0)
    assert found[:5] == training_examples(task(), 5, reasoned=0.0, seed=0), "more draws change none before"
    assert found != training_examples(task(), 60, reasoned=0.0, seed=1)
    assert len({one.id for one in found}) == 60


def test_a_share_reasons_where_a_row_has_the_reasons():
    found = training_examples(task(400), 400, reasoned=0.3, seed=0)
    assert 0.24 < sum(bool(one.columns["reasoned"]) for one in found) / 400 < 0.36
    (one, *_) = [one for one in found if one.columns["reasoned"]]
    number = int(one.id.split("/")[1])
    assert one.prompt[0].content == f"{number} + 1? Think first."
    assert one.completions[0].text == f"One more than {number}. So {number + 1}."
    all_of_them = training_examples(task(40, why=False), 40, reasoned=1.0, seed=0)
    assert Counter(bool(one.columns["reasoned"]) for one in all_of_them) == {True: 20, False: 20}
    assert not any(one.columns["reasoned"] for one in training_examples(task(), 20, reasoned=0.0, seed=0))


def test_shots_are_turns_of_other_rows_and_the_questions_stay_the_same():
    zero, few = (held_out_examples(task(), 12, shots=shots, seed=0) for shots in (0, 3))
    assert [one.id for one in zero] == [one.id.replace("3-shot", "0-shot") for one in few]
    asked = {one.prompt[-1].content for one in zero}
    for one, other in zip(zero, few, strict=True):
        assert one.prompt == other.prompt[-1:]
        assert one.completions == other.completions
        assert [message.role for message in other.prompt] == ["user", "assistant"] * 3 + ["user"]
        assert len({message.content for message in other.prompt[:-1:2]}) == 3
    numbers = {int(one.id.split("/")[1]) for one in zero}
    shown = {message.content for one in few for message in one.prompt[1::2]}
    assert not any(f"It is {number + 1}." in shown or f"{number + 1}." in shown for number in numbers)
    assert len(asked) == 12
    with pytest.raises(DataError, match="has 20 rows; 18 questions with 3 shots need 21"):
        held_out_examples(task(), 18, shots=3, seed=0)


def test_a_file_of_wordings_is_read_and_every_mistake_is_named(tmp_path: Path):
    path = tmp_path / "wordings.yaml"
    path.write_text('sums:\n  plain:\n    - {prompt: "{a}?", answer: "{{{c}}}"}\n')
    plain = (Wording(prompt="{a}?", answer="{{{c}}}"),)
    assert read_wordings(path) == {"sums": {"plain": plain, "reasoned": (), "metric": "exact"}}
    path.write_text("sums:\n  metric: f1\n  plain: [{prompt: x, answer: y}]\n")
    assert read_wordings(path)["sums"]["metric"] == "f1"
    path.write_text(
        "one: {plain: []}\ntwo: {plain: [{prompt: x}]}\nthree: {plain: [{prompt: '{a.b}', answer: x}]}\n"
        "four: {plain: [{prompt: '{', answer: x}]}\nfive: {metric: [f1], plain: [{prompt: x, answer: y}]}\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_wordings(path)
    assert [str(one).partition(": ")[2].split(" ")[0] for one in caught.value.mistakes] == [
        "task",
        "two.plain[0]:",
        "three.plain[0]:",
        "four.plain[0]:",
        "five.metric:",
    ]


def test_a_row_without_a_field_is_named():
    with pytest.raises(DataError, match=r"task 'sums', row 2 has no b, which the wording 'What is \{a\} and \{b\}\?'"):
        Task(name="sums", rows=[{"a": 1, "b": 2, "c": 3}, {"a": 1, "c": 3}], plain=PLAIN, reasoned=())


def test_questions_say_how_they_are_scored_and_what_is_right():
    scored = Task(name="sums", rows=task().rows, plain=PLAIN, reasoned=(), metric="ending")
    for one in held_out_examples(scored, 5, shots=2, seed=0):
        assert one.columns["metric"] == "ending"
        assert one.columns["answer"] == one.completions[0].text
    assert held_out_examples(task(), 1, shots=0, seed=0)[0].columns["metric"] == "exact"


def test_a_copy_of_an_asked_row_is_never_shown_with_its_answer():
    """Rows 20 to 39 ask what 0 to 19 ask, under another number."""
    rows = [{"a": n % 20, "b": 1, "c": n % 20 + 1, "number": n} for n in range(40)]
    twice = Task(name="sums", rows=rows, plain=PLAIN, reasoned=())
    found = held_out_examples(twice, 12, shots=3, seed=0)
    asked = {one.columns["answer"].removeprefix("It is ").rstrip(".") for one in found}
    shown = {m.content.removeprefix("It is ").rstrip(".") for one in found for m in one.prompt[1::2]}
    assert len(shown) > 3
    assert not asked & shown
    with pytest.raises(DataError, match=r"has \d rows that differ from those that are asked, for 9 shots"):
        held_out_examples(twice, 25, shots=9, seed=0)


def test_many_draws_of_a_large_task_order_its_rows_once(monkeypatch: pytest.MonkeyPatch):
    """An order for each draw would be the square of the rows."""
    calls: list[int] = []
    ordered = instructions._order

    def order(one: Task, turn: int, seed: int) -> list[int]:
        calls.append(turn)
        return ordered(one, turn, seed)

    monkeypatch.setattr(instructions, "_order", order)
    assert len(training_examples(task(), 50, reasoned=0.0, seed=0)) == 50
    assert calls == [0, 1, 2]
