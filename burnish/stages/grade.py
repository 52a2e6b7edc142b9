"""`burnish grade`: give every completion a score with its reasons, and count the scores.

`scores.json` names the grader. Where all scores are 0 or 1 it holds the pass rates of `evals.scores.format_scores`,
overall and by kind with intervals; for other scores it holds their mean. `parts` holds the means of the grade's parts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from burnish.config import setting, settings
from burnish.errors import DataError
from burnish.evals.scores import graded_scores, part_scores
from burnish.example import Example
from burnish.graders.registry import Grading, OnFailure, graded_all, grader_code, grader_named, verdict
from burnish.protocols import Grade, Grader
from burnish.stages.artefact import answered_in, write_examples, write_scores
from burnish.stages.judging import Judge, judge_among, judge_code, judge_done
from burnish.stages.stage import Plan, Stage, Work
from burnish.store import Code
from burnish.synth.format_prompts import FULL_PROMPT


@settings
class GradeStage(Stage):
    """Grade completions."""

    verb: ClassVar[str] = "grade"

    data: str = setting(..., "prompts with completions: a run's folder or a file", source=True)
    grader: str = setting("format", "name of the grader, 'weighted', or a grader of your own: path/to/file.py:name")
    grading: Grading = setting(Grading(), "settings of the grader")
    judge: Judge | None = setting(None, "settings of the grader 'judge': a language model behind an endpoint")

    def plan(self) -> Plan:
        """Read the data, and grade one completion of each prompt; a judge is asked about the first one alone."""
        grader, examples = self._grader(), _gradable(self.data)
        for example in examples if self.judge is None else examples[:1]:
            if example.completions:
                verdict(grader, example, example.completions[0], self.grading.on_failure)
        count = sum(len(example.completions) for example in examples)
        line = f"{count} completions of {len(examples)} prompts go through the grader '{self.grader}'"
        return Plan(lines=(line,), facts={"prompts": len(examples), "completions": count})

    def run(self, work: Work) -> None:
        """Write the graded examples and the scores."""
        judged = graded(self._grader(work), _gradable(self.data), self.grading.on_failure)
        write_examples(work, judged.examples)
        scores = {"grader": self.grader, **judged.scores()}
        write_scores(work, scores)
        judge_done(work)
        for line in _lines(scores):
            work.say(line)

    def code(self) -> tuple[Code, ...]:
        """The grader's rules."""
        return (*grader_code(self.grader, self.grading), *judge_code(self.judge))

    def _grader(self, work: Work | None = None) -> Grader:
        """The grader; `work` is that of the running stage."""
        return grader_named(self.grader, self.grading, judge_among(self.grader, self.grading, self.judge, work))


@dataclass(frozen=True, kw_only=True)
class Graded:
    """Graded examples.

    Attributes:
        examples: with a score and reasons on every completion.
        grades: of the completions of each example.
    """

    examples: list[Example]
    grades: list[list[Grade]]

    def scores(self) -> dict[str, Any]:
        """The figures of `scores.json`: pass rates or means, and the means of the grades' `parts`."""
        parts = part_scores(self.grades, [example.id for example in self.examples])
        return {**graded_scores(self.examples), **({"parts": parts} if parts else {})}


def graded(grader: Grader, examples: Sequence[Example], on_failure: OnFailure = "stop") -> Graded:
    """`examples` with the grader's score and reasons on every completion, in place of those that were there.

    Raises:
        GraderError: the grader failed, and `on_failure` is "stop"; names the example, the answer and the cause.
    """
    answers = [(example, completion) for example in examples for completion in example.completions]
    grades = iter(graded_all(grader, answers, on_failure))
    groups = [[next(grades) for _ in example.completions] for example in examples]
    judged = [_with(example, group) for example, group in zip(examples, groups, strict=True)]
    return Graded(examples=judged, grades=groups)


def _gradable(data: str) -> list[Example]:
    examples = answered_in(data)
    bare = next((example for example in examples if FULL_PROMPT in example.columns), None)
    if bare is not None:
        raise DataError(
            f"{data}: example '{bare.id}' was asked its request alone (column '{FULL_PROMPT}'), so its score would not "
            "say whether the model follows constraints; make prompts with request_only: false, or run `burnish repair`"
        )
    return examples


def _with(example: Example, grades: Sequence[Grade]) -> Example:
    completions = tuple(
        dataclasses.replace(completion, score=grade.score, reasons=grade.reasons)
        for completion, grade in zip(example.completions, grades, strict=True)
    )
    return dataclasses.replace(example, completions=completions)


def _lines(scores: Mapping[str, Any]) -> list[str]:
    rows = {"overall": scores.get("overall", {}), **scores.get("kinds", {}), **scores.get("held_out_kinds", {})}
    return [
        f"{name}: {', '.join(f'{key} {value:.4g}' for key, value in row.items())}" for name, row in rows.items() if row
    ]
