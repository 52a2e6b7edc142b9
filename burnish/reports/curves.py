"""Learning curves: where every point of a chart lies, and the chart in words.

A run of many steps is drawn twice: each step thin, and a running mean over it. Long runs are thinned to `MOST_POINTS`
by averaging neighbours, which the caption says. The geometry is computed here; `templates/figures.html` draws it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from burnish.reports.panels import HELD_OUT, Panel, panels
from burnish.reports.records import Row
from burnish.reports.scale import Scale, plain, span, tick_texts, ticks

MOST_POINTS = 240
WIDTH, HEIGHT = 380, 220
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 22, 34


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a chart.

    Attributes:
        name, label: the metric, and how the legend calls it.
        colour: number of the colour and dash, from 0.
        held_out: drawn with a marker at each point.
        steps, values: the data, thinned.
        path: the line through them, as an SVG path.
        mean_path: the running mean, "" where the points are few.
        dots: places of the markers.
    """

    name: str
    label: str
    colour: int
    held_out: bool
    steps: tuple[float, ...]
    values: tuple[float, ...]
    path: str
    mean_path: str
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawn panel.

    Attributes:
        panel: what it shows.
        curves: its lines.
        x, y: the axes.
        x_ticks, y_ticks: where their ticks stand, with text.
        description: the figure in words.
        thinned: how many steps were averaged into a point.
        window: points of the running mean, 0 if none is drawn.
    """

    panel: Panel
    curves: tuple[Curve, ...]
    x: Scale
    y: Scale
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    description: str
    thinned: int
    window: int


def charts(steps: Sequence[Row]) -> tuple[Chart, ...]:
    """A chart for every metric of a run, those that belong together on one."""
    present = {name for row in steps for name in row}
    return tuple(chart for panel in panels(present) if (chart := drawn(panel, steps)) is not None)


def drawn(panel: Panel, steps: Sequence[Row]) -> Chart | None:
    """The chart of a panel, None if there is no value to draw."""
    series = list(_series(panel, steps))
    if not series:
        return None
    thinned = max(-(-len(points) // MOST_POINTS) for *_, points in series)
    series = [(name, label, colour, _averaged(points, thinned)) for name, label, colour, points in series]
    y_values = ticks(*span(v for *_, points in series for _, v in points))
    x_values = _step_ticks(*span(s for *_, points in series for s, _ in points))
    first, last = span(s for *_, points in series for s, _ in points)
    x = Scale(low=first, high=last if last > first else first + 1, start=LEFT, stop=WIDTH - RIGHT)
    y = Scale(low=y_values[0], high=y_values[-1], start=HEIGHT - BOTTOM, stop=TOP)
    longest = max(len(points) for *_, points in series)
    window = max(3, longest // 12) if longest >= 30 else 0
    curves = tuple(_curve(name, label, colour, points, x, y, window) for name, label, colour, points in series)
    return Chart(
        panel=panel,
        curves=curves,
        x=x,
        y=y,
        x_ticks=tuple((x.at(s), f"{s:,.0f}") for s in x_values if first <= s <= x.high),
        y_ticks=tuple(zip(map(y.at, y_values), tick_texts(y_values), strict=True)),
        description=_description(panel, curves),
        thinned=thinned,
        window=window if any(curve.mean_path for curve in curves) else 0,
    )


def _series(panel: Panel, steps: Sequence[Row]) -> Iterator[tuple[str, str, int, list[tuple[float, float]]]]:
    alone = len(panel.names) == 1
    for colour, (base, label) in enumerate(zip(panel.names, panel.labels, strict=True)):
        if points := [(row["step"], row[base] * panel.factor) for row in steps if base in row]:
            yield base, label, colour, points
        name = HELD_OUT + base
        if points := [(row["step"], row[name] * panel.factor) for row in steps if name in row]:
            yield name, "held out" if alone else f"{label}, held out", colour + alone, points


def _averaged(points: list[tuple[float, float]], size: int) -> list[tuple[float, float]]:
    """Neighbours averaged in runs of `size`; each stands at the last step of its run."""
    chunks = (points[i : i + size] for i in range(0, len(points), size))
    return [(chunk[-1][0], sum(v for _, v in chunk) / len(chunk)) for chunk in chunks]


def _step_ticks(first: float, last: float) -> tuple[float, ...]:
    inner = [value for value in ticks(first, last) if value == round(value) and first <= value <= last]
    return tuple(inner) if len(inner) > 1 else (first, last) if last > first else (first,)


def _curve(
    name: str, label: str, colour: int, points: list[tuple[float, float]], x: Scale, y: Scale, window: int
) -> Curve:
    held_out = name.startswith(HELD_OUT)
    places = [(round(x.at(s), 2), round(y.at(v), 2)) for s, v in points]
    means = _running_mean([v for _, v in points], window) if window and len(points) >= 30 and not held_out else []
    return Curve(
        name=name,
        label=label,
        colour=colour,
        held_out=held_out,
        steps=tuple(s for s, _ in points),
        values=tuple(v for _, v in points),
        path=_path(places),
        mean_path=_path([(place[0], round(y.at(v), 2)) for place, v in zip(places, means, strict=False)]),
        dots=tuple(places) if held_out or len(places) == 1 else (),
    )


def _running_mean(values: list[float], window: int) -> list[float]:
    """The mean over `window` values around each; fewer at the ends."""
    half = window // 2
    parts = (values[max(0, i - half) : i + half + 1] for i in range(len(values)))
    return [sum(part) / len(part) for part in parts]


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "".join(f"{'L' if i else 'M'}{px:g},{py:g}" for i, (px, py) in enumerate(places))


def _description(panel: Panel, curves: Sequence[Curve]) -> str:
    parts = []
    for curve in curves:
        first, last = plain(curve.values[0]), plain(curve.values[-1])
        low, high = (plain(v) for v in span(curve.values))
        parts.append(
            f"{curve.label}: {first} at step {curve.steps[0]:g}, {last} at step {curve.steps[-1]:g}, "
            f"between {low} and {high}"
        )
    return f"{panel.title} ({panel.unit}) by step. " + "; ".join(parts) + "."
