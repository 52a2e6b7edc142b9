"""The figure of the study: gold above, proxy below, both as the gain over the start, by the KL from the start.

Drawn from the record alone, on a light card of its own, so that it can be read on a dark page too. The same record
gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ARMS = {
    "single": ("#c4501b", "o", "one reward model"),
    "mean": ("#8a6d00", "^", "mean of three"),
    "minimum": ("#0b6e99", "s", "minimum of three"),
    "kl": ("#5b4b8a", "D", "one, with a price on the KL"),
}
COLUMNS = {"best_of_n": "best-of-n, n = 1 to {}", "rl": "RL, {} updates"}
ROWS = {"gold_gain": "gold score, gain", "proxy_gain": "score by what is optimised, gain"}


def picture(record: Mapping[str, Any]) -> Figure:
    """The plot of a record."""
    mpl.rcParams.update({"svg.hashsalt": "burnish", "font.size": 10, "svg.fonttype": "none"})
    figure = Figure(figsize=(8.6, 6.4), layout="constrained", facecolor="white")
    grid = figure.subplots(len(ROWS), len(COLUMNS), sharex="col")
    for column, (name, title) in enumerate(COLUMNS.items()):
        arms = record[name]
        grid[0][column].set_title(title.format(arms["single"]["points"][-1]["at"]), loc="left", fontsize=10)
        grid[-1][column].set_xlabel("KL from the start, nats per answer")
        for row, (value, label) in enumerate(ROWS.items()):
            _panel(grid[row][column], arms, value)
            if column == 0:
                grid[row][column].set_ylabel(label)
    drawn = {text: line for axes in grid.flat for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(list(drawn.values()), list(drawn), loc="outside upper left", ncols=len(drawn), frameon=False)
    return figure


def _panel(axes: Axes, arms: Mapping[str, Any], value: str) -> None:
    """One panel: a line for each arm; 95% intervals, and a ring at the arm's best gold score."""
    for name, arm in arms.items():
        colour, marker, label = ARMS[name]
        points = arm["points"]
        kls = [point["kl"] for point in points]
        middle = [point[value]["estimate"] for point in points]
        below = [point[value]["estimate"] - point[value]["low"] for point in points]
        above = [point[value]["high"] - point[value]["estimate"] for point in points]
        axes.errorbar(
            kls, middle, yerr=[below, above], color=colour, marker=marker, markersize=4, elinewidth=0.8, linewidth=1.4
        )
        axes.plot([], [], color=colour, marker=marker, markersize=4, label=label)
        if value == "gold_gain":
            best = arm["best"]
            axes.plot(kls[best], middle[best], marker="o", markersize=11, fillstyle="none", color=colour)
    axes.axhline(0, color="#999999", linewidth=0.8)
    axes.grid(color="#ececec")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
