"""The maths grader: what counts as the answer, and what the reference may look like."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data.read import DataSettings, read
from burnish.errors import GraderError
from burnish.example import Completion, Example, assistant, user
from burnish.graders.maths import MathsGrader, answer_in, reference_of
from burnish.protocols import Grade

GSM8K = "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nIn all <<48+24=72>>72 clips.\n#### 72"


def question(answer: Any = GSM8K) -> Example:
    return Example(id="q1", prompt=(user("How many?"),), columns={"answer": answer})


def graded(text: str, answer: Any = GSM8K) -> Grade:
    return MathsGrader().grade(question(answer), Completion(messages=(assistant(text),)))


@pytest.mark.parametrize(
    "text",
    [
        "#### 72", "So\n#### $72.00", "#### **72** clips", "\\boxed{72}", "$$\\boxed{72\\text{ clips}}$$", "\\fbox{72}",
        "<answer>72</answer>", "<answer>\nx = 72\n</answer> I hope this helps with your 3 questions.",
        "She sold 72 clips.", "48 + 24 = 72", "It is 3, no, 72.",
        "#### 71\n#### 72", "\\boxed{1} or rather \\boxed{72}", "#### Step 3: the sum\nThat makes 72",
        "#### 3. The sum\nThat makes 72", "\\boxed{\\frac{144}{2}}",
    ],
)  # fmt: skip
def test_right_answers(text: str):
    assert graded(text) == Grade(score=1.0, parts={"answered": 1.0})


@pytest.mark.parametrize(
    ("text", "reason", "answered"),
    [
        ("#### 71", "the answer is 71; expected 72", 1.0),
        ("72 is what she sold in 2 months", "the answer is 2; expected 72", 1.0),
        ("#### 72\n#### 71", "the answer is 71", 1.0),
        ("\\boxed{72} and \\boxed{71}", "the answer is 71", 1.0),
        ("72\n#### -72", "the answer is -72", 1.0),
        ("", "no number", 0.0),
        ("I do not know.", "no number", 0.0),
        ("72, that is\n####", "no number in ''", 0.0),
        ("72 \\boxed{}", "no number in ''", 0.0),
        ("#### 71 or 72", "2 numbers in '71 or 72'", 0.0),
        ("\\boxed{71, 72}", "2 numbers in '71, 72'", 0.0),
        ("<answer>x = 71 or x = 72</answer>", "2 numbers", 0.0),
        ("\\boxed{72", "the braces of the last \\boxed are not closed", 0.0),
        ("#### 72/0", "divides by zero", 0.0),
        ("#### " + "7" * 5000, "a number of 5000 digits", 0.0),
        ("#### 7e99999999999", "to the power", 0.0),
        ("72 = \\sqrt{5184}", "part of an expression", 0.0),
    ],
)
def test_wrong_answers_say_why(text: str, reason: str, answered: float):
    grade = graded(text)
    assert (grade.score, grade.parts) == (0.0, {"answered": answered})
    assert reason in grade.reasons[0]


@pytest.mark.parametrize(
    ("answer", "text"),
    [("72", "72"), (72, "72"), (72.5, "72.5"), ("1,000", "1000.0"), ("\\boxed{0.5}", "\\frac{1}{2}"), ("15%", "0.15"),
     ("It takes 5 days", "5"), ("-3", "#### -3"), ("1/3", "0.333")],
)  # fmt: skip
def test_references_are_read_as_people_write_them(answer: Any, text: str):
    assert graded(text, answer).score == 1.0


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (None, "found None; expected the reference answer"),
        (True, "found True"),
        ([72], r"found \[72\]"),
        ("", "no number"),
        ("3 or 4", "2 numbers in '3 or 4'"),
        ("\\sqrt{2}", "part of an expression"),
        ("#### 1/0", "divides by zero"),
        (float("nan"), "no number in 'nan'"),
    ],
)
def test_a_reference_that_says_no_number_names_the_example(answer: Any, cause: str):
    with pytest.raises(GraderError, match=rf"example 'q1', column 'answer': .*{cause}"):
        graded("72", answer)


def test_a_missing_reference_is_named():
    with pytest.raises(GraderError, match="example 'bare', column 'answer': found None"):
        MathsGrader().grade(Example(id="bare"), Completion(messages=(assistant("72"),)))


@settings(max_examples=80, deadline=None)
@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.text("abc .\n#{}<>0123456789", max_size=30))
def test_a_mark_decides_whatever_stands_before_it(right: int, said: int, before: str):
    for marked in (f"{before}\n#### {said}", f"{before} \\boxed{{{said}}}", f"{before} <answer>{said:,}</answer>"):
        assert graded(marked, str(right)).score == float(said == right)


@settings(max_examples=150, deadline=None)
@given(st.text("#boxed{}\\<>answer/0123456789 \n.", max_size=60))
def test_any_text_gets_a_grade(text: str):
    grade = graded(text)
    assert grade.score in (0.0, 1.0)
    assert bool(grade.reasons) == (grade.score == 0.0)


@pytest.mark.parametrize("piece", ["<answer>", "</answer>", "\\boxed{", "#### ", "#", "\\boxed{}", "{"])
def test_marks_without_end_take_no_long_time(piece: str):
    start = time.process_time()
    graded(piece * 20_000)
    assert time.process_time() - start < 3


def gsm8k() -> tuple[Example, ...]:
    from tests.data.conftest import real_folder

    path: Path = real_folder() / "math" / "gsm8k_train.jsonl"
    if not path.is_file():
        pytest.skip("GSM8K is not here; set BURNISH_TEST_DATA to the folder that holds math/gsm8k_train.jsonl")
    return read(DataSettings(path=str(path))).examples


def test_every_reference_of_gsm8k_is_read_and_its_own_solution_passes():
    examples = gsm8k()
    assert len(examples) > 7000
    for example in examples:
        assert reference_of(example).value == int(str(example.columns["answer"]).split("####")[1].replace(",", ""))
        assert MathsGrader().grade(example, example.completions[0]).score == 1.0


def test_most_solutions_of_gsm8k_end_on_their_answer_without_the_mark():
    examples = gsm8k()[:500]
    found = 0
    for example in examples:
        body = example.completions[0].text.partition("####")[0]
        found += answer_in(body) == reference_of(example) if any(map(str.isdigit, body)) else False
    assert found / len(examples) > 0.9
