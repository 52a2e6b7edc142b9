"""`burnish grade`: give every completion a score with its reasons, and count the scores.

`scores.json` names the grader. Where all scores are 0 or 1 it holds the pass rates of `evals.scores.format_scores`,
overall and by kind with intervals; for other scores it holds their mean.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from burnish.config import setting, settings
from burnish.errors import DataError
from burnish.evals.scores import format_scores
from burnish.example import Example
from burnish.graders.phrasing import LowerCase
from burnish.graders.registry import grader_named, verdict
from burnish.graders.shapes import Bullets
from burnish.protocols import Grade, Grader
from burnish.stages.artefact import answered_in, write_examples, write_scores
from burnish.stages.stage import Plan, Stage, Work
from burnish.synth.format_prompts import FULL_PROMPT


@settings
class GradeStage(Stage):
    """Grade completions."""

    verb: ClassVar[str] = "grade"

    data: str = setting(..., "prompts with completions: a run's folder or a file", source=True)
    grader: str = setting("format", "name of the grader")

    def plan(self) -> Plan:
        """Read the data, and grade one completion of each prompt."""
        grader, examples = grader_named(self.grader), _gradable(self.data)
        for example in examples:
            if example.completions:
                verdict(grader, example, example.completions[0])
        count = sum(len(example.completions) for example in examples)
        line = f"{count} completions of {len(examples)} prompts go through the grader '{self.grader}'"
        return Plan(lines=(line,), facts={"prompts": len(examples), "completions": count})

    def run(self, work: Work) -> None:
        """Write the graded examples and the scores."""
        judged = graded(grader_named(self.grader), _gradable(self.data))
        write_examples(work, judged)
        scores = {"grader": self.grader, **_scores(judged)}
        write_scores(work, scores)
        for line in _lines(scores):
            work.say(line)

    def code(self) -> tuple[type, ...]:
        """The grader and the constraints."""
        return (type(grader_named(self.grader)), LowerCase, Bullets)


def graded(grader: Grader, examples: Sequence[Example]) -> list[Example]:
    """`examples` with the grader's score and reasons on every completion.

    Raises:
        GraderError: the grader failed; names the example and the cause.
    """
    return [_with(example, [verdict(grader, example, one) for one in example.completions]) for example in examples]


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


def _scores(examples: Sequence[Example]) -> dict[str, Any]:
    """Pass rates by kind if every score is 0 or 1, else the mean."""
    scores = [c.score for example in examples for c in example.completions if c.score is not None]
    if all(score in (0.0, 1.0) for score in scores):
        return format_scores(examples)
    return {"overall": {"mean_score": sum(scores) / len(scores), "count": len(scores)}}


def _lines(scores: Mapping[str, Any]) -> list[str]:
    rows = {"overall": scores.get("overall", {}), **scores.get("kinds", {}), **scores.get("held_out_kinds", {})}
    return [
        f"{name}: {', '.join(f'{key} {value:.4g}' for key, value in row.items())}" for name, row in rows.items() if row
    ]
