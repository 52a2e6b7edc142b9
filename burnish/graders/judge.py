"""A language model as a judge: points for one answer, or the better of two, asked in both orders.

    pointwise   1 to 10 points by a rubric; with a pass mark, 1 if the points reach it, else 0
    pairwise    the answer against a baseline answer to the same prompt, shown first and shown second:
                    wins both 1, loses both 0, anything else 1/2
                so a judge that always prefers what stands first calls everything a tie (Zheng et al. 2023, section 3.4)

Who asks, how often, and what happens to a reply without a verdict is in `asking.py`; templates are in `wording.py`.
The engine is injected, as the protocol `TextEngine`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from burnish.example import Completion, Example
from burnish.graders.asking import Asker, Question, Verdict
from burnish.graders.wording import (
    PAIRWISE,
    POINTWISE,
    RUBRIC,
    Wording,
    choice_in,
    points_in,
    shown_messages,
)
from burnish.protocols import Answer, Decoding, Grade, TextEngine

JUDGING = Decoding(temperature=0.0, max_tokens=512)
"""How a judge's replies are drawn, unless otherwise asked for."""

_BY_CHOICE = {"A": 1.0, "B": 0.0, "C": 0.5}


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Two answers to one prompt.

    Attributes:
        example: whose prompt they answer.
        one, other: the answers' texts.
    """

    example: Example
    one: str
    other: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a contest, from the side of `one`.

    Attributes:
        score: 1 won, 0 lost, 0.5 neither.
        shown_first, shown_second: the score when `one` stood first, and second. The difference of their means over many
            contests is how much the judge prefers what stands first.
        reasons: the judge's, for each order.
    """

    score: float
    shown_first: float
    shown_second: float
    reasons: tuple[str, ...]


class PointwiseJudge:
    """Points from 1 to 10 by a rubric.

    Args:
        engine: gives the judge's replies.
        rubric: what makes a good answer.
        pass_mark: points that pass. With it the score is 1 or 0, and the points are a part; without it they are the
            score.
        wording: the templates.
        decoding: of the replies.
        asks: questions about one answer, reminders included, before the judge has failed.
    """

    def __init__(
        self,
        engine: TextEngine,
        *,
        rubric: str = RUBRIC,
        pass_mark: int | None = None,
        wording: Wording = POINTWISE,
        decoding: Decoding = JUDGING,
        asks: int = 3,
    ) -> None:
        _require(wording.fault("pointwise"))
        self.rubric, self.pass_mark, self.wording = rubric, pass_mark, wording
        self.version = wording.version("pointwise", rubric)
        self._asker = Asker(engine=engine, wording=wording, version=self.version, decoding=decoding, asks=asks)

    def grade(self, example: Example, completion: Completion) -> Grade:
        """The grade of one completion; see `grades`."""
        return self.grades([(example, completion)])[0]

    def grades(self, answers: Sequence[Answer]) -> list[Grade]:
        """The grade of each answer: its score, the judge's reasons, and the part `points`.

        Raises:
            GraderError: the judge gave no verdict on an answer, or could not be asked; names the example.
        """
        verdicts = self._asker.verdicts([self._question(*answer) for answer in answers], points_in)
        return [self._grade(verdict) for verdict in verdicts]

    def _question(self, example: Example, completion: Completion) -> Question:
        slots = {"prompt": shown_messages(example.prompt), "answer": shown_messages(completion.messages)}
        return Question(example.id, self.wording.filled(rubric=self.rubric, **slots))

    def _grade(self, verdict: Verdict[int]) -> Grade:
        points = float(verdict.value)
        score = points if self.pass_mark is None else float(points >= self.pass_mark)
        return Grade(score=score, reasons=_said(verdict.reasons), parts={"points": points})


class PairwiseJudge:
    """The better one of two answers, asked in both orders.

    Args:
        engine: gives the judge's replies.
        baseline: the text of the answer that a completion is held against, given its example; raises GraderError where
            there is none.
        rubric, wording, decoding, asks: as in `PointwiseJudge`.
    """

    def __init__(
        self,
        engine: TextEngine,
        *,
        baseline: Callable[[Example], str],
        rubric: str = RUBRIC,
        wording: Wording = PAIRWISE,
        decoding: Decoding = JUDGING,
        asks: int = 3,
    ) -> None:
        _require(wording.fault("pairwise"))
        self.rubric, self.wording = rubric, wording
        self.version = wording.version("pairwise", rubric)
        self._baseline = baseline
        self._asker = Asker(engine=engine, wording=wording, version=self.version, decoding=decoding, asks=asks)

    def grade(self, example: Example, completion: Completion) -> Grade:
        """The grade of one completion; see `grades`."""
        return self.grades([(example, completion)])[0]

    def grades(self, answers: Sequence[Answer]) -> list[Grade]:
        """The outcome of each answer against the baseline as its grade; the parts tell the two orders.

        Raises:
            GraderError: the judge gave no verdict, or could not be asked, or there is no baseline; names the example.
        """
        contests = [
            Contest(example=example, one=shown_messages(completion.messages), other=self._baseline(example))
            for example, completion in answers
        ]
        return [
            Grade(
                score=outcome.score,
                reasons=outcome.reasons,
                parts={"shown_first": outcome.shown_first, "shown_second": outcome.shown_second},
            )
            for outcome in self.compare(contests)
        ]

    def compare(self, contests: Sequence[Contest]) -> list[Outcome]:
        """What comes of each contest. Answers of the same text are even, and nobody is asked.

        Raises:
            GraderError: the judge gave no verdict on a contest, or could not be asked; names the example.
        """
        open_ones = [contest for contest in contests if contest.one != contest.other]
        orders = [(contest.example, *pair) for contest in open_ones for pair in _orders(contest)]
        verdicts = iter(self._asker.verdicts([self._question(*order) for order in orders], choice_in))
        return [
            _outcome(next(verdicts), next(verdicts)) if contest.one != contest.other else _EVEN for contest in contests
        ]

    def _question(self, example: Example, first: str, second: str) -> Question:
        slots = {"prompt": shown_messages(example.prompt), "first": first, "second": second}
        return Question(example.id, self.wording.filled(rubric=self.rubric, **slots))


_EVEN = Outcome(score=0.5, shown_first=0.5, shown_second=0.5, reasons=("the answers are the same text",))


def _orders(contest: Contest) -> tuple[tuple[str, str], tuple[str, str]]:
    return (contest.one, contest.other), (contest.other, contest.one)


def _outcome(first: Verdict[str], second: Verdict[str]) -> Outcome:
    """What two verdicts say of the answer that stood first in the one and second in the other."""
    shown_first, shown_second = _BY_CHOICE[first.value], 1.0 - _BY_CHOICE[second.value]
    return Outcome(
        score=shown_first if shown_first == shown_second else 0.5,
        shown_first=shown_first,
        shown_second=shown_second,
        reasons=(*_said(first.reasons, "shown first: "), *_said(second.reasons, "shown second: ")),
    )


def _said(reasons: str, lead: str = "") -> tuple[str, ...]:
    return (lead + reasons,) if reasons else ()


def _require(fault: str | None) -> None:
    if fault is not None:
        raise ValueError(fault)
