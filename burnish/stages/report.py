"""`burnish report`: one HTML page, and the figures behind it, from finished runs.

    burnish report --runs runs/sft --out runs/report                          a single training run
    runs: {start: "@start_scores", sft: "@sft_scores", dpo: "@dpo_scores"}    in a recipe: the measured models, in order

Everything upstream of the runs is found through their records and shown too. Writes `report.html`, and `metrics.json`
with the time of every stage, the peak memory and, where models were measured, their rates and gains; a reward model's
figures stand there under its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pydantic

from burnish.config import setting, settings
from burnish.errors import ConfigError, shown
from burnish.reports.costs import CostRow, costs, total_of
from burnish.reports.curves import Chart
from burnish.reports.dots import DotPlot
from burnish.reports.evaluations import Evaluation, metrics_of, read_evaluation
from burnish.reports.graph import Graph
from burnish.reports.lineage import Node, lineage
from burnish.reports.page import Tile, render
from burnish.reports.panels import Panel
from burnish.reports.points import PointChart
from burnish.reports.records import Run, read_run
from burnish.reports.rewards import RewardPanel, read_reward
from burnish.reports.samples import SideBySide
from burnish.reports.scale import Scale
from burnish.reports.scores import Scores
from burnish.stages.stage import Plan, Stage, Work
from burnish.stats import Interval

RESERVED = ("gains", "held_out_gains", "seconds", "peak_memory_bytes")
"""Names in `metrics.json` that no model may have."""


def by_name(value: Any) -> Any:
    """Folders by name: a mapping as it is; words such as `sft=runs/a` or `runs/a` (called by its folder's name) as one.

    Raises:
        ValueError: a word has no folder, or a name stands twice.
    """
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)):
        return value
    folders: dict[str, str] = {}
    for word in words:
        given, equals, rest = str(word).partition("=")
        name, folder = (given, rest) if equals else (Path(given).resolve().name, given)
        if not name or not folder or name in folders:
            raise ValueError(f"found {shown(word)}; expected NAME=FOLDER or FOLDER, every name once")
        folders[name] = folder
    return folders


Folders = Annotated[dict[str, str], pydantic.BeforeValidator(by_name)]


@settings
class ReportStage(Stage):
    """Write a report on finished runs."""

    verb: ClassVar[str] = "report"

    runs: Folders = setting(..., "run folders to report on, by name; measured models in this order", source=True)
    title: str = setting("What this run did", "heading of the page")
    samples_per_kind: int = setting(1, "sample answers shown for each kind", unit="prompts", ge=0)

    def plan(self) -> Plan:
        """Read every record and answer, as `run` does, and say what was found."""
        nodes, evaluations, rewards = self._read()
        measured = [*(one.name for one in evaluations), *(panel.name for panel in rewards)]
        stages = sum(node.run is not None for node in nodes)
        line = f"report on {stages} stages; measured models: {', '.join(measured) or 'none'}"
        return Plan(lines=(line,), facts={"stages": stages, "measured": measured})

    def run(self, work: Work) -> None:
        """Write `report.html` and `metrics.json` into the folder."""
        nodes, evaluations, rewards = self._read()
        page = render(nodes, evaluations, rewards=rewards, title=self.title, samples_per_kind=self.samples_per_kind)
        (work.out / "report.html").write_text(page, encoding="utf-8")
        figures = metrics_of(evaluations) if evaluations else {}
        figures |= {panel.name: panel.scores for panel in rewards}
        rows = costs(nodes)
        figures["seconds"] = {row.name: row.seconds for row in rows}
        figures["peak_memory_bytes"] = total_of(rows).peak_memory_bytes
        (work.out / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        work.say(f"report: {work.out / 'report.html'}")

    def code(self) -> tuple[type, ...]:
        """The classes whose files make the page."""
        return (
            *(Chart, CostRow, DotPlot, Evaluation, Graph, Interval, Node, Panel, PointChart, RewardPanel, Run, Scale),
            *(Scores, SideBySide, Tile),
        )

    def _read(self) -> tuple[tuple[Node, ...], tuple[Evaluation, ...], tuple[RewardPanel, ...]]:
        _check_names(self.runs)
        folders = {name: Path(folder) for name, folder in self.runs.items()}
        verbs = {name: read_run(folder).verb for name, folder in folders.items()}
        measuring = ("evaluate", "evaluate-reward")
        names = {folders[n]: f"measure {n}" if verb in measuring else n for n, verb in verbs.items()}
        return (
            lineage(names, names),
            tuple(read_evaluation(n, folders[n]) for n, verb in verbs.items() if verb == "evaluate"),
            tuple(read_reward(n, folders[n]) for n, verb in verbs.items() if verb == "evaluate-reward"),
        )


def _check_names(runs: Mapping[str, str]) -> None:
    if not runs:
        raise ConfigError(["report: 'runs' is empty; name at least one run folder, such as --runs runs/sft"])
    wrong = [name for name in runs if name in RESERVED]
    if wrong:
        raise ConfigError([f"report: a run cannot be called '{name}'; metrics.json uses that name" for name in wrong])
