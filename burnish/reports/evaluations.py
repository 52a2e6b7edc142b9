"""Measured models: pass rates by kind, and paired gains, with intervals that respect prompts.

An evaluation folder holds `examples.jsonl`, graded answers to prompts, and `scores.json`. The columns of a prompt name
its `kind` and its `split`: "held_out_kinds" for kinds of which training saw nothing, anything else for a test prompt; a
prompt without a kind is of the kind "all". Rates and intervals are counted here from the answers, because pairing needs
them one by one; `scores.json` brings the lengths and log-probabilities and must agree on the overall rate. An answer
passes with a score of 1.

Answers of two models are paired by the prompt's id and the number of the answer. Only pairs count towards a gain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from burnish.errors import BadRow, StoreError, shown
from burnish.example import Completion, Example, Message, read_jsonl
from burnish.reports.records import read_json
from burnish.stats import Interval, paired_difference, pass_rate

TEST = "test"
HELD_OUT_KINDS = "held_out_kinds"
NO_KIND = "all"
PASSING_SCORE = 1.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One graded answer.

    Attributes:
        prompt_id: the prompt's id.
        number: which of the prompt's answers, from 0.
        kind, split: the prompt's columns.
        prompt: the conversation it answers, as text.
        text: the answer.
        score: what the grader gave.
        reasons: why it failed, or what the grader had to say.
    """

    prompt_id: str
    number: int
    kind: str
    split: str
    prompt: str
    text: str
    score: float
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the answer passes."""
        return self.score >= PASSING_SCORE

    @property
    def place(self) -> tuple[str, int]:
        """What pairs it with the answers of other models."""
        return self.prompt_id, self.number


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One measured model.

    Attributes:
        name: how the report calls the model.
        folder: where the evaluation lies.
        answers: all of them, in the order of the file.
        figures: means of `scores.json` by name, such as `length_tokens` and `reference_logp_per_token`.
    """

    name: str
    folder: Path
    answers: tuple[Answer, ...]
    figures: Mapping[str, Interval]

    def of(self, split: str, kind: str | None = None) -> tuple[Answer, ...]:
        """The answers of a split, or of one kind of it."""
        return tuple(a for a in self.answers if a.split == split and kind in (None, a.kind))

    def kinds(self, split: str) -> tuple[str, ...]:
        """The kinds of a split, by name; prompts without a kind do not make one."""
        return tuple(sorted({a.kind for a in self.answers if a.split == split and a.kind != NO_KIND}))


def read_evaluation(name: str, folder: Path) -> Evaluation:
    """Read the answers and scores of an evaluation folder.

    Raises:
        StoreError: a file is missing or damaged, an answer has no score, or the two files disagree; names the file.
    """
    path = folder / "examples.jsonl"
    if not path.is_file():
        raise StoreError(f"{path} is missing; an evaluation keeps its graded answers there. Run its stage again")
    try:
        examples = list(read_jsonl(path))
    except (BadRow, OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} is damaged: {error}. Run its stage again") from error
    answers = tuple(
        _answer(example, number, completion, path)
        for example in examples
        for number, completion in enumerate(example.completions)
    )
    if not any(answer.split == TEST for answer in answers):
        raise StoreError(f"{path} holds no answer to a test prompt; found {len(answers)} to prompts of held-out kinds")
    scores = read_json(folder / "scores.json")
    evaluation = Evaluation(name=name, folder=folder, answers=answers, figures=_figures(scores))
    _agree(evaluation, scores)
    return evaluation


def rate(answers: Sequence[Answer]) -> Interval:
    """The pass rate of answers, those of one prompt taken as a cluster."""
    return pass_rate([a.passed for a in answers], clusters=[a.prompt_id for a in answers])


def gain(before: Iterable[Answer], after: Iterable[Answer]) -> Interval | None:
    """The paired gain in pass rate from `before` to `after`, None if they share no prompt."""
    old = {answer.place: answer for answer in before}
    pairs = [(old[answer.place], answer) for answer in after if answer.place in old]
    if not pairs:
        return None
    return paired_difference(
        [b.passed for b, _ in pairs], [a.passed for _, a in pairs], clusters=[a.prompt_id for _, a in pairs]
    )


def comparisons(evaluations: Sequence[Evaluation]) -> tuple[tuple[Evaluation, Evaluation], ...]:
    """Which models are compared, as (before, after): each with the one before it, and the last with the first."""
    steps = list(pairwise(evaluations))
    return tuple(steps + ([(evaluations[0], evaluations[-1])] if len(evaluations) > 2 else []))


def metrics_of(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """The figures of `metrics.json`: rates by model, split and kind, and paired gains.

    Shape: `{MODEL: {"overall": RATE, "kinds": {KIND: RATE}, "held_out_kinds": {KIND: RATE}}, "gains": {"AFTER-BEFORE":
    GAIN}, "held_out_gains": the same}` with RATE `{"pass_rate", "low", "high", "count"}` and GAIN `{"estimate", "low",
    "high", "count"}`.
    """
    result: dict[str, Any] = {e.name: _rates(e) for e in evaluations}
    for name, split in (("gains", TEST), ("held_out_gains", HELD_OUT_KINDS)):
        result[name] = {
            f"{after.name}-{before.name}": _gain_dict(interval)
            for before, after in comparisons(evaluations)
            if (interval := gain(before.of(split), after.of(split)))
        }
    return result


def _rates(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "overall": _rate_dict(rate(evaluation.of(TEST))),
        "kinds": {kind: _rate_dict(rate(evaluation.of(TEST, kind))) for kind in evaluation.kinds(TEST)},
        "held_out_kinds": {
            kind: _rate_dict(rate(evaluation.of(HELD_OUT_KINDS, kind))) for kind in evaluation.kinds(HELD_OUT_KINDS)
        },
    }


def _rate_dict(interval: Interval) -> dict[str, float]:
    return {"pass_rate": interval.estimate, "low": interval.low, "high": interval.high, "count": interval.count}


def _gain_dict(interval: Interval) -> dict[str, float]:
    return {"estimate": interval.estimate, "low": interval.low, "high": interval.high, "count": interval.count}


def _answer(example: Example, number: int, completion: Completion, path: Path) -> Answer:
    if completion.score is None:
        raise StoreError(f"{path}, example '{example.id}': answer {number} has no score; grade the answers first")
    return Answer(
        prompt_id=example.id,
        number=number,
        kind=str(example.columns.get("kind", NO_KIND)),
        split=HELD_OUT_KINDS if example.columns.get("split") == HELD_OUT_KINDS else TEST,
        prompt=_prompt_text(example.prompt),
        text=completion.text,
        score=completion.score,
        reasons=completion.reasons,
    )


def _prompt_text(messages: Sequence[Message]) -> str:
    """The conversation as text; who speaks is said where more than one message is there."""
    if len(messages) == 1:
        return messages[0].content
    return "\n".join(f"{message.role}: {message.content}" for message in messages)


def _figures(scores: Mapping[str, Any]) -> dict[str, Interval]:
    """The means with their intervals among the scores; rates are counted from the answers."""
    return {
        name: Interval(estimate=value["mean"], low=value["low"], high=value["high"], count=value["count"])
        for name, value in scores.items()
        if isinstance(value, dict) and {"mean", "low", "high", "count"} <= value.keys()
    }


def _agree(evaluation: Evaluation, scores: Mapping[str, Any]) -> None:
    path = evaluation.folder / "scores.json"
    overall = scores.get("overall")
    stated = overall.get("pass_rate") if isinstance(overall, dict) else None
    counted = rate(evaluation.of(TEST)).estimate
    if not isinstance(stated, (int, float)):
        raise StoreError(f"{path}: 'overall.pass_rate' is {shown(stated)}; expected a number. Run its stage again")
    if abs(stated - counted) > 1e-3:
        raise StoreError(
            f"{path} says that {stated:.4f} of the answers pass, but examples.jsonl beside it holds {counted:.4f}; "
            "one of the two was changed. Run its stage again"
        )
