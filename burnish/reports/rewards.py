"""The part of the page on reward models: right how often, sure with reason, and whether length decides.

Everything comes from the `scores.json` of `burnish evaluate-reward` (`burnish.evals.reward` says what it holds).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.reports.dots import DotPlot, Entry, rate_plot
from burnish.reports.points import Axes, Point, PointChart, Series, point_chart
from burnish.reports.records import figures_of, interval_of, read_json
from burnish.reports.scale import number_of, percent, plain
from burnish.stats import Interval

SIDES = {
    "chosen_shorter": "chosen is shorter",
    "same_length": "equally long",
    "chosen_longer": "chosen is longer",
}
RULES = {"longer_wins": "the longer one wins", "shorter_wins": "the shorter one wins"}
FIGURES = {
    "nll": "negative log-likelihood, nats per pair",
    "brier": "Brier score",
    "ece": "expected calibration error (ECE)",
    "ece_if_calibrated": "ECE to expect if calibrated",
}
MODEL, RULE = 1, 0
"""Numbers of the colour and shape of a model's own figures, and of what it is compared with."""


@dataclass(frozen=True, kw_only=True)
class RewardPanel:
    """What the page says of one reward model.

    Attributes:
        name: how the report calls it.
        facts: how much it was measured on.
        accuracy: share of pairs it gets right.
        findings: sentences.
        lengths: accuracy by length difference, and of the rules that only look at length.
        charts: the reliability diagram, and the mean score by length.
        calibration: figures as scored, and after the fitted temperature (None where there is none).
        scores: the content of `scores.json`.
    """

    name: str
    facts: str
    accuracy: Interval
    findings: tuple[str, ...]
    lengths: DotPlot
    charts: tuple[PointChart, ...]
    calibration: tuple[tuple[str, float, float | None], ...]
    scores: Mapping[str, Any]


def read_reward(name: str, folder: Path) -> RewardPanel:
    """Read what `burnish evaluate-reward` wrote into a folder.

    Raises:
        StoreError: the file is missing or damaged, or lacks a figure; names the file.
    """
    path = folder / "scores.json"
    with figures_of("a reward model", path):
        return _panel(name, read_json(path))


def _panel(name: str, scores: Mapping[str, Any]) -> RewardPanel:
    accuracy = interval_of(scores["accuracy"], "accuracy")
    after = scores["calibrated"]
    ties = f", {scores['ties']:,} of them with equal scores" if scores["ties"] else ""
    return RewardPanel(
        name=name,
        facts=f"{number_of(scores['pairs'], 'pair')} from {number_of(scores['prompts'], 'prompt')}{ties}.",
        accuracy=accuracy,
        findings=tuple(_findings(accuracy, scores)),
        lengths=_lengths(scores),
        charts=(_reliability(scores), _score_by_length(scores)),
        calibration=tuple(
            (text, float(scores["as_scored"][figure]), float(after[figure]) if after else None)
            for figure, text in FIGURES.items()
        ),
        scores=scores,
    )


def _findings(accuracy: Interval, scores: Mapping[str, Any]) -> Iterator[str]:
    rules = {text: interval_of(scores["rules"][rule], "accuracy") for rule, text in RULES.items()}
    best = max(rules, key=lambda text: rules[text].estimate)
    yield (
        f"It prefers the better answer in {_share(accuracy)} of the pairs. "
        f"The rule “{best}” is right in {_share(rules[best])}."
    )
    yield _sureness(scores)
    within = scores["score_and_length"]["within_pairs"]
    if within:
        found = interval_of(within)
        words = f"{plain(found.estimate)} ({plain(found.low)} to {plain(found.high)})"
        follows = "longer" if found.estimate > 0 else "shorter"
        verdict = f"it favours {follows} answers" if found.excludes_zero else "no leaning to either length is found"
        yield f"Within pairs, score and length correlate at {words}: {verdict}."


def _sureness(scores: Mapping[str, Any]) -> str:
    temperature = scores["temperature"]
    if temperature is None:
        return "No temperature fits its scores: they favour the better answers on average never, or always."
    folds = (scores["calibrated"] or {}).get("temperature_of_folds", {"low": temperature, "high": temperature})
    leaning = "about as sure as it is right"
    if folds["low"] > 1:
        leaning = "more sure than it is right"
    elif folds["high"] < 1:
        leaning = "less sure than it is right"
    spread = f"{plain(folds['low'])} to {plain(folds['high'])} over the folds"
    return f"The fitted temperature is {plain(temperature)} ({spread}): as scored, it is {leaning}."


def _lengths(scores: Mapping[str, Any]) -> DotPlot:
    by = scores["length_difference"]
    rows = [("all pairs", MODEL, scores["accuracy"])]
    rows += [(text, MODEL, by[side]) for side, text in SIDES.items() if side in by]
    quantiles = by["quantiles"]
    rows += [(_tokens(row), MODEL, row) for row in quantiles] if len(quantiles) > 1 else []
    rows += [(text, RULE, scores["rules"][rule]) for rule, text in RULES.items()]
    entries = [
        (label, [Entry(label=label, series=series, interval=interval_of(row, "accuracy"))])
        for label, series, row in rows
    ]
    return rate_plot(
        "Accuracy by difference of length",
        entries,
        strong=["all pairs"],
        unit="pairs in which the better answer is preferred",
        counted="pairs",
    )


def _tokens(row: Mapping[str, Any]) -> str:
    low, high = (plain(row[end]) if row[end] <= 0 else f"+{plain(row[end])}" for end in ("from_tokens", "to_tokens"))
    return f"{low} tokens" if low == high else f"{low} to {high} tokens"


def _reliability(scores: Mapping[str, Any]) -> PointChart:
    axes = Axes(
        title="Reliability",
        hint="On the line, 80% sure means right in 80%. Below it the model is too sure. Each pair is seen from the "
        "answer that the model prefers, so predictions begin at 50%.",
        x_unit="predicted probability",
        y_unit="share right",
        x_text=percent,
        y_text=percent,
        counted="pairs",
        x_places=(0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        y_within=(0.5, 1.0),
        diagonal=True,
        percent=True,
    )
    shown = {"as scored": scores["as_scored"], "after the fitted temperature": scores["calibrated"]}
    series = [
        Series(label=label, series=number, points=tuple(_bin_point(row) for row in found["bins"]))
        for number, (label, found) in enumerate(shown.items(), start=1)
        if found
    ]
    return point_chart(axes, series)


def _bin_point(row: Mapping[str, Any]) -> Point:
    return Point(at=float(row["predicted"]), value=interval_of(row, "observed"))


def _score_by_length(scores: Mapping[str, Any]) -> PointChart:
    axes = Axes(
        title="Score by length",
        hint="Mean score of the answers in five groups of equal size. A slope may be what people prefer, or a leaning "
        "that optimisation will exploit: compare the accuracy on both sides.",
        x_unit="length, tokens",
        y_unit="mean score",
        x_text=lambda tokens: f"{plain(tokens)} tokens",
        y_text=plain,
        counted="answers",
    )
    bins = scores["score_and_length"]["bins"]
    points = (Point(at=float(row["mean_tokens"]), value=interval_of(row, "mean")) for row in bins if "mean" in row)
    return point_chart(axes, [Series(label="mean score", series=MODEL, points=tuple(points))])


def _share(value: Interval) -> str:
    return f"{percent(value.estimate)} ({percent(value.low)} to {percent(value.high)})"
