"""Several graders as one: the score is the weighted sum of theirs, and every part is logged.

    score = sum over parts k of w_k * s_k

    parts of the grade    maths 1.0, maths.answered 1.0, length -0.25, length.tokens 210.0, failed 0.0

A part that fails stops the run, or by choice (`on_failure` "zero") scores 0 and is counted under `failed`, which is
then always there. Scores are summed as they are: parts of different scale want weights to match.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from burnish.errors import ConfigError, GraderError, WrongCount, shown
from burnish.example import Completion, Example
from burnish.graders.verdicts import FAILED, OnFailure, graded_all, verdict
from burnish.protocols import Answer, Grade, Grader

Part = tuple[Grader, float]
"""A grader and its weight."""


class Weighted:
    """A weighted sum of graders.

    Args:
        parts: name -> (grader, weight). Names appear in logs and reasons; `failed` is taken.
        on_failure: what a part does that fails on an answer.

    Raises:
        ConfigError: there is no part, or a weight is 0 or not finite, or a name is taken.
    """

    def __init__(self, parts: Mapping[str, Part], on_failure: OnFailure = "stop") -> None:
        mistakes = weight_mistakes({name: weight for name, (_, weight) in parts.items()})
        if mistakes:
            raise ConfigError(mistakes)
        self._parts = dict(parts)
        self._on_failure = on_failure

    @property
    def graders(self) -> Mapping[str, Grader]:
        """The parts' graders by name."""
        return {name: grader for name, (grader, _) in self._parts.items()}

    def grade(self, example: Example, completion: Completion) -> Grade:
        """The weighted sum for one completion; see `grades`."""
        grades = {}
        for name, (grader, _) in self._parts.items():
            with _named(name):
                grades[name] = verdict(grader, example, completion, self._on_failure)
        return self._sum(grades)

    def grades(self, answers: Sequence[Answer]) -> list[Grade]:
        """The weighted sums for many answers; each part judges all of them at once if it can.

        Returns:
            Grades whose `parts` hold each part's own score, unweighted, under its name, the part's parts under
            `name.part`, and with `on_failure` "zero" how many parts failed under `failed`. Reasons begin with the
            part's name.

        Raises:
            GraderError: a part failed; names the part, the answer and the cause.
            WrongCount: a part gave more or fewer grades than answers.
        """
        columns = {}
        for name, (grader, _) in self._parts.items():
            with _named(name):
                columns[name] = graded_all(grader, answers, self._on_failure)
        return [self._sum({name: grades[row] for name, grades in columns.items()}) for row in range(len(answers))]

    def _sum(self, grades: Mapping[str, Grade]) -> Grade:
        score = math.fsum(self._parts[name][1] * grade.score for name, grade in grades.items())
        parts: dict[str, float] = {}
        for name, grade in grades.items():
            parts[name] = grade.score
            parts |= {f"{name}.{part}": value for part, value in grade.parts.items()}
        if self._on_failure == "zero":
            parts[FAILED] = math.fsum(grade.parts.get(FAILED, 0.0) for grade in grades.values())
        reasons = tuple(f"{name}: {reason}" for name, grade in grades.items() for reason in grade.reasons)
        return Grade(score=score, reasons=reasons, parts=parts)


@contextmanager
def _named(part: str) -> Iterator[None]:
    """Errors raised inside say which part they are of."""
    try:
        yield
    except WrongCount as error:
        raise WrongCount(f"part '{part}': {error}") from error
    except GraderError as error:
        raise GraderError(f"part '{part}': {error}") from error


def weight_mistakes(weights: Mapping[str, float]) -> list[str]:
    """What is wrong with the weights of named graders, a line each."""
    if not weights:
        return ["a weighted sum needs at least one grader with a weight, such as {maths: 1.0}"]
    wrong = [name for name, weight in weights.items() if not math.isfinite(weight) or weight == 0]
    mistakes = [
        f"the weight of '{name}' is {shown(weights[name])}; it must be a finite number other than 0" for name in wrong
    ]
    return mistakes + [f"no part may be called '{FAILED}': failures are counted under that name"] * (FAILED in weights)
