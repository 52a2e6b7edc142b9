"""How often a fact is found again, by how long the text is and how deep in it the fact stands.

An answer is right if it is more probable than every other one after the same text. The others never stood there, so a
model that cannot look back is right once in as many as there are answers, whatever words it likes. `margin` says by how
many nats the right answer leads the best other one; it moves before the rate does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.stats import Interval, pass_rate


@dataclass(frozen=True, kw_only=True)
class Search:
    """One needle that was looked for.

    Attributes:
        length: tokens of the text, question included.
        depth: where the needle stands, 0 at the beginning and 1 at the end.
        logps: log-prob of each answer; the right one is the first.
    """

    length: int
    depth: float
    logps: tuple[float, ...]

    @property
    def margin(self) -> float:
        """By how much the right answer leads, nats."""
        return self.logps[0] - max(self.logps[1:])

    @property
    def found(self) -> bool:
        """Whether the right answer is the most probable one."""
        return self.margin > 0


def needle_scores(searches: Sequence[Search]) -> dict[str, Any]:
    """The figures of `scores.json`.

    Shape: `overall`, and rows `by_length`, `by_depth` and `cells` (both), each with `pass_rate`, `low`, `high`, `count`
    and the mean `margin`; `chance` is what guessing gives.
    """

    def rows(name: Callable[[Search], dict[str, Any]]) -> list[dict[str, Any]]:
        groups: dict[tuple[Any, ...], list[Search]] = defaultdict(list)
        for one in searches:
            groups[tuple(name(one).items())].append(one)
        return [{**dict(key), **_figures(groups[key])} for key in sorted(groups)]

    return {
        "overall": _figures(searches),
        "chance": 1 / len(searches[0].logps),
        "by_length": rows(lambda one: {"length": one.length}),
        "by_depth": rows(lambda one: {"depth": one.depth}),
        "cells": rows(lambda one: {"length": one.length, "depth": one.depth}),
    }


def _figures(searches: Sequence[Search]) -> dict[str, Any]:
    rate: Interval = pass_rate([one.found for one in searches])
    return {
        "pass_rate": rate.estimate,
        "low": rate.low,
        "high": rate.high,
        "count": rate.count,
        "margin": sum(one.margin for one in searches) / len(searches),
    }
