"""The part of the page on models that were measured on text: side by side on the same documents, and what they write.

Everything comes from what `burnish evaluate-text` and `burnish ngram` wrote (`burnish.evals.texts` says what it holds).
The first model is what the others are compared with, document by document.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.evals.texts import bits_per_byte
from burnish.reports.points import Axes, Point, PointChart, Series, point_chart
from burnish.reports.records import figures_of, interval_of, read_json
from burnish.reports.scale import plain
from burnish.stats import Interval

TEXT_VERBS = ("evaluate-text", "ngram")


@dataclass(frozen=True, kw_only=True)
class TextModel:
    """A model that was measured.

    Attributes:
        name: how the report calls it.
        bits: bits per byte.
        perplexity: per token.
        documents: nats and bytes of each document, by id.
        positions: nats per token by tokens seen before.
        samples: what it wrote, with what it was given before.
        scores: the content of `scores.json`.
    """

    name: str
    bits: Interval
    perplexity: float
    documents: Mapping[str, tuple[float, int]]
    positions: tuple[tuple[int, int, float], ...]
    samples: tuple[tuple[str, str], ...]
    scores: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class TextRow:
    """A row of the table; `gap` is the difference from the first model, None where that cannot be said."""

    name: str
    bits: Interval
    perplexity: float
    tokens: str
    gap: Interval | None


@dataclass(frozen=True, kw_only=True)
class TextPanel:
    """What the page says of all of them.

    Attributes:
        models: in the order to show them.
        findings: sentences.
        rows: of the table.
        chart: perplexity by tokens seen before.
        gaps: the differences for `metrics.json`, by "NAME-FIRST".
    """

    models: tuple[TextModel, ...]
    findings: tuple[str, ...]
    rows: tuple[TextRow, ...]
    chart: PointChart
    gaps: Mapping[str, Mapping[str, float]]


def read_text_model(name: str, folder: Path) -> TextModel:
    """Read what a measurement wrote into a folder.

    Raises:
        StoreError: a file is missing or damaged, or lacks a figure; names the file.
    """
    what, path = "a model that was measured on text", folder / "scores.json"
    with figures_of(what, path):
        scores = read_json(path)
        bits = interval_of(scores["bits_per_byte"])
        positions = tuple((row["from"], row["tokens"], float(row["nats_per_token"])) for row in scores["by_position"])
        perplexity = float(scores["perplexity"])
    path = folder / "documents.jsonl"
    with figures_of(what, path):
        documents = {row["id"]: (float(row["nats"]), int(row["bytes"])) for row in _rows(path)}
    path = folder / "samples.jsonl"
    with figures_of(what, path):
        samples = tuple((row["prompt"], row["text"]) for row in _rows(path)) if path.is_file() else ()
    return TextModel(
        name=name,
        bits=bits,
        perplexity=perplexity,
        documents=documents,
        positions=positions,
        samples=samples,
        scores=scores,
    )


def text_panel(models: Sequence[TextModel]) -> TextPanel:
    """The section; at least one model."""
    first = models[0]
    gaps = {model.name: gap(first, model) for model in models[1:]}
    rows = tuple(
        TextRow(
            name=model.name,
            bits=model.bits,
            perplexity=model.perplexity,
            tokens=f"{model.scores['tokens']:,}",
            gap=gaps.get(model.name),
        )
        for model in models
    )
    return TextPanel(
        models=tuple(models),
        findings=tuple(_findings(first, models[1:], gaps)),
        rows=rows,
        chart=_chart(models),
        gaps={f"{name}-{first.name}": dataclasses.asdict(found) for name, found in gaps.items() if found},
    )


def gap(first: TextModel, other: TextModel) -> Interval | None:
    """Bits per byte of `other` minus those of `first`, paired by document; None where the documents are others."""
    sizes = {name: size for name, (_, size) in first.documents.items()}
    if sizes != {name: size for name, (_, size) in other.documents.items()}:
        return None
    nats = [other.documents[name][0] - cost for name, (cost, _) in first.documents.items()]
    return bits_per_byte(nats, list(sizes.values()))


def _findings(first: TextModel, others: Sequence[TextModel], gaps: Mapping[str, Interval | None]) -> Iterator[str]:
    yield f"{first.name} needs {first.bits.estimate:.4f} bits per byte over {first.bits.count:,} documents."
    for model in others:
        found = gaps[model.name]
        if found is None:
            yield f"{model.name} was measured on other documents, so it is not compared with {first.name}."
        elif not found.excludes_zero:
            yield f"No difference between {model.name} and {first.name} is found on these documents."
        else:
            low, high = sorted((abs(found.low), abs(found.high)))
            kind = "fewer" if found.high < 0 else "more"
            yield (
                f"{model.name} needs {model.bits.estimate:.4f}: {abs(found.estimate):.4f} {kind} than {first.name} "
                f"({low:.4f} to {high:.4f}), on the same bytes."
            )


def _chart(models: Sequence[TextModel]) -> PointChart:
    axes = Axes(
        title="By position",
        hint="A model that uses what stands far back finds later tokens easier. Each point holds the tokens with so "
        "many before them, up to twice as many.",
        x_unit="log2 of tokens seen before",
        y_unit="nats per token",
        x_text=lambda power: f"from {2**power:,.0f} tokens",
        y_text=plain,
        counted="tokens",
    )
    series = [
        Series(
            label=model.name,
            series=number,
            points=tuple(
                Point(at=math.log2(begin), value=Interval(estimate=mean, low=mean, high=mean, count=count))
                for begin, count, mean in model.positions
            ),
        )
        for number, model in enumerate(models)
    ]
    return point_chart(axes, series)


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
