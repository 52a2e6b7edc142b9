"""Graders for reasoning-gym's tasks: by the task's own verifier, and by the form of the answer alone.

Both read the columns that `burnish tasks` writes:

    task, task_settings    which verifier
    entry                  what the verifier judges by: question, answer, metadata
    answer_in              by which rule of `extraction.py` the answer stands in a completion

`reasoning` gives 1 for an answer with full marks, else 0, so that pass rates count right answers; by choice it gives
the verifier's own mark, which for many tasks pays a little for a wrong answer that merely has the right one in it.
`answer-format` gives 1 for the form that the prompt asks for, whatever the answer is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from burnish.config import setting, settings
from burnish.errors import ConfigError, GraderError, shown
from burnish.example import Completion, Example
from burnish.graders.extraction import Rule, extracted, form_fault
from burnish.graders.verifiers import Task, executing, verifier
from burnish.protocols import Grade

FULL_MARKS = 1.0


@settings
class ReasoningGrader:
    """Judges an answer by its task's own verifier."""

    partial: bool = setting(False, "give the verifier's own mark, not 1 for full marks and else 0")
    run_answers: bool = setting(False, "allow verifiers that may run parts of an answer as Python code")

    def grade(self, example: Example, completion: Completion) -> Grade:
        """The verifier's verdict; the part `verifier` is its mark, `answered` is 1 if there is an answer to judge.

        Raises:
            GraderError: a column is missing or wrong, or the verifier's mark is no number from 0 to 1.
            ConfigError: the verifier may run the answer as code, and that is not allowed.
            MissingExtra: reasoning-gym is not installed.
        """
        task, entry, rule = self._task(example), entry_of(example), rule_of(example)
        answer = extracted(completion.text, rule)
        if answer is None:
            return Grade(score=0.0, reasons=(f"no answer by the rule '{rule}'",), parts=_parts(0.0, answered=False))
        mark = task.score_answer(answer, dict(entry))
        if not isinstance(mark, (int, float)) or not math.isfinite(mark) or not 0 <= mark <= FULL_MARKS:
            raise GraderError(f"the verifier of example '{example.id}' gave {shown(mark)}; expected 0 to 1")
        reasons = () if mark == FULL_MARKS else (f"the answer is {shown(answer)}; the verifier gives {mark:.4g}",)
        score = float(mark) if self.partial else float(mark == FULL_MARKS)
        return Grade(score=score, reasons=reasons, parts=_parts(mark, answered=True))

    def _task(self, example: Example) -> Task:
        name, task_settings = example.columns.get("task"), example.columns.get("task_settings")
        if not isinstance(name, str) or not isinstance(task_settings, Mapping):
            raise _lacking(example, "'task' and 'task_settings'")
        task = verifier(name, task_settings)
        if not self.run_answers and (function := executing(task)) is not None:
            raise ConfigError(
                [
                    f"the verifier of the task '{name}' calls {function}, which may run an answer as Python code; "
                    "choose another task, or allow it: run_answers: true in the settings of the grader 'reasoning'"
                ]
            )
        return task


@dataclass(frozen=True)
class AnswerFormatGrader:
    """Judges the form of an answer, never its truth; see `extraction.py` for the rules."""

    def grade(self, example: Example, completion: Completion) -> Grade:
        """Score 1 if the form holds, else 0 with the reason.

        Raises:
            GraderError: a column is missing or wrong.
        """
        fault = form_fault(completion.text, rule_of(example), str(entry_of(example)["answer"]))
        return Grade(score=float(fault is None), reasons=() if fault is None else (fault,))


def entry_of(example: Example) -> Mapping[str, Any]:
    """The entry in the example's column `entry`.

    Raises:
        GraderError: there is none, or it lacks a part.
    """
    entry = example.columns.get("entry")
    if not isinstance(entry, Mapping) or not {"question", "answer", "metadata"} <= entry.keys():
        raise _lacking(example, "'entry' with question, answer and metadata")
    return entry


def rule_of(example: Example) -> Rule:
    """The rule in the example's column `answer_in`.

    Raises:
        GraderError: there is none, or it is no rule.
    """
    rule = example.columns.get("answer_in")
    if rule not in get_args(Rule):
        raise _lacking(example, f"'answer_in', one of {', '.join(get_args(Rule))}")
    return cast(Rule, rule)


def _lacking(example: Example, column: str) -> GraderError:
    return GraderError(f"example '{example.id}' needs the column {column}; make such prompts with `burnish tasks`")


def _parts(mark: float, *, answered: bool) -> dict[str, float]:
    return {"verifier": float(mark), "answered": float(answered)}
