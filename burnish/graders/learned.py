"""Learned rewards as graders: a reward model, or an ensemble of them combined into one score.

    mean                 sum_k r_k / K
    minimum              min_k r_k: an answer is as good as its sternest judge says (worst case, Coste et al. 2024)
    mean_minus_spread    mean - lambda * standard deviation over the K: disagreement costs

What optimises a reward model finds answers on which it errs, and members of an ensemble rarely err on the same ones.

The model itself is injected: a function from answers to the scores of each member, so that graders need no models.
Members that were trained apart have scores of their own origin and scale; centre them before they are combined.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from burnish.config import setting, settings
from burnish.errors import GraderError, WrongCount
from burnish.example import Completion, Example
from burnish.protocols import Answer, Grade

ScoreAnswers = Callable[[Sequence[Answer]], Sequence[Sequence[float]]]
"""The scores of each answer by every member of the ensemble (one, for a single reward model), in order."""


@settings
class Combination:
    """How the scores of an ensemble become one."""

    kind: Literal["mean", "minimum", "mean_minus_spread"] = setting("mean", "how the members' scores are combined")
    spread: float | None = setting(
        None, "standard deviations taken off the mean; needed by mean_minus_spread, refused elsewhere", ge=0
    )

    def __post_init__(self) -> None:
        if self.kind == "mean_minus_spread" and self.spread is None:
            raise ValueError("mean_minus_spread needs a spread: how many standard deviations to take off, such as 1.0")
        if self.kind != "mean_minus_spread" and self.spread is not None:
            raise ValueError(f"spread is {self.spread:g}, and only mean_minus_spread reads it, not {self.kind}")


def combined(scores: Sequence[float], how: Combination) -> float:
    """One score from those of the members.

    Args:
        scores: of one answer by each member.
        how: the combination. The spread is the standard deviation of these members themselves (divided by K).

    Raises:
        ValueError: there is no score.
    """
    if not scores:
        raise ValueError("an ensemble without members gives no score")
    if how.kind == "minimum":
        return min(scores)
    return _mean(scores) - (how.spread or 0.0) * deviation(scores)


def deviation(scores: Sequence[float]) -> float:
    """Standard deviation of the members' scores (divided by K); 0 for a single one."""
    mean = _mean(scores)
    return math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))


class RewardGrader:
    """A reward model or an ensemble as a grader.

    Args:
        score: gives the scores of answers by every member.
        combination: of the members' scores.
    """

    def __init__(self, score: ScoreAnswers, combination: Combination | None = None) -> None:
        self._score = score
        self._combination = combination or Combination()

    def grade(self, example: Example, completion: Completion) -> Grade:
        """The score of one completion; `parts` holds each member's and their spread where there are several.

        Raises:
            GraderError: see `grades`.
        """
        return self.grades([(example, completion)])[0]

    def grades(self, answers: Sequence[Answer]) -> list[Grade]:
        """The grades of many answers, which the model may compute together.

        Raises:
            GraderError: an answer got no score or one that is not finite.
            WrongCount: not every answer was scored.
        """
        rows = self._score(answers)
        if len(rows) != len(answers):
            raise WrongCount(f"the reward model gave scores for {len(rows)} answers, and {len(answers)} were asked")
        return [self._grade(example, row) for (example, _), row in zip(answers, rows, strict=True)]

    def _grade(self, example: Example, scores: Sequence[float]) -> Grade:
        if not scores or not all(math.isfinite(score) for score in scores):
            raise GraderError(f"the reward model scored an answer to example '{example.id}' as {list(scores)}")
        parts = {f"head-{number}": score for number, score in enumerate(scores)} if len(scores) > 1 else {}
        if parts:
            parts["spread"] = deviation(scores)
        return Grade(score=combined(scores, self._combination), parts=parts)


def _mean(scores: Sequence[float]) -> float:
    return math.fsum(scores) / len(scores)
