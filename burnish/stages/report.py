"""`burnish report`: one HTML page, and the figures behind it, from finished runs.

    burnish report --runs runs/sft --out runs/report                          a single training run
    runs: {start: "@start_scores", sft: "@sft_scores", dpo: "@dpo_scores"}    in a recipe: the measured models, in order
    frontier: {"dpo gentle": "@one_scores", "dpo strong": "@two_scores", "ipo gentle": "@three_scores"}

Everything upstream of the runs is found through their records and shown too. Writes `report.html`, and `metrics.json`
with the time of every stage, the peak memory and, where models were measured, their rates and gains; the figures of a
reward model, of a model that was measured on text, and of one that looked for needles, stand there under its name.
`frontier` names measured runs of several methods, to be drawn as pass rate against KL from the model that all of them
started from; `metrics.json` has them under "frontier".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Annotated, Any, ClassVar, cast

import pydantic

from burnish.config import setting, settings
from burnish.errors import ConfigError
from burnish.reports.compared import Compared, frontier_figures, read_compared
from burnish.reports.costs import CostRow, costs, total_of
from burnish.reports.curves import Chart
from burnish.reports.dots import DotPlot
from burnish.reports.evaluations import Evaluation, metrics_of, read_evaluation
from burnish.reports.frontier import Frontier, frontier_of
from burnish.reports.graph import Graph
from burnish.reports.labels import Label
from burnish.reports.lineage import Node, lineage
from burnish.reports.needles import NEEDLE_VERB, NeedleModel, NeedlePanel, needle_panel, read_needles
from burnish.reports.page import Tile, render
from burnish.reports.panels import Panel
from burnish.reports.points import PointChart
from burnish.reports.records import Run, read_run
from burnish.reports.rewards import RewardPanel, read_reward
from burnish.reports.samples import SideBySide
from burnish.reports.scale import Scale
from burnish.reports.scaling import ScalingPanel, read_scaling
from burnish.reports.scores import Scores
from burnish.reports.tasks import task_charts
from burnish.reports.texts import TEXT_VERBS, TextModel, TextPanel, read_text_model, text_panel
from burnish.stages.named_paths import named_paths
from burnish.stages.stage import Plan, Stage, Work
from burnish.stats import Interval
from burnish.store import Code

RESERVED = ("gains", "held_out_gains", "text_gaps", "needle_gaps", "frontier", "seconds", "peak_memory_bytes")
"""Names in `metrics.json` that no model may have."""


def by_name(value: Any) -> Any:
    """Folders by name; one without is called by its own name."""
    return named_paths(
        value, called=lambda folder: Path(folder).resolve().name, expected="NAME=FOLDER or FOLDER, every name once"
    )


Folders = Annotated[dict[str, str], pydantic.BeforeValidator(by_name)]


@settings
class ReportStage(Stage):
    """Write a report on finished runs."""

    verb: ClassVar[str] = "report"

    runs: Folders = setting(..., "run folders to report on, by name; measured models in this order", source=True)
    frontier: Folders | None = setting(
        None, "measured runs to compare by KL and pass rate, by METHOD STRENGTH such as 'dpo 1e-4'", source=True
    )
    title: str = setting("What this run did", "heading of the page")
    samples_per_kind: int = setting(1, "sample answers shown for each kind", unit="prompts", ge=0)

    def plan(self) -> Plan:
        """Read every record and answer, as `run` does, and say what was found."""
        found = self._read()
        measured = [one.name for one in found.evaluations] + [one.name for one in found.rewards]
        measured += [one.name for one in found.laws] + [one.name for one in found.texts]
        measured += [one.name for one in found.needles]
        stages = sum(node.run is not None for node in found.nodes)
        line = f"report on {stages} stages; measured models: {', '.join(measured) or 'none'}"
        if self.frontier:
            line += f"; compared: {', '.join(self.frontier)}"
        return Plan(lines=(line,), facts={"stages": stages, "measured": measured})

    def run(self, work: Work) -> None:
        """Write `report.html` and `metrics.json` into the folder."""
        found = self._read()
        texts = text_panel(found.texts) if found.texts else None
        needles = needle_panel(found.needles) if found.needles else None
        page = render(
            found.nodes,
            found.evaluations,
            rewards=found.rewards,
            texts=texts,
            needles=needles,
            frontier=frontier_of(found.compared) if found.compared else None,
            laws=found.laws,
            title=self.title,
            samples_per_kind=self.samples_per_kind,
        )
        (work.out / "report.html").write_text(page, encoding="utf-8")
        figures = metrics_of(found.evaluations) if found.evaluations else {}
        figures |= {panel.name: panel.scores for panel in found.rewards}
        figures |= {panel.name: panel.scores for panel in found.laws}
        figures |= {panel.name: panel.scores for panel in found.texts}
        figures |= {"text_gaps": texts.gaps} if texts else {}
        figures |= {model.name: model.scores for model in found.needles}
        figures |= {"needle_gaps": needles.gaps} if needles else {}
        if found.compared:
            figures["frontier"] = frontier_figures(found.compared)
        rows = costs(found.nodes)
        figures["seconds"] = {row.name: row.seconds for row in rows}
        figures["peak_memory_bytes"] = total_of(rows).peak_memory_bytes
        (work.out / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        work.say(f"report: {work.out / 'report.html'}")

    def code(self) -> tuple[Code, ...]:
        """The classes and functions whose files make the page."""
        return (
            *(Chart, Compared, CostRow, DotPlot, Evaluation, Frontier, Graph, Interval, Label, NeedleModel),
            *(NeedlePanel, Node, Panel, PointChart, RewardPanel, Run, Scale, ScalingPanel, Scores, SideBySide),
            *(TextModel, TextPanel, Tile),
            cast(FunctionType, task_charts),
        )

    def _read(self) -> _Found:
        _check_names(self.runs)
        folders = {name: Path(folder) for name, folder in self.runs.items()}
        compared = {name: Path(folder) for name, folder in (self.frontier or {}).items()}
        every = {**{folder: name for name, folder in compared.items()}, **{f: n for n, f in folders.items()}}
        verbs = {folder: read_run(folder).verb for folder in every}
        measuring = ("evaluate", "evaluate-reward", NEEDLE_VERB, *TEXT_VERBS)
        names = {f: f"measure {name}" if verbs[f] in measuring else name for f, name in every.items()}
        evaluations = tuple(read_evaluation(n, f) for n, f in folders.items() if verbs[f] == "evaluate")
        return _Found(
            nodes=lineage([*folders.values(), *compared.values()], names),
            evaluations=evaluations,
            rewards=tuple(read_reward(n, f) for n, f in folders.items() if verbs[f] == "evaluate-reward"),
            laws=tuple(read_scaling(n, f) for n, f in folders.items() if verbs[f] == "scaling"),
            texts=tuple(read_text_model(n, f) for n, f in folders.items() if verbs[f] in TEXT_VERBS),
            needles=tuple(read_needles(n, f) for n, f in folders.items() if verbs[f] == NEEDLE_VERB),
            compared=read_compared(compared, evaluations) if compared else (),
        )


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What the page is made of."""

    nodes: tuple[Node, ...]
    evaluations: tuple[Evaluation, ...]
    rewards: tuple[RewardPanel, ...]
    laws: tuple[ScalingPanel, ...]
    texts: tuple[TextModel, ...]
    needles: tuple[NeedleModel, ...]
    compared: tuple[Compared, ...]


def _check_names(runs: Mapping[str, str]) -> None:
    if not runs:
        raise ConfigError(["report: 'runs' is empty; name at least one run folder, such as --runs runs/sft"])
    wrong = [name for name in runs if name in RESERVED]
    if wrong:
        raise ConfigError([f"report: a run cannot be called '{name}'; metrics.json uses that name" for name in wrong])
