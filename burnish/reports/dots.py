"""Dot-and-interval plots: one row per thing measured, a marker at the estimate and a bar over its interval.

      overall   ○──        ■───   ◆──
      bullets  ○─      ■────    ◆────
              0%      25%      50%      75%     100%

Places along the axis are percentages of the plot's width, so that the plot fits a phone and a printed page with text of
the same size. Models differ by colour and by the shape of their marker. `templates/figures.html` draws it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from burnish.reports.scale import Format, Scale, percent, points, span, ticks
from burnish.stats import Interval

ENTRY_HEIGHT, ROW_GAP, BOTTOM = 13, 11, 36
SMALLEST_AXIS = 0.02
"""Reach of an axis of gains at the least, so that no difference does not look like one."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One estimate with its interval.

    Attributes:
        label: what it belongs to: the model, or the comparison.
        series: number of the colour and shape, from 0.
        interval: the value.
        at, low, high: places along the axis, percent of its width.
        y: vertical place, pixels.
        text: the value in words, such as "52% (47% to 57%)".
    """

    label: str
    series: int
    interval: Interval
    at: float
    low: float
    high: float
    y: float
    text: str


@dataclass(frozen=True, kw_only=True)
class DotRow:
    """A labelled row of marks, or a heading without any; `top` and `height` in pixels; `strong` sets it apart."""

    label: str
    marks: tuple[Mark, ...]
    top: float
    height: float
    strong: bool = False


@dataclass(frozen=True, kw_only=True)
class DotPlot:
    """A drawn plot.

    Attributes:
        title: what it shows.
        unit: text under the axis.
        counted: what a mark counts, in the plural.
        rows: from top to bottom.
        ticks: where the axis' ticks stand (percent of its width), with text.
        zero: where zero stands, None if it is an end of the axis.
        height: pixels, axis included.
        description: the figure in words.
    """

    title: str
    unit: str
    counted: str
    rows: tuple[DotRow, ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float | None
    height: float
    description: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What goes into a row: a label, the number of its series, and the value."""

    label: str
    series: int
    interval: Interval


Rows = Sequence[tuple[str, Sequence[Entry]]]


def rate_plot(
    title: str, rows: Rows, *, strong: Iterable[str] = (), unit: str = "pass rate", counted: str = "answers"
) -> DotPlot:
    """Pass rates, or shares of something else that is `counted`, on an axis from 0 to 100%."""
    scale = Scale(low=0.0, high=1.0, start=0.0, stop=100.0)
    marks = tuple((scale.at(v), percent(v)) for v in (0.0, 0.25, 0.5, 0.75, 1.0))
    return _plot(title, unit, counted, rows, scale, marks, percent, frozenset(strong))


def gain_plot(title: str, rows: Rows, *, strong: Iterable[str] = ()) -> DotPlot:
    """Differences of pass rates, in percentage points, zero included."""
    low, high = span(end for _, entries in rows for e in entries for end in (e.interval.low, e.interval.high))
    places = ticks(min(0.0, low), max(0.0, high, min(0.0, low) + SMALLEST_AXIS), count=5)
    scale = Scale(low=places[0], high=places[-1], start=0.0, stop=100.0)
    marks = tuple((scale.at(v), f"{points(v).removesuffix('.0')}") for v in places)
    return _plot(title, "gain, percentage points", "answers", rows, scale, marks, points, frozenset(strong))


def _plot(
    title: str,
    unit: str,
    counted: str,
    rows: Rows,
    scale: Scale,
    marks: tuple[tuple[float, str], ...],
    format: Format,
    strong: frozenset[str],
) -> DotPlot:
    drawn: list[DotRow] = []
    top = 0.0
    for label, entries in rows:
        height = max(22.0, ENTRY_HEIGHT * len(entries) + ROW_GAP)
        first = top + height / 2 - ENTRY_HEIGHT * (len(entries) - 1) / 2
        placed = tuple(_mark(e, scale, first + ENTRY_HEIGHT * i, format) for i, e in enumerate(entries))
        drawn.append(DotRow(label=label, marks=placed, top=top, height=height, strong=label in strong))
        top += height
    return DotPlot(
        title=title,
        unit=unit,
        counted=counted,
        rows=tuple(drawn),
        ticks=marks,
        zero=scale.at(0.0) if scale.low < 0 < scale.high else None,
        height=top + BOTTOM,
        description=_description(title, drawn),
    )


def _mark(entry: Entry, scale: Scale, y: float, format: Format) -> Mark:
    interval = entry.interval
    return Mark(
        label=entry.label,
        series=entry.series,
        interval=interval,
        at=round(scale.at(interval.estimate), 3),
        low=round(scale.at(interval.low), 3),
        high=round(scale.at(interval.high), 3),
        y=y,
        text=f"{format(interval.estimate)} ({format(interval.low)} to {format(interval.high)})",
    )


def _description(title: str, rows: Sequence[DotRow]) -> str:
    parts = (
        f"{row.label}: " + ", ".join(f"{mark.label} {mark.text}" for mark in row.marks) for row in rows if row.marks
    )
    return f"{title}, with 95% intervals. " + "; ".join(parts) + "."
