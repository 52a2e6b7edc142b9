"""The part of the page that compares methods: how often answers pass, by how far training moved the model.

      pass rate
        60% │            ■ 4e-4
            │   ◆ 1e-4 ╱         a mark per run, a line through the strengths of a method,
        50% │○      ■ 1e-4       bars over both 95% intervals, ○ where all runs started
            └──────────────────
             0   1    4      9   KL from the start, nats per answer

A method that reaches the same pass rate at a smaller KL has changed less for it. The horizontal axis goes by the square
root of the KL, the distance that Gao et al. (2023, arXiv:2210.10760) plot rewards by, so that small moves can be told
apart beside large ones.

Places along the horizontal axis are percentages, so that text keeps its size on a phone. `templates/frontier.html`
draws it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from burnish.reports.compared import Compared, frontier_finding
from burnish.reports.labels import Label, placed_labels
from burnish.reports.scale import Format, Scale, percent, plain, span, tick_texts, ticks
from burnish.stats import Interval

HEIGHT, TOP, BOTTOM = 400, 22, 44
X_TICKS = tuple(m * 10.0**e for e in range(-3, 4) for m in (1, 2, 5))
GAP = 7.0
"""Least distance of two ticks of the horizontal axis, percent of its width."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A drawn run: places in percent (x) and pixels (y), the ends of both bars, and where its label stands."""

    run: Compared
    x: float
    x_low: float
    x_high: float
    y: float
    y_low: float
    y_high: float
    label: Label
    text: str


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """What the page says of a comparison.

    Attributes:
        runs: in the order of the recipe, the start first.
        marks: of the runs.
        lines: (x1, y1, x2, y2, series) between neighbouring strengths of a method.
        legend: each method with the number of its series.
        x_ticks, y_ticks: place and text.
        height, bottom: of the drawing and of its horizontal axis, pixels.
        finding: which runs are ahead, in words.
        description: the figure in words.
    """

    runs: tuple[Compared, ...]
    marks: tuple[Mark, ...]
    lines: tuple[tuple[float, float, float, float, int], ...]
    legend: tuple[tuple[str, int], ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    height: int
    bottom: int
    finding: str
    description: str


def frontier_of(runs: Sequence[Compared]) -> Frontier:
    """Lay out a comparison."""
    y_values = ticks(*span(end for run in runs for end in (run.rate.low, run.rate.high)))
    x, y = _axes(runs, y_values)
    places = [(x.at(_root(run.kl.estimate)), y.at(run.rate.estimate)) for run in runs]
    labels = placed_labels(places, [run.name for run in runs])
    marks = tuple(_mark(run, x, y, label) for run, label in zip(runs, labels, strict=True))
    return Frontier(
        runs=tuple(runs),
        marks=marks,
        lines=_lines(marks),
        legend=tuple(dict.fromkeys((run.method, run.series) for run in runs)),
        x_ticks=_x_ticks(x),
        y_ticks=tuple((round(y.at(v), 2), f"{t}%") for v, t in zip(y_values, _percents(y_values), strict=True)),
        height=HEIGHT,
        bottom=HEIGHT - BOTTOM,
        finding=frontier_finding(runs),
        description="Pass rate by KL from the start, with 95% intervals. " + "; ".join(mark.text for mark in marks),
    )


def _root(kl: float) -> float:
    """The distance that the axis goes by; an estimate below 0, which chance makes, stands at 0."""
    return math.sqrt(max(0.0, kl))


def _axes(runs: Sequence[Compared], values: Sequence[float]) -> tuple[Scale, Scale]:
    far = max(_root(run.kl.high) for run in runs) or 1.0
    x = Scale(low=0.0, high=far * 1.04, start=0.0, stop=100.0)
    return x, Scale(low=values[0], high=values[-1], start=HEIGHT - BOTTOM, stop=TOP)


def _x_ticks(x: Scale) -> tuple[tuple[float, str], ...]:
    """0, and round values that stand apart, from the far end."""
    kept: list[tuple[float, str]] = []
    for value in sorted((v for v in X_TICKS if _root(v) <= x.high), reverse=True):
        place = round(x.at(_root(value)), 3)
        if place >= GAP and (not kept or kept[-1][0] - place >= GAP):
            kept.append((place, plain(value)))
    return ((0.0, "0"), *reversed(kept))


def _percents(values: Sequence[float]) -> tuple[str, ...]:
    return tick_texts([value * 100 for value in values])


def _mark(run: Compared, x: Scale, y: Scale, label: Label) -> Mark:
    kl, passed = run.kl, run.rate
    return Mark(
        run=run,
        x=round(x.at(_root(kl.estimate)), 3),
        x_low=round(x.at(_root(kl.low)), 3),
        x_high=round(x.at(_root(kl.high)), 3),
        y=round(y.at(passed.estimate), 2),
        y_low=round(y.at(passed.low), 2),
        y_high=round(y.at(passed.high), 2),
        label=label,
        text=f"{run.name}: {_words(passed, percent)} at {_words(kl, plain)} nats, {passed.count:,} answers",
    )


def _words(value: Interval, text: Format) -> str:
    return f"{text(value.estimate)} ({text(value.low)} to {text(value.high)})"


def _lines(marks: Sequence[Mark]) -> tuple[tuple[float, float, float, float, int], ...]:
    return tuple(
        (before.x, before.y, after.x, after.y, after.run.series)
        for number, before in enumerate(marks)
        for after in marks[number + 1 : number + 2]
        if before.run.method == after.run.method and before.run.series
    )
