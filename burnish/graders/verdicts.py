"""The one way to call graders: every grade is checked, and whatever goes wrong names the answer it went wrong on.

    grader          how it is called
    Grader          `grade`, answer by answer
    BatchGrader     `grades`, all at once; if that raises, answer by answer, so that the answer at fault is found and a
                    fault that has passed by then costs nothing

A grader that raises, or whose score is no finite number, stops the run, or by choice gives that answer a score of 0 and
the part `failed`. More or fewer grades than answers always stop it: nobody knows which grade is whose.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from burnish.errors import ConfigError, GraderError, MissingExtra, WrongCount, shown
from burnish.example import Completion, Example, assistant
from burnish.protocols import Answer, BatchGrader, Grade, Grader

OnFailure = Literal["stop", "zero"]
"""What a failing grader does: stop the run, or give the answer a score of 0 and count it."""

_NOT_OF_AN_ANSWER = (WrongCount, ConfigError, MissingExtra)
"""Errors that every answer would meet; no choice turns them into scores."""

FAILED = "failed"
"""The part of a grade that counts failures; absent where there are none."""


NO_ANSWER = Completion(messages=(assistant(""),), token_ids=(), logps=(), finish="stop")
"""An empty answer: every grader can judge it, so it shows whether a prompt has the columns that a grader reads."""


def verdict(grader: Grader, example: Example, completion: Completion, on_failure: OnFailure = "stop") -> Grade:
    """`grader`'s grade of a completion.

    Args:
        grader: judges.
        example: whose prompt is answered.
        completion: the answer.
        on_failure: what an answer gets on which the grader fails: "zero" gives a score of 0, with the cause as the
            reason and `failed` 1 among the parts.

    Raises:
        GraderError: the grader failed and `on_failure` is "stop"; names the example and the cause.
        WrongCount, ConfigError, MissingExtra: the fault is not one answer's, whatever `on_failure` is.
    """
    try:
        return _checked(grader, grader.grade(example, completion), example)
    except _NOT_OF_AN_ANSWER:
        raise
    except GraderError as error:
        failure = error
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        failure = GraderError(f"{_name(grader)} failed on example '{example.id}': {cause}")
        failure.__cause__ = error
    if on_failure == "stop":
        raise failure
    return Grade(score=0.0, reasons=(f"failed: {failure}",), parts={FAILED: 1.0})


def graded_all(grader: Grader, answers: Sequence[Answer], on_failure: OnFailure = "stop") -> list[Grade]:
    """`grader`'s grades of many answers.

    Args:
        grader: judges them together if it is a `BatchGrader`.
        answers: in any order.
        on_failure: as in `verdict`.

    Returns:
        One grade per answer, in their order; scores and parts are finite.

    Raises:
        GraderError: the grader failed and `on_failure` is "stop"; names the example, the number of the answer among
            those to that example, and the cause.
        WrongCount: the grader gave more or fewer grades than answers, whatever `on_failure` is.
        ConfigError, MissingExtra: the grader cannot judge with these settings, or without a package.
    """
    if answers and isinstance(grader, BatchGrader):
        together = _together(grader, answers)
        if together is not None:
            return together
    numbered = zip(answers, _numbers(answers), strict=True)
    return [_numbered_verdict(grader, answer, number, on_failure) for answer, number in numbered]


def _together(grader: BatchGrader, answers: Sequence[Answer]) -> list[Grade] | None:
    """The grades of a batch, None if one of them went wrong: the one at fault is found by judging one by one."""
    try:
        grades = grader.grades(answers)
        if len(grades) != len(answers):
            counts = f"{len(grades)} grades for {len(answers)} answers"
            raise WrongCount(f"{_name(grader)} gave {counts}; expected one for each, in their order")
        return [_checked(grader, grade, example) for grade, (example, _) in zip(grades, answers, strict=True)]
    except _NOT_OF_AN_ANSWER:
        raise
    except Exception:
        return None


def _numbered_verdict(grader: Grader, answer: Answer, number: int, on_failure: OnFailure) -> Grade:
    example, completion = answer
    try:
        return verdict(grader, example, completion, on_failure)
    except _NOT_OF_AN_ANSWER:
        raise
    except GraderError as error:
        raise GraderError(f"{error} (answer {number} to example '{example.id}', counted from 0)") from error


def _numbers(answers: Sequence[Answer]) -> list[int]:
    """Which of its example's answers each one is."""
    seen: Counter[str] = Counter()
    numbers = []
    for example, _ in answers:
        numbers.append(seen[example.id])
        seen[example.id] += 1
    return numbers


def _checked(grader: Grader, grade: object, example: Example) -> Grade:
    place = f"{_name(grader)} on example '{example.id}'"
    if not isinstance(grade, Grade):
        raise GraderError(f"{place} gave {shown(grade)}; expected a burnish.protocols.Grade")
    for name, value in {
        "score": grade.score,
        **{f"part '{part}'": value for part, value in grade.parts.items()},
    }.items():
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise GraderError(f"{place} gave the {name} {shown(value)}; expected a finite number")
    return grade


def _name(grader: Grader) -> str:
    return type(grader).__name__
