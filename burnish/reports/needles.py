"""The part of the page on needles in haystacks: which facts each model found again, by length and depth, side by side.

Everything comes from what `burnish evaluate-needle` wrote (`burnish.evals.needle` says what it holds). The first model
is what the others are compared with, needle by needle. All depths of a length share their texts, so the searches in one
text are taken together in every interval.

           128   256   512      tokens
      0    ███   ▓▓▓   ░░░
    0.5    ███   ███   ▒▒▒      a grid for each model, all with the same lengths and depths
      1    ███   ███   ███
    depth
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.errors import StoreError
from burnish.reports.records import read_json, read_run
from burnish.reports.scale import percent, plain, points
from burnish.stats import Interval, paired_difference, pass_rate

NEEDLE_VERB = "evaluate-needle"

STRONGEST = 45
"""Share of the colour in a cell where every needle was found, in percent; more would be hard to write on."""

Place = tuple[int, float, int]
"""Length, depth, and number of the text."""


@dataclass(frozen=True, kw_only=True)
class NeedleModel:
    """A model that looked for needles.

    Attributes:
        name: how the report calls it.
        texts: the seed and the number of answers, by which two models are known to have got the same needles.
        found: whether the right answer was the most probable, by place.
        margins: nats by which it led, by place.
        chance: what guessing gives.
        scores: the content of `scores.json`.
    """

    name: str
    texts: tuple[int, int]
    found: Mapping[Place, bool]
    margins: Mapping[Place, float]
    chance: float
    scores: Mapping[str, Any]

    def rate(self, length: int | None = None) -> Interval:
        """How often it found them, at one length or at all."""
        places = [place for place in self.found if length in (None, place[0])]
        return pass_rate([self.found[place] for place in places], clusters=_texts_of(places))

    @property
    def lengths(self) -> tuple[int, ...]:
        """Of its texts."""
        return tuple(sorted({length for length, _, _ in self.found}))


@dataclass(frozen=True, kw_only=True)
class NeedleCell:
    """One length and depth; `heat` is its share of the colour in percent, 0 at chance and below."""

    rate: Interval
    heat: int
    tip: str


@dataclass(frozen=True, kw_only=True)
class NeedleGrid:
    """The grid of one model: rows are depths, with a cell for each length; None where it was not measured."""

    name: str
    rows: tuple[tuple[str, tuple[NeedleCell | None, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class NeedleRow:
    """A row of the table; `gap` is the difference from the first model, None where that cannot be said."""

    name: str
    rate: Interval
    margin: float
    gap: Interval | None


@dataclass(frozen=True, kw_only=True)
class NeedlePanel:
    """What the page says of all of them.

    Attributes:
        models: in the order to show them.
        findings: sentences.
        rows: of the table.
        lengths: columns of every grid.
        grids: one for each model.
        gaps: the differences for `metrics.json`, by "NAME-FIRST".
    """

    models: tuple[NeedleModel, ...]
    findings: tuple[str, ...]
    rows: tuple[NeedleRow, ...]
    lengths: tuple[int, ...]
    grids: tuple[NeedleGrid, ...]
    gaps: Mapping[str, Mapping[str, float]]


def read_needles(name: str, folder: Path) -> NeedleModel:
    """Read what `burnish evaluate-needle` wrote into a folder.

    Raises:
        StoreError: a file is missing or damaged, or lacks a figure; names the file.
    """
    scores, settings = read_json(folder / "scores.json"), read_run(folder).settings
    path = folder / "searches.jsonl"
    counted: Counter[tuple[int, float]] = Counter()
    found: dict[Place, bool] = {}
    margins: dict[Place, float] = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            cell = (int(row["length"]), float(row["depth"]))
            place = (*cell, counted[cell])
            counted[cell] += 1
            right, *others = row["logps"]
            found[place], margins[place] = bool(row["found"]), float(right) - max(others)
        texts, chance = (int(settings["seed"]), int(settings["answers"])), float(scores["chance"])
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise StoreError(
            f"{path} lacks a figure of a search for needles ({type(error).__name__}: {error}). Run its stage again"
        ) from error
    if not found:
        raise StoreError(f"{path} holds no search for a needle. Run its stage again")
    return NeedleModel(name=name, texts=texts, found=found, margins=margins, chance=chance, scores=scores)


def needle_panel(models: Sequence[NeedleModel]) -> NeedlePanel:
    """The section; at least one model."""
    first = models[0]
    gaps = {model.name: gap(first, model) for model in models[1:]}
    lengths = tuple(sorted({length for model in models for length in model.lengths}))
    depths = sorted({depth for model in models for _, depth, _ in model.found})
    rows = tuple(
        NeedleRow(
            name=model.name,
            rate=model.rate(),
            margin=sum(model.margins.values()) / len(model.margins),
            gap=gaps.get(model.name),
        )
        for model in models
    )
    return NeedlePanel(
        models=tuple(models),
        findings=tuple(_findings(first, models, gaps)),
        rows=rows,
        lengths=lengths,
        grids=tuple(_grid(model, lengths, depths) for model in models),
        gaps={f"{name}-{first.name}": dataclasses.asdict(found) for name, found in gaps.items() if found},
    )


def gap(first: NeedleModel, other: NeedleModel) -> Interval | None:
    """The rate of `other` minus that of `first`, paired by needle; None where the needles are others."""
    if first.texts != other.texts or first.found.keys() != other.found.keys():
        return None
    places = list(first.found)
    before, after = ([model.found[place] for place in places] for model in (first, other))
    return paired_difference(before, after, clusters=_texts_of(places))


def _texts_of(places: Sequence[Place]) -> list[tuple[int, int]]:
    """Which text each place is in."""
    return [(length, number) for length, _, number in places]


def _findings(first: NeedleModel, models: Sequence[NeedleModel], gaps: Mapping[str, Interval | None]) -> Iterator[str]:
    for model in models:
        rate = model.rate()
        said = f"{model.name} finds {percent(rate.estimate)} of its needles, where guessing finds "
        said += f"{percent(model.chance)}"
        above = [length for length in model.lengths if model.rate(length).low > model.chance]
        where = "of no length" if not above else f"of {', '.join(f'{length:,}' for length in above)} tokens"
        yield f"{said}; it is found to do better than guessing in texts {where}."
    for model in models[1:]:
        found = gaps[model.name]
        if found is None:
            yield f"{model.name} looked for other needles, so it is not compared with {first.name}."
        elif not found.excludes_zero:
            yield f"No difference between {model.name} and {first.name} is found on these needles."
        else:
            low, high = points(found.low), points(found.high)
            yield f"{model.name} against {first.name}: {points(found.estimate)} points ({low} to {high})."


def _grid(model: NeedleModel, lengths: Sequence[int], depths: Sequence[float]) -> NeedleGrid:
    rows = tuple((f"{depth:g}", tuple(_cell(model, length, depth) for length in lengths)) for depth in depths)
    return NeedleGrid(name=model.name, rows=rows)


def _cell(model: NeedleModel, length: int, depth: float) -> NeedleCell | None:
    places = [place for place in model.found if place[:2] == (length, depth)]
    if not places:
        return None
    rate = pass_rate([model.found[place] for place in places])
    margin = sum(model.margins[place] for place in places) / len(places)
    tip = (
        f"{length:,} tokens, depth {depth:g}: {percent(rate.estimate)} ({percent(rate.low)} to {percent(rate.high)}) "
        f"of {len(places)}; the right answer leads by {plain(margin)} nats"
    )
    above = max(0.0, (rate.estimate - model.chance) / (1 - model.chance))
    return NeedleCell(rate=rate, heat=round(STRONGEST * above), tip=tip)
