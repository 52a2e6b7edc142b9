"""Points with interval bars on two axes: a reliability diagram, a mean by length.

The geometry is computed here in the unit of the drawing that `curves` uses; `templates/figures.html` draws it. Series
differ by colour and by the shape of their marker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from burnish.reports.curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from burnish.reports.scale import Format, Scale, span, tick_texts, ticks
from burnish.stats import Interval


@dataclass(frozen=True, kw_only=True)
class Point:
    """What is drawn: a place on the horizontal axis, and the value there with its interval."""

    at: float
    value: Interval


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points that belong together; `series` is the number of their colour and shape, from 0."""

    label: str
    series: int
    points: tuple[Point, ...]


@dataclass(frozen=True, kw_only=True)
class Spot:
    """A drawn point: its place, the ends of its bar, and what it says in words."""

    series: int
    x: float
    y: float
    low: float
    high: float
    text: str


@dataclass(frozen=True, kw_only=True)
class PointChart:
    """A drawn chart.

    Attributes:
        title, hint: heading, and one sentence on how to read it.
        x_unit, y_unit: units on the axes.
        legend: label and number of each series.
        spots: the points.
        lines: a path through the points of each series, with its number.
        diagonal: the path on which both axes are equal, "" if there is none.
        x, y: the axes.
        x_ticks, y_ticks: where their ticks stand, with text.
        description: the figure in words.
    """

    title: str
    hint: str
    x_unit: str
    y_unit: str
    legend: tuple[tuple[str, int], ...]
    spots: tuple[Spot, ...]
    lines: tuple[tuple[str, int], ...]
    diagonal: str
    x: Scale
    y: Scale
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    description: str


@dataclass(frozen=True, kw_only=True)
class Axes:
    """What the axes of a chart say.

    Attributes:
        title, hint: see `PointChart`.
        x_unit, y_unit: units on the axes.
        x_text, y_text: how a value of each axis is written in words.
        counted: what a point counts, in the plural.
        x_places: ticks of the horizontal axis, () to fit it to the points.
        y_within: values that the vertical axis has to reach.
        diagonal: whether to draw where both axes are equal.
        percent: whether values are shares, to be shown in percent.
    """

    title: str
    hint: str
    x_unit: str
    y_unit: str
    x_text: Format
    y_text: Format
    counted: str
    x_places: tuple[float, ...] = ()
    y_within: tuple[float, ...] = ()
    diagonal: bool = False
    percent: bool = False


def point_chart(axes: Axes, series: Sequence[Series]) -> PointChart:
    """Lay out a chart; each series has at least one point."""
    points = [point for one in series for point in one.points]
    x_values = axes.x_places or ticks(*span(point.at for point in points))
    ends = [end for point in points for end in (point.value.low, point.value.high)]
    y_values = ticks(*span([*ends, *axes.y_within]))
    x = Scale(low=x_values[0], high=x_values[-1], start=LEFT, stop=WIDTH - RIGHT)
    y = Scale(low=y_values[0], high=y_values[-1], start=HEIGHT - BOTTOM, stop=TOP)
    offsets = {one.label: 3.0 * (number - (len(series) - 1) / 2) for number, one in enumerate(series)}
    drawn = {one.label: [_spot(one, point, axes, x, y, offsets[one.label]) for point in one.points] for one in series}
    return PointChart(
        title=axes.title,
        hint=axes.hint,
        x_unit=axes.x_unit,
        y_unit=axes.y_unit,
        legend=tuple((one.label, one.series) for one in series),
        spots=tuple(spot for spots in drawn.values() for spot in spots),
        lines=tuple((_path(drawn[one.label]), one.series) for one in series),
        diagonal=_diagonal(x, y) if axes.diagonal else "",
        x=x,
        y=y,
        x_ticks=_ticks(x, x_values, percent=axes.percent),
        y_ticks=_ticks(y, y_values, percent=axes.percent),
        description=_description(axes, series),
    )


def _ticks(scale: Scale, values: Sequence[float], *, percent: bool) -> tuple[tuple[float, str], ...]:
    texts = tick_texts([value * 100 for value in values] if percent else values)
    return tuple((scale.at(value), text + "%" * percent) for value, text in zip(values, texts, strict=True))


def _spot(one: Series, point: Point, axes: Axes, x: Scale, y: Scale, offset: float) -> Spot:
    """The place of a point; series stand a little apart, so that bars at one place can be told from each other."""
    return Spot(
        series=one.series,
        x=round(x.at(point.at) + offset, 2),
        y=round(y.at(point.value.estimate), 2),
        low=round(y.at(point.value.low), 2),
        high=round(y.at(point.value.high), 2),
        text=f"{one.label}: {_words(axes, point)}, {point.value.count:,} {axes.counted}",
    )


def _words(axes: Axes, point: Point) -> str:
    value, text = point.value, axes.y_text
    interval = f"{text(value.low)} to {text(value.high)}"
    return f"{text(value.estimate)} ({interval}) at {axes.x_text(point.at)}"


def _path(spots: Sequence[Spot]) -> str:
    return "".join(f"{'L' if i else 'M'}{spot.x:g},{spot.y:g}" for i, spot in enumerate(spots))


def _diagonal(x: Scale, y: Scale) -> str:
    low, high = max(x.low, y.low), min(x.high, y.high)
    return f"M{x.at(low):g},{y.at(low):g}L{x.at(high):g},{y.at(high):g}"


def _description(axes: Axes, series: Sequence[Series]) -> str:
    parts = (f"{one.label}: " + "; ".join(_words(axes, point) for point in one.points) for one in series)
    return f"{axes.title}: {axes.y_unit} by {axes.x_unit}, with 95% intervals. " + ". ".join(parts) + "."
