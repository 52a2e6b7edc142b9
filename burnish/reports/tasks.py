"""Scores on tasks that training never sees, by update: a chart for each task, a line for each number of shots.

The figures are those of `burnish.evals.tasks`: of the model before the first update, from the run's record, and of
every look, from its metrics.
"""

from __future__ import annotations

from collections.abc import Sequence

from burnish.evals.tasks import figure_name, figure_of
from burnish.reports.points import Axes, Point, PointChart, Series, point_chart
from burnish.reports.records import Row
from burnish.reports.scale import plain
from burnish.stats import Interval


def task_charts(before: Row, steps: Sequence[Row]) -> tuple[PointChart, ...]:
    """The charts of a run, all tasks together first; none if it looked at no task.

    Args:
        before: figures of the model as the run starts; may be empty.
        steps: the lines of its metrics.
    """
    rows = [{**before, "step": 0.0}, *steps]
    figures = {figure for row in rows for name in row if (figure := figure_of(name)) is not None}
    tasks = sorted({task for task, _ in figures}, key=lambda task: (task is not None, task or ""))
    return tuple(_chart(task, sorted(shots for one, shots in figures if one == task), rows) for task in tasks)


def _chart(task: str | None, numbers: Sequence[int], rows: Sequence[Row]) -> PointChart:
    """Of one task, or of all of them together."""
    series = [
        Series(label=_label(shots), series=place, points=_points(figure_name(task, shots), rows))
        for place, shots in enumerate(numbers)
    ]
    axes = Axes(
        title="All held-out tasks" if task is None else f"Held-out task: {task}",
        hint="Mean score of the most likely answers to questions of tasks that are not trained on, with 95% intervals.",
        x_unit="update",
        y_unit="score",
        x_text=lambda value: f"update {plain(value)}",
        y_text=plain,
        counted="questions",
        y_within=(0.0,),
    )
    return point_chart(axes, series)


def _points(name: str, rows: Sequence[Row]) -> tuple[Point, ...]:
    ends = [f"{name}_{end}" for end in ("low", "high", "count")]
    return tuple(
        Point(at=row["step"], value=Interval(estimate=row[name], low=row[low], high=row[high], count=round(row[count])))
        for row in rows
        for low, high, count in [ends]
        if {name, low, high, count} <= row.keys()
    )


def _label(shots: int) -> str:
    return "zero-shot" if shots == 0 else f"{shots}-shot"
