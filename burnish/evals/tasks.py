"""Answers to questions of several tasks: how one is scored, and the figures by task and by number of worked examples.

    metric        an answer scores 1 if
    exact         it is the right answer, white space at its ends aside
    normalised    it is, without case, punctuation and articles (`burnish.evals.answers`)
    ending        it ends with the right answer, normalised: for answers that reason first
    f1            - words that it shares with the right answer, as F1 between 0 and 1

    held_out_task_topic_0_shot      mean score of the task 'topic', asked without a worked example
    held_out_tasks_3_shot           of all questions of all held-out tasks, with three of them in front

Each figure has the ends of its 95% interval and its count beside it (`_low`, `_high`, `_count`): of a pass rate where
every score is 0 or 1, else of a mean. Questions are taken as independent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from burnish.evals.answers import exact_match, normalised, word_f1
from burnish.stats import Interval, mean_interval, pass_rate


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The score of one answer.

    Attributes:
        task: name of the task.
        shots: worked examples in front of the question.
        score: by the task's metric.
    """

    task: str
    shots: int
    score: float


def same(answer: str, predicted: str) -> float:
    """1 if the two are the same, white space at their ends aside, else 0."""
    return float(answer.strip() == predicted.strip())


def ending(answer: str, predicted: str) -> float:
    """1 if the normalised words of the prediction end with those of the answer, else 0."""
    right, words = normalised(answer).split(), normalised(predicted).split()
    return float(words[-len(right) :] == right) if right else float(not words)


METRICS: Mapping[str, Callable[[str, str], float]] = {
    "exact": same,
    "normalised": exact_match,
    "ending": ending,
    "f1": word_f1,
}
"""How an answer is scored against the right one, by name: the right answer first."""


def task_figures(scored: Sequence[Scored]) -> dict[str, float]:
    """The figures of a look, by name.

    Args:
        scored: of every task and number of shots two answers or more, or none.
    """
    found: dict[str, float] = {}
    for shots in sorted({one.shots for one in scored}):
        answers = [one for one in scored if one.shots == shots]
        tasks = sorted({one.task for one in answers})
        for task in tasks:
            found |= _figures(figure_name(task, shots), [one.score for one in answers if one.task == task])
        if len(tasks) > 1:
            found |= _figures(figure_name(None, shots), [one.score for one in answers])
    return found


def figure_name(task: str | None, shots: int) -> str:
    """The name of a figure; of all tasks together for None."""
    return f"held_out_tasks_{shots}_shot" if task is None else f"held_out_task_{task}_{shots}_shot"


def figure_of(name: str) -> tuple[str | None, int] | None:
    """What `figure_name` was given for a name; None for any other name, and for the ends of intervals."""
    if every := re.fullmatch(r"held_out_tasks_(\d+)_shot", name):
        return None, int(every[1])
    one = re.fullmatch(r"held_out_task_(.+)_(\d+)_shot", name)
    return (one[1], int(one[2])) if one else None


def is_task_figure(name: str) -> bool:
    """Whether a metric is such a figure, or belongs to one."""
    return figure_of(re.sub(r"_(low|high|count)$", "", name)) is not None


def _figures(name: str, scores: Sequence[float]) -> dict[str, float]:
    value: Interval = pass_rate(scores) if set(scores) <= {0.0, 1.0} else mean_interval(scores)
    return {
        name: value.estimate,
        f"{name}_low": value.low,
        f"{name}_high": value.high,
        f"{name}_count": value.count,
    }
