"""Figures of graded answers: pass rates per kind or mean scores, parts of scores, lengths, with intervals.

An answer counts as a prompt's; several answers to one prompt share its luck, and the intervals know it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from burnish.errors import DataError
from burnish.example import Example
from burnish.protocols import Grade
from burnish.stats import mean_interval, pass_rate


def graded_scores(examples: Sequence[Example]) -> dict[str, Any]:
    """Scores of graded answers: pass rates (`format_scores`) if every score is 0 or 1, else means.

    Args:
        examples: with a score on every completion.

    Returns:
        The result of `format_scores`, or `overall` with `mean_score`, `count` and, over several prompts, its interval,
        and `length_tokens` where the answers have tokens.

    Raises:
        DataError: a completion has no score.
    """
    scores = [score for example in examples for score in _scores_of(example)]
    if all(score in (0.0, 1.0) for score in scores):
        return format_scores(examples)
    interval = mean_scores(scores, [example.id for example in examples for _ in example.completions])
    overall = {"mean_score": sum(scores) / len(scores)} | {name: interval[name] for name in ("low", "high") if interval}
    lengths = _lengths(examples)
    return {"overall": {**overall, "count": len(scores)}, **({"length_tokens": lengths} if lengths else {})}


def part_scores(grades: Sequence[Sequence[Grade]], prompts: Sequence[str]) -> dict[str, Any]:
    """The mean of each part of the grades, with its interval; {} if fewer than two prompts make that impossible.

    Args:
        grades: of the answers to each prompt.
        prompts: ids, in the same order.
    """
    rows = [(prompt, grade) for prompt, group in zip(prompts, grades, strict=True) for grade in group]
    names = dict.fromkeys(name for _, grade in rows for name in grade.parts)
    means: dict[str, Any] = {}
    for name in names:
        having = [(prompt, grade.parts[name]) for prompt, grade in rows if name in grade.parts]
        if figures := mean_scores([value for _, value in having], [prompt for prompt, _ in having]):
            means[name] = figures
    return means


def format_scores(examples: Sequence[Example]) -> dict[str, Any]:
    """Scores of graded answers by kind.

    Args:
        examples: with a score of 0 or 1 on every completion and the column `kind`; the column `split` tells the kinds
            that training had ("test") from those it never saw ("held_out_kinds").

    Returns:
        `overall` and `kinds` over the trained kinds, `held_out_kinds` over the others with their own `overall`, each
        `{"pass_rate", "low", "high", "count"}`; `length_tokens` over all answers.

    Raises:
        DataError: a completion has no score.
    """
    trained = [example for example in examples if example.columns.get("split") != "held_out_kinds"]
    unseen = [example for example in examples if example.columns.get("split") == "held_out_kinds"]
    scores: dict[str, Any] = {}
    if trained:
        scores["overall"] = _rate(trained)
    scores["kinds"] = _by_kind(trained)
    scores["held_out_kinds"] = _by_kind(unseen)
    if unseen:
        scores["held_out_overall"] = _rate(unseen)
    scores["length_tokens"] = _lengths(examples)
    return scores


def _by_kind(examples: Sequence[Example]) -> dict[str, Any]:
    kinds = sorted({str(example.columns.get("kind", "all")) for example in examples})
    return {kind: _rate([e for e in examples if str(e.columns.get("kind", "all")) == kind]) for kind in kinds}


def _rate(examples: Sequence[Example]) -> dict[str, float]:
    outcomes: list[float] = []
    prompts: list[str] = []
    for example in examples:
        scores = _scores_of(example)
        outcomes += scores
        prompts += [example.id] * len(scores)
    interval = pass_rate(outcomes, clusters=prompts)
    return {"pass_rate": interval.estimate, "low": interval.low, "high": interval.high, "count": interval.count}


def _scores_of(example: Example) -> list[float]:
    scores = [completion.score for completion in example.completions if completion.score is not None]
    if len(scores) < len(example.completions):
        raise DataError(f"example '{example.id}' has an answer without a score; grade it first: burnish grade")
    return scores


def _lengths(examples: Sequence[Example]) -> dict[str, float]:
    lengths = [float(len(c.token_ids)) for e in examples for c in e.completions if c.token_ids is not None]
    prompts = [e.id for e in examples for c in e.completions if c.token_ids is not None]
    return mean_scores(lengths, prompts)


def mean_scores(values: Sequence[float], prompts: Sequence[str]) -> dict[str, float]:
    """A mean with its interval as plain data; {} if fewer than two prompts make an interval impossible."""
    if len(set(prompts)) < 2:
        return {}
    interval = mean_interval(values, clusters=prompts)
    return {"mean": interval.estimate, "low": interval.low, "high": interval.high, "count": interval.count}


def shown(scores: Mapping[str, Any]) -> str:
    """One line for people."""
    rate = scores.get("overall") or scores["held_out_overall"]
    if "mean_score" in rate:
        between = f" ({rate['low']:.4g} to {rate['high']:.4g})" if "low" in rate else ""
        return f"the mean score of {rate['count']} answers is {rate['mean_score']:.4g}{between}"
    interval = f"{rate['low']:.1%} to {rate['high']:.1%}"
    return f"{rate['pass_rate']:.1%} of {rate['count']} answers pass ({interval})"
