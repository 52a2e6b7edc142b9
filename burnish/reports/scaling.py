"""The part of the page on a scaling law: its constants, how well it tells the runs, and what it plans.

Everything comes from the `scores.json` of `burnish scaling`. The axis of tokens goes by powers of ten.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.reports.points import Axes, Point, PointChart, Series, point_chart
from burnish.reports.records import figures_of, interval_of, read_json
from burnish.reports.scale import large, number_of, plain
from burnish.stats import Interval

PLANS = ("parameters", "tokens", "tokens_per_parameter", "loss")
"""Figures of a planned budget, in the order of the table."""


@dataclass(frozen=True, kw_only=True)
class ScalingPanel:
    """What the page says of one law.

    Attributes:
        name: how the report calls it.
        facts: what it was fitted to.
        findings: sentences.
        constants: each with its interval.
        charts: losses by tokens; observed against foretold.
        plans: a budget, and the figures of `PLANS`.
        no_plan: why no budget is planned for, "" where budgets could be.
        scores: the content of `scores.json`.
    """

    name: str
    facts: str
    findings: tuple[str, ...]
    constants: tuple[tuple[str, Interval], ...]
    charts: tuple[PointChart, ...]
    plans: tuple[tuple[str, tuple[Interval, ...]], ...]
    no_plan: str
    scores: Mapping[str, Any]


def read_scaling(name: str, folder: Path) -> ScalingPanel:
    """Read what `burnish scaling` wrote into a folder.

    Raises:
        StoreError: the file is missing or damaged, or lacks a figure; names the file.
    """
    path = folder / "scores.json"
    with figures_of("a scaling law", path):
        return _panel(name, read_json(path))


def _panel(name: str, scores: Mapping[str, Any]) -> ScalingPanel:
    runs = scores["runs"]
    sizes = sorted({float(run["parameters"]) for run in runs})
    resamples = number_of(scores["resamples"], "drawing")
    return ScalingPanel(
        name=name,
        facts=f"{number_of(len(runs), 'run')} of {number_of(len(sizes), 'size')}; intervals from {resamples}.",
        findings=tuple(_findings(scores)),
        constants=tuple((constant, interval_of(row)) for constant, row in scores["constants"].items()),
        charts=(_by_tokens(runs, sizes), _against_law(runs, sizes)),
        plans=tuple((large(plan["flops"]), tuple(interval_of(plan[key]) for key in PLANS)) for plan in scores["plans"]),
        no_plan=str(scores["no_plan"]),
        scores=scores,
    )


def _findings(scores: Mapping[str, Any]) -> list[str]:
    misses = [abs(math.log(run["loss"] / run["foretold"]["estimate"])) for run in scores["runs"]]
    said = [
        *(f"{warning}." for warning in scores["warnings"]),
        _growth(scores),
        f"The law is {plain(100 * sum(misses) / len(misses))}% off the runs on average, "
        f"{plain(100 * max(misses))}% at most.",
    ]
    largest = max(6 * run["parameters"] * run["tokens"] for run in scores["runs"])
    beyond = [plan["flops"] for plan in scores["plans"] if plan["flops"] > largest]
    if beyond:
        said.append(
            f"The largest run took {large(largest)} operations; a plan for {plain(max(beyond) / largest)} times as "
            "many is an extrapolation, which the intervals know only in part."
        )
    return said


def _growth(scores: Mapping[str, Any]) -> str:
    if scores["no_plan"]:
        return f"No budget is planned for: {scores['no_plan']}."
    growth = _words(interval_of(scores["constants"]["a"]))
    return f"The best size grows as the budget to the power of {growth}, the best number of tokens as the rest."


def _by_tokens(runs: Sequence[Mapping[str, Any]], sizes: Sequence[float]) -> PointChart:
    axes = Axes(
        title="What the law says of each run",
        hint="A line for each size; the marks stand at the law's loss for a run, the bars are its interval there.",
        x_unit="tokens, powers of ten",
        y_unit="nats per token",
        x_text=lambda power: f"{large(10**power)} tokens",
        y_text=plain,
        counted="runs fitted",
    )
    series = [
        Series(label=f"{large(size)} parameters", series=number, points=tuple(_points(runs, size)))
        for number, size in enumerate(sizes)
    ]
    return point_chart(axes, series)


def _points(runs: Sequence[Mapping[str, Any]], size: float) -> list[Point]:
    own = sorted((run for run in runs if run["parameters"] == size), key=lambda run: float(run["tokens"]))
    return [Point(at=math.log10(run["tokens"]), value=interval_of(run["foretold"])) for run in own]


def _against_law(runs: Sequence[Mapping[str, Any]], sizes: Sequence[float]) -> PointChart:
    axes = Axes(
        title="Foretold against measured",
        hint="On the line, the law says what was measured.",
        x_unit="measured, nats per token",
        y_unit="by the law",
        x_text=lambda loss: f"{plain(loss)} measured",
        y_text=plain,
        counted="runs fitted",
        diagonal=True,
    )
    series = []
    for number, size in enumerate(sizes):
        own = sorted((run for run in runs if run["parameters"] == size), key=lambda run: float(run["loss"]))
        points = tuple(Point(at=float(run["loss"]), value=interval_of(run["foretold"])) for run in own)
        series.append(Series(label=f"{large(size)} parameters", series=number, points=points))
    return point_chart(axes, series)


def _words(value: Interval) -> str:
    return f"{plain(value.estimate)} ({plain(value.low)} to {plain(value.high)})"
