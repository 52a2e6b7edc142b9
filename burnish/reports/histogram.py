"""Histograms with a limit: how a measure is spread, and which part of it a rule drops.

No bar is on both sides of the limit, so that its colour says what the rule does with what it holds. The geometry is
computed here; `templates/curation.html` draws it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from burnish.data.curate.step import Rule
from burnish.reports.scale import Scale, number_of, percent, plain, tick_texts, ticks

BINS = 36
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 380, 150, 12, 12, 20, 30


@dataclass(frozen=True, kw_only=True)
class Column:
    """A bar of a histogram: its place and size in the drawing, and whether the rule drops what it holds."""

    x: float
    y: float
    width: float
    height: float
    beyond: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """How a measure is spread over the documents that reached the step.

    Attributes:
        columns: its bars.
        limit_x: where the limit is drawn, None if all values are equal to each other and to nothing near it.
        x_ticks: places and texts of the ticks.
        description: the figure in words.
    """

    columns: tuple[Column, ...]
    limit_x: float
    x_ticks: tuple[tuple[float, str], ...]
    description: str


def histogram(values: np.ndarray, rule: Rule) -> Histogram | None:
    """How some values are spread around a limit; None if there are none.

    The axis reaches over 99% of the values and the limit; what lies beyond is counted in the outermost bars.
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    low, high = (float(edge) for edge in np.quantile(values, (0.005, 0.995)))
    low, high = min(low, rule.limit), max(high, rule.limit)
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    marks = ticks(low, high)
    x = Scale(low=marks[0], high=marks[-1], start=LEFT, stop=WIDTH - RIGHT)
    edges = _edges(marks[0], marks[-1], rule.limit)
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    fails = rule.fails((edges[:-1] + edges[1:]) / 2)
    tallest = max(int(counts.max()), 1)
    room = HEIGHT - TOP - BOTTOM
    columns = tuple(
        Column(
            x=round(x.at(start), 2),
            y=round(HEIGHT - BOTTOM - room * count / tallest, 2),
            width=round(max(x.at(stop) - x.at(start) - 0.6, 0.4), 2),
            height=round(room * count / tallest, 2),
            beyond=bool(beyond),
            text=f"{plain(start)} to {plain(stop)}: {number_of(count, 'document')}",
        )
        for start, stop, count, beyond in zip(
            edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), fails.tolist(), strict=True
        )
        if count
    )
    beyond_share = float(rule.fails(values).mean())
    return Histogram(
        columns=columns,
        limit_x=round(x.at(rule.limit), 2),
        x_ticks=tuple(zip((round(x.at(mark), 2) for mark in marks), tick_texts(marks), strict=True)),
        description=f"{rule.measure}: half of the documents are at or below {plain(float(np.median(values)))}; "
        f"{percent(beyond_share)} are beyond the limit {plain(rule.limit)}",
    )


def _edges(low: float, high: float, limit: float) -> np.ndarray:
    """Borders of the bars, evenly spaced, with one at the limit, so that no bar is on both sides of it."""
    step = (high - low) / BINS
    below = max(1, round((limit - low) / step)) if limit > low else 0
    above = max(1, round((high - limit) / step)) if limit < high else 0
    parts = [np.linspace(low, limit, below + 1)] if below else []
    parts += [np.linspace(limit, high, above + 1)[1 if below else 0 :]] if above else []
    return np.concatenate(parts)
