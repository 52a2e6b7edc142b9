"""How graders are called: one by one or together, and what becomes of one that fails."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from burnish.errors import ConfigError, GraderError, MissingExtra, WrongCount
from burnish.example import WORKED, Completion, Example, assistant
from burnish.graders.format import FormatGrader
from burnish.graders.learned import RewardGrader
from burnish.graders.verdicts import NO_ANSWER, graded_all, verdict
from burnish.protocols import Answer, BatchGrader, Grade, Grader

OTHER = replace(WORKED, id="other")
ANSWERS = [
    (example, Completion(messages=(assistant(text),))) for example in (WORKED, OTHER) for text in ("a", "bb", "ccc")
]


class Length:
    """Scores by length, and fails on a length."""

    def __init__(self, fails_at: int = -1, gives: Any = None) -> None:
        self.fails_at, self.gives = fails_at, gives

    def grade(self, example: Example, completion: Completion) -> Grade:
        if len(completion.text) == self.fails_at:
            if self.gives is None:
                raise ZeroDivisionError("by zero")
            return self.gives
        return Grade(score=float(len(completion.text)))


class Together(Length):
    """The same for many at once; counts its calls."""

    def __init__(self, fails_at: int = -1, gives: Any = None, extra: int = 0) -> None:
        super().__init__(fails_at, gives)
        self.extra, self.calls = extra, list[int]()

    def grades(self, answers: Sequence[Answer]) -> list[Grade]:
        self.calls.append(len(answers))
        made = [self.grade(*answer) for answer in answers]
        return made + made[:1] * self.extra if self.extra >= 0 else made[: self.extra]


def test_the_protocols_tell_graders_apart():
    assert isinstance(Length(), Grader)
    assert not isinstance(Length(), BatchGrader)
    assert isinstance(Together(), BatchGrader)
    assert isinstance(RewardGrader(lambda answers: []), BatchGrader)


def test_many_are_judged_together_where_the_grader_can():
    together = Together()
    assert graded_all(together, ANSWERS) == graded_all(Length(), ANSWERS)
    assert [grade.score for grade in graded_all(Length(), ANSWERS)] == [1, 2, 3, 1, 2, 3]
    assert together.calls == [6]
    assert graded_all(together, []) == []
    assert together.calls == [6]


@pytest.mark.parametrize("kind", [Length, Together])
@pytest.mark.parametrize(
    ("gives", "cause"),
    [
        (None, "failed on example 'worked': ZeroDivisionError: by zero"),
        (Grade(score=math.nan), "on example 'worked' gave the score nan; expected a finite number"),
        (Grade(score=-math.inf), "gave the score -inf"),
        (Grade(score=1.0, parts={"x": math.nan}), "gave the part 'x' nan"),
        (Grade(score="1"), "gave the score '1'"),  # type: ignore[arg-type]
        (1.0, "gave 1.0; expected a burnish.protocols.Grade"),
    ],
)
def test_a_failure_names_the_grader_the_example_the_answer_and_the_cause(kind: type[Length], gives: Any, cause: str):
    grader = kind(2, gives)
    with pytest.raises(GraderError) as error:
        graded_all(grader, ANSWERS)
    assert cause in str(error.value)
    assert kind.__name__ in str(error.value)
    assert "(answer 1 to example 'worked', counted from 0)" in str(error.value)
    zeroed = graded_all(grader, ANSWERS, "zero")
    assert [grade.score for grade in zeroed] == [1, 0, 3, 1, 0, 3]
    assert [dict(grade.parts) for grade in zeroed] == [{}, {"failed": 1.0}, {}] * 2
    assert cause in zeroed[1].reasons[0]
    assert zeroed[1].reasons[0].startswith("failed: ")


def test_the_answer_is_counted_among_those_to_its_example():
    with pytest.raises(GraderError, match=r"\(answer 0 to example 'other', counted from 0\)"):
        graded_all(Length(4), [*ANSWERS[:3], (OTHER, Completion(messages=(assistant("dddd"),)))])


@pytest.mark.parametrize("extra", [1, -1])
@pytest.mark.parametrize("on_failure", ["stop", "zero"])
def test_the_wrong_count_is_refused_whatever_is_chosen(extra: int, on_failure: Any):
    with pytest.raises(WrongCount, match=f"Together gave {6 + extra} grades for 6 answers"):
        graded_all(Together(extra=extra), ANSWERS, on_failure)


def test_a_fault_that_has_passed_costs_nothing():
    """The batch fails once; the answers are then judged one by one."""

    class Flaky(Together):
        def grades(self, answers: Sequence[Answer]) -> list[Grade]:
            super().grades(answers)
            raise ConnectionError("gone")

    flaky = Flaky()
    assert [grade.score for grade in graded_all(flaky, ANSWERS)] == [1, 2, 3, 1, 2, 3]
    assert flaky.calls == [6]


@pytest.mark.parametrize("error", [ConfigError(["not so"]), MissingExtra("a-package", "evals"), WrongCount("two")])
def test_what_every_answer_would_meet_is_never_a_score(error: Exception):
    class Wrong(Together):
        def grade(self, example: Example, completion: Completion) -> Grade:
            raise error

    for grader in (Wrong(), Length()):
        grader.grade = Wrong().grade  # type: ignore[method-assign]
        with pytest.raises(type(error)):
            graded_all(grader, ANSWERS, "zero")


def test_a_single_verdict_can_be_zero_too():
    assert verdict(Length(1), *ANSWERS[0], "zero").parts == {"failed": 1.0}
    assert verdict(FormatGrader(), WORKED, NO_ANSWER).score == 0.0
