"""Weighted sums of graders: the sum, every part by name, and parts that fail."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import ConfigError, GraderError, WrongCount
from burnish.example import WORKED, Completion, Example, assistant
from burnish.graders.verdicts import graded_all
from burnish.graders.weighted import Weighted
from burnish.protocols import Answer, BatchGrader, Grade

ANSWERS = [(WORKED, Completion(messages=(assistant(text),))) for text in ("a", "bb", "ccc")]


class Length:
    def grade(self, example: Example, completion: Completion) -> Grade:
        return Grade(score=float(len(completion.text)), reasons=("long",), parts={"letters": 7.0})


class Constant:
    def __init__(self, value: float) -> None:
        self.value = value

    def grade(self, example: Example, completion: Completion) -> Grade:
        return Grade(score=self.value)


class Broken:
    def grade(self, example: Example, completion: Completion) -> Grade:
        if completion.text == "bb":
            raise RuntimeError("no")
        return Grade(score=1.0)


class Short:
    def grade(self, example: Example, completion: Completion) -> Grade:
        return Grade(score=1.0)

    def grades(self, answers: Sequence[Answer]) -> list[Grade]:
        return [Grade(score=1.0)]


def test_the_score_is_the_weighted_sum_and_every_part_is_named():
    grader = Weighted({"length": (Length(), 0.5), "flat": (Constant(-2.0), 3.0)})
    assert isinstance(grader, BatchGrader)
    grade = grader.grade(*ANSWERS[2])
    assert grade.score == 0.5 * 3 + 3.0 * -2
    assert grade.parts == {"length": 3.0, "length.letters": 7.0, "flat": -2.0}
    assert grade.reasons == ("length: long",)
    assert graded_all(grader, ANSWERS) == [grader.grade(*answer) for answer in ANSWERS]


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 5)), min_size=1, max_size=5), st.randoms())
def test_the_sum_knows_no_order(parts: list[tuple[float, float]], random):
    named = [(f"p{number}", (Constant(score), weight)) for number, (score, weight) in enumerate(parts)]
    expected = math.fsum(score * weight for score, weight in parts)
    assert Weighted(dict(named)).grade(*ANSWERS[0]).score == pytest.approx(expected)
    assert Weighted(dict(random.sample(named, len(named)))).grade(*ANSWERS[0]).score == pytest.approx(expected)


def test_a_part_that_fails_stops_by_name():
    grader = Weighted({"length": (Length(), 1.0), "broken": (Broken(), 1.0)})
    with pytest.raises(GraderError) as error:
        graded_all(grader, ANSWERS)
    text = str(error.value)
    assert text.startswith("part 'broken': Broken failed on example 'worked': RuntimeError: no")
    assert text.count("(answer 1 to example 'worked'") == 1
    with pytest.raises(GraderError, match="part 'broken'"):
        grader.grade(*ANSWERS[1])


def test_by_choice_a_part_that_fails_scores_zero_and_is_counted():
    grader = Weighted({"length": (Length(), 1.0), "broken": (Broken(), 10.0), "more": (Broken(), 1.0)}, "zero")
    grades = graded_all(grader, ANSWERS)
    assert [grade.score for grade in grades] == [12.0, 2.0, 14.0]
    assert [grade.parts["failed"] for grade in grades] == [0.0, 2.0, 0.0]
    assert (grades[1].parts["broken"], grades[1].parts["broken.failed"]) == (0.0, 1.0)
    assert any(reason.startswith("broken: failed: Broken failed") for reason in grades[1].reasons)
    assert grader.grade(*ANSWERS[1]) == grades[1]


@pytest.mark.parametrize("on_failure", ["stop", "zero"])
def test_a_part_with_the_wrong_count_is_refused(on_failure):
    grader = Weighted({"length": (Length(), 1.0), "short": (Short(), 1.0)}, on_failure)
    with pytest.raises(WrongCount, match="part 'short': Short gave 1 grades for 3 answers"):
        graded_all(grader, ANSWERS, on_failure)


@pytest.mark.parametrize(
    ("parts", "mistake"),
    [
        ({}, "at least one grader"),
        ({"a": (Constant(1), 0.0)}, "the weight of 'a' is 0.0"),
        ({"a": (Constant(1), math.nan)}, "the weight of 'a' is nan"),
        ({"failed": (Constant(1), 1.0)}, "no part may be called 'failed'"),
    ],
)
def test_sums_that_mean_nothing_are_refused(parts, mistake):
    with pytest.raises(ConfigError, match=mistake):
        Weighted(parts)


def test_the_parts_can_be_asked_for():
    flat = Constant(1)
    assert Weighted({"flat": (flat, 1.0)}).graders == {"flat": flat}
