"""One self-contained HTML page from run records: what ran, what it cost, what it changed.

`render` gathers everything and fills `templates/page.html`; style and script are written into the page, figures are
inline SVG, and nothing is fetched, so the file opens from a disk, in a mail, or years later.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from burnish.errors import shown
from burnish.reports.against_kl import reward_against_kl
from burnish.reports.costs import CostRow, costs, total_of
from burnish.reports.curves import HEIGHT, WIDTH, Chart, charts
from burnish.reports.evaluations import TEST, Evaluation, comparisons, gain, rate
from burnish.reports.findings import found
from burnish.reports.frontier import Frontier
from burnish.reports.graph import BOX_HEIGHT, BOX_WIDTH, graph
from burnish.reports.lineage import Node, short_key
from burnish.reports.needles import NeedlePanel, NeedleRow
from burnish.reports.notes import CHECKED, notes
from burnish.reports.points import PointChart
from burnish.reports.records import Run
from burnish.reports.rewards import RewardPanel
from burnish.reports.scale import duration, large, number_of, percent, plain, points
from burnish.reports.scaling import ScalingPanel
from burnish.reports.scores import scores_of
from burnish.reports.tasks import task_charts
from burnish.reports.texts import TextPanel
from burnish.stats import Interval

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A figure at the head of the page; `series` is the number of the model it belongs to, None if it is of the run."""

    name: str
    value: str
    detail: str
    series: int | None = None


@dataclass(frozen=True, kw_only=True)
class Training:
    """The section of one training run."""

    name: str
    facts: str
    notes: tuple[str, ...]
    distance: PointChart | None
    tasks: tuple[PointChart, ...]
    charts: tuple[Chart, ...]
    drawing: str


@dataclass(frozen=True, kw_only=True)
class StageDetails:
    """What a stage was run with."""

    name: str
    verb: str
    key: str
    finished: bool
    template_hash: str
    inputs: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]


def render(
    nodes: Sequence[Node],
    evaluations: Sequence[Evaluation],
    *,
    title: str,
    samples_per_kind: int,
    rewards: Sequence[RewardPanel] = (),
    frontier: Frontier | None = None,
    laws: Sequence[ScalingPanel] = (),
    texts: TextPanel | None = None,
    needles: NeedlePanel | None = None,
) -> str:
    """The page.

    Args:
        nodes: the lineage, upstream first (`lineage.lineage`).
        evaluations: measured models in the order to show them, may be empty.
        title: heading of the page.
        samples_per_kind: prompts of each kind whose answers are shown; 0 shows none.
        rewards: measured reward models in the order to show them.
        frontier: a comparison of methods.
        texts: models that were measured on text.
        laws: fitted scaling laws in the order to show them.
        needles: models that looked for needles in haystacks.
    """
    trainings = tuple(_training(node) for node in nodes if node.run and node.run.steps)
    scores = scores_of(evaluations, samples_per_kind=samples_per_kind) if evaluations else None
    rows = costs(nodes)
    total = total_of(rows)
    return (
        environment()
        .get_template("page.html")
        .render(
            title=title,
            lede=_lede(nodes, evaluations, rewards, frontier, laws, texts, needles),
            tiles=_tiles(evaluations, rewards, laws, texts, needles, nodes, total),
            sections=[
                *([("frontier", "Comparison")] if frontier else []),
                *_sections(evaluations, scores is not None and bool(scores.figures), samples_per_kind),
                *([("reward", "Reward models")] if rewards else []),
                *([("texts", "Text")] if texts else []),
                *([("needles", "Needles")] if needles else []),
                *([("scaling", "Scaling laws")] if laws else []),
                *([("training", "Learning curves")] if trainings else []),
                ("cost", "Cost"),
                ("lineage", "What ran"),
            ],
            scores=scores,
            rewards=rewards,
            frontier=frontier,
            laws=laws,
            texts=texts,
            needles=needles,
            trainings=trainings,
            checked=CHECKED,
            costs=rows,
            total=total,
            graph=graph(nodes),
            stages=tuple(_details(node, nodes) for node in nodes if node.run),
            versions=_versions(nodes),
            size={"width": WIDTH, "height": HEIGHT, "box_width": BOX_WIDTH, "box_height": BOX_HEIGHT},
        )
    )


@functools.cache
def environment() -> jinja2.Environment:
    """How templates are filled: everything escaped, every name known, and the library's ways to write numbers."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=lambda name: name is None or name.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent,
        points=points,
        plain=plain,
        large=large,
        spaced=_spaced,
        shortened=_shortened,
        verdict=_verdict,
        key=short_key,
    )
    return environment


def _sections(evaluations: Sequence[Evaluation], has_figures: bool, samples_per_kind: int) -> list[tuple[str, str]]:
    """Those on measured models."""
    offered = [
        ("found", "Found", bool(evaluations)),
        ("kinds", "By kind", bool(evaluations)),
        ("answers", "Length and likelihood", has_figures),
        ("samples", "Samples", bool(evaluations) and samples_per_kind > 0),
    ]
    return [(id, name) for id, name, present in offered if present]


def _lede(
    nodes: Sequence[Node],
    evaluations: Sequence[Evaluation],
    rewards: Sequence[RewardPanel],
    frontier: Frontier | None,
    laws: Sequence[ScalingPanel],
    texts: TextPanel | None,
    needles: NeedlePanel | None,
) -> str:
    runs = [node for node in nodes if node.run]
    trained = [node.name for node in runs if node.run and node.run.steps]
    ran = f"{number_of(len(runs), 'stage')} ran"
    if len(runs) > 1 and trained:
        ran += f", {len(trained)} of them training ({_listed(trained)})"
    if not any((evaluations, rewards, frontier, laws, texts, needles)):
        return f"{ran}. No model was measured, so this page says how training went, not what it changed."
    said = [f"{ran}."]
    if evaluations:
        models = _listed([e.name for e in evaluations])
        said.append(
            f"{number_of(len(evaluations), 'model was', 'models were')} measured on the same prompts: {models}."
        )
    if rewards:
        models = _listed([panel.name for panel in rewards])
        said.append(f"{number_of(len(rewards), 'reward model was', 'reward models were')} measured on pairs: {models}.")
    if texts:
        models = _listed([one.name for one in texts.models])
        said.append(f"{number_of(len(texts.models), 'model was', 'models were')} measured on held-out text: {models}.")
    if needles:
        models = _listed([one.name for one in needles.models])
        said.append(f"{number_of(len(needles.models), 'model')} looked for needles in haystacks: {models}.")
    if frontier:
        count = sum(run.series > 0 for run in frontier.runs)
        said.append(f"{number_of(count, 'run was', 'runs were')} compared by pass rate and KL.")
    if laws:
        said.append(f"{number_of(len(laws), 'scaling law was', 'scaling laws were')} fitted.")
    return " ".join(said)


def _tiles(
    evaluations: Sequence[Evaluation],
    rewards: Sequence[RewardPanel],
    laws: Sequence[ScalingPanel],
    texts: TextPanel | None,
    needles: NeedlePanel | None,
    nodes: Sequence[Node],
    total: CostRow,
) -> list[Tile]:
    tiles = [_rate_tile(e, i) for i, e in enumerate(evaluations)]
    tiles += [_accuracy_tile(panel) for panel in rewards]
    if len(evaluations) > 1:
        before, after = comparisons(evaluations)[-1]
        if interval := gain(before.of(TEST), after.of(TEST)):
            detail = f"points, {after.name} − {before.name} ({points(interval.low)} to {points(interval.high)})"
            tiles.append(Tile(name="gain", value=points(interval.estimate), detail=detail))
    tiles += [_growth_tile(panel) for panel in laws]
    tiles += [_text_tile(model.name, model.bits) for model in (texts.models if texts else ())]
    tiles += [_needle_tile(row) for row in (needles.rows if needles else ())]
    if not any((evaluations, rewards, laws, texts, needles)):
        tiles += _loss_tiles(nodes)
    tiles.append(Tile(name="time", value=total.time, detail=f"for {number_of(total.num_stages, 'stage')}"))
    tiles.append(Tile(name="peak memory", value=total.memory, detail="largest of any stage"))
    return tiles


def _rate_tile(evaluation: Evaluation, series: int) -> Tile:
    interval = rate(evaluation.of(TEST))
    detail = f"of {interval.count:,} answers pass ({percent(interval.low)} to {percent(interval.high)})"
    return Tile(name=evaluation.name, value=percent(interval.estimate), detail=detail, series=series)


def _accuracy_tile(panel: RewardPanel) -> Tile:
    right = panel.accuracy
    detail = f"of {right.count:,} pairs judged right ({percent(right.low)} to {percent(right.high)})"
    return Tile(name=panel.name, value=percent(right.estimate), detail=detail)


def _growth_tile(panel: ScalingPanel) -> Tile:
    if panel.no_plan:
        return Tile(name=panel.name, value="unknown", detail=panel.no_plan)
    growth = dict(panel.constants)["a"]
    detail = f"power of the budget that the best size grows with ({plain(growth.low)} to {plain(growth.high)})"
    return Tile(name=panel.name, value=plain(growth.estimate), detail=detail)


def _text_tile(name: str, bits: Interval) -> Tile:
    detail = f"bits per byte of {bits.count:,} documents ({bits.low:.3f} to {bits.high:.3f})"
    return Tile(name=name, value=f"{bits.estimate:.3f}", detail=detail)


def _needle_tile(row: NeedleRow) -> Tile:
    detail = f"of {row.rate.count:,} needles found ({percent(row.rate.low)} to {percent(row.rate.high)})"
    return Tile(name=row.name, value=percent(row.rate.estimate), detail=detail)


def _loss_tiles(nodes: Sequence[Node]) -> list[Tile]:
    tiles = []
    for node in nodes:
        losses = [row["loss"] for row in node.run.steps if "loss" in row] if node.run else []
        if losses:
            detail = f"from {plain(losses[0])}, over {number_of(len(losses), 'step')}"
            tiles.append(Tile(name=f"loss of {node.name}", value=plain(losses[-1]), detail=detail))
    return tiles


def _training(node: Node) -> Training:
    run = node.run
    assert run is not None
    drawn = charts(run.steps)
    facts = [f"{number_of(len(run.steps), 'step')}", f"{run.num_tokens or 0:,} tokens"]
    if run.seconds is not None:
        facts.append(duration(run.seconds))
    return Training(
        name=node.name,
        facts=", ".join(facts) + ".",
        notes=notes(run),
        distance=reward_against_kl(run.steps),
        tasks=task_charts(run.before or {}, run.steps),
        charts=drawn,
        drawing=_drawing(drawn),
    )


def _drawing(drawn: Sequence[Chart]) -> str:
    """How the lines were made, if they are not simply the values."""
    thinned = max((chart.thinned for chart in drawn), default=1)
    window = max((chart.window for chart in drawn), default=0)
    point = "each step" if thinned == 1 else f"the mean of {thinned} steps"
    if window:
        return f"Thin lines: {point}. Thick lines: running mean over {window} points."
    return f"Each point is {point}." if thinned > 1 else ""


def _details(node: Node, nodes: Sequence[Node]) -> StageDetails:
    run = node.run
    assert run is not None
    return StageDetails(
        name=node.name,
        verb=run.verb,
        key=run.key,
        finished=run.finished,
        template_hash=run.template_hash,
        inputs=tuple((item.field, _input_text(item.path, item.key)) for item in run.inputs),
        settings=tuple(flat(run.settings)),
    )


def _input_text(path: str, key: str) -> str:
    return f"{path} ({short_key(key)})" if key else path


def flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as dotted names with values as text."""
    rows: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            rows += flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", value if isinstance(value, str) else shown(value, limit=200)))
    return rows


def _versions(nodes: Sequence[Node]) -> str:
    runs: list[Run] = [node.run for node in nodes if node.run]
    found_: dict[str, dict[str, None]] = {}
    for run in runs:
        for name, version in run.versions.items():
            found_.setdefault(name, {})[version] = None
    return ", ".join(f"{name} {' and '.join(versions)}" for name, versions in found_.items())


def _verdict(interval: Any) -> str:
    return found(interval).split(" ", maxsplit=1)[0]


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _shortened(name: str, limit: int) -> str:
    return name if len(name) <= limit else f"{name[: limit - 1]}…"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
