"""The part of the page on measured models: plots and tables of rates and gains, sentences, sample answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from burnish.reports.dots import DotPlot, Entry, gain_plot, rate_plot
from burnish.reports.evaluations import HELD_OUT_KINDS, TEST, Evaluation, comparisons, gain, rate
from burnish.reports.findings import answer_notes, findings, overall_line
from burnish.reports.samples import SideBySide, rule, side_by_side
from burnish.stats import Interval

TITLES = {TEST: "Test prompts", HELD_OUT_KINDS: "Kinds held out of training"}
HINTS = {
    TEST: "Prompts of the kinds that training may know. The same for every model.",
    HELD_OUT_KINDS: "Kinds that the data marks as held out of training. Shown whatever they say.",
}
FIGURES = {
    "length_tokens": "length of the answers, tokens",
    "kl": "KL from the reference model, nats per answer",
    "kl_per_token": "KL from the reference model, nats per token",
    "reference_logp_per_token": "log-probability under the reference model, nats per token",
}


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """A row of a table of kinds; None where a model or a comparison has no answers."""

    label: str
    count: str
    rates: tuple[Interval | None, ...]
    gains: tuple[Interval | None, ...]
    strong: bool = False


@dataclass(frozen=True, kw_only=True)
class Part:
    """One split: its plot and the same numbers as a table."""

    id: str
    title: str
    hint: str
    plot: DotPlot
    rows: tuple[TableRow, ...]
    gain_names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FigureRow:
    """A mean over the answers, by model; None where it was not measured."""

    name: str
    values: tuple[Interval | None, ...]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Everything that the page says of measured models."""

    models: tuple[str, ...]
    findings: tuple[str, ...]
    notes: tuple[str, ...]
    basis: str
    overall: DotPlot
    gains: DotPlot | None
    parts: tuple[Part, ...]
    figures: tuple[FigureRow, ...]
    samples: tuple[SideBySide, ...]
    rule: str


def scores_of(evaluations: Sequence[Evaluation], *, samples_per_kind: int) -> Scores:
    """Gather what the page says of the models, in their order."""
    return Scores(
        models=tuple(e.name for e in evaluations),
        findings=findings(evaluations),
        notes=tuple(answer_notes(evaluations)),
        basis=overall_line(evaluations),
        overall=_overall(evaluations),
        gains=_gains(evaluations),
        parts=tuple(_part(evaluations, split) for split in TITLES if _kinds(evaluations, split)),
        figures=tuple(_figures(evaluations)),
        samples=side_by_side(evaluations, per_kind=samples_per_kind),
        rule=rule(samples_per_kind),
    )


def _overall(evaluations: Sequence[Evaluation]) -> DotPlot:
    rows = [(e.name, [Entry(label=e.name, series=i, interval=rate(e.of(TEST)))]) for i, e in enumerate(evaluations)]
    return rate_plot("Answers that pass, by model", rows)


def _gains(evaluations: Sequence[Evaluation]) -> DotPlot | None:
    rows: list[tuple[str, list[Entry]]] = []
    for split, heading in ((TEST, "Test prompts"), (HELD_OUT_KINDS, "Kinds held out")):
        gains = [(b, a, gain(b.of(split), a.of(split))) for b, a in comparisons(evaluations)]
        entries = [
            Entry(label=_difference(before, after), series=evaluations.index(after), interval=interval)
            for before, after, interval in gains
            if interval
        ]
        rows += [(heading, []), *((entry.label, [entry]) for entry in entries)] if entries else []
    title = "Gains in pass rate on the same prompts"
    return gain_plot(title, rows, strong=[label for label, entries in rows if not entries]) if rows else None


def _part(evaluations: Sequence[Evaluation], split: str) -> Part:
    kinds: list[str | None] = [None, *_kinds(evaluations, split)]
    rows = [_row(evaluations, split, kind) for kind in kinds]
    plotted = [
        (
            row.label,
            [
                Entry(label=e.name, series=i, interval=interval)
                for i, (e, interval) in enumerate(zip(evaluations, row.rates, strict=True))
                if interval
            ],
        )
        for row in rows
    ]
    return Part(
        id=split.replace("_", "-"),
        title=TITLES[split],
        hint=HINTS[split],
        plot=rate_plot(f"Pass rates: {TITLES[split].lower()}", plotted, strong=["all"]),
        rows=tuple(rows),
        gain_names=tuple(_difference(before, after) for before, after in comparisons(evaluations)),
    )


def _row(evaluations: Sequence[Evaluation], split: str, kind: str | None) -> TableRow:
    answers = {e.name: e.of(split, kind) for e in evaluations}
    counts = sorted({len(found) for found in answers.values()})
    return TableRow(
        label="all" if kind is None else kind.replace("_", " "),
        count=" or ".join(f"{count:,}" for count in counts),
        rates=tuple(rate(answers[e.name]) if answers[e.name] else None for e in evaluations),
        gains=tuple(gain(answers[before.name], answers[after.name]) for before, after in comparisons(evaluations)),
        strong=kind is None,
    )


def _kinds(evaluations: Sequence[Evaluation], split: str) -> tuple[str, ...]:
    return tuple(sorted({kind for e in evaluations for kind in e.kinds(split)}))


def _difference(before: Evaluation, after: Evaluation) -> str:
    return f"{after.name} − {before.name}"


def _figures(evaluations: Sequence[Evaluation]) -> list[FigureRow]:
    """Every mean of every `scores.json`."""
    names = dict.fromkeys(name for e in evaluations for name in e.figures)
    return [
        FigureRow(
            name=FIGURES.get(name, name.replace("_", " ")), values=tuple(e.figures.get(name) for e in evaluations)
        )
        for name in names
    ]
