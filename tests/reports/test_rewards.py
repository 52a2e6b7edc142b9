"""The section on reward models: its figures show the numbers of `scores.json`; damaged files are refused by name."""

from __future__ import annotations

import json

import pytest

from burnish.errors import StoreError
from burnish.evals.reward import Comparison, reward_scores
from burnish.reports.invented import rewrite, write_reward, write_run
from burnish.reports.lineage import lineage
from burnish.reports.page import render
from burnish.reports.points import Axes, Point, Series, point_chart
from burnish.reports.rewards import RULES, SIDES, read_reward
from burnish.reports.scale import plain
from burnish.stages.report import ReportStage
from burnish.stages.stage import Work
from burnish.stats import Interval


def text_of(element) -> str:
    return " ".join("".join(element.itertext()).split())


def with_class(root, tag, name):
    return [element for element in root.iter(tag) if name in element.get("class", "").split()]


def axis(svg, kind):
    """The function from a place on an axis to a value, read off its first and last tick."""
    ticks = [t for t in with_class(svg, "text", "tick") if kind in t.get("class").split()]
    numbers = [float(text_of(t).replace("−", "-").replace(",", "").rstrip("%")) for t in ticks]
    where = [float(t.get(kind).rstrip("%")) - (3.8 if kind == "y" else 0) for t in ticks]
    slope = (numbers[-1] - numbers[0]) / (where[-1] - where[0])
    return lambda place: numbers[0] + (place - where[0]) * slope


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("reward") / "run"
    return write_reward(place, inputs={"models": "some/model", "data": "pairs.jsonl"})


@pytest.fixture(scope="module")
def scores(folder):
    return json.loads((folder / "scores.json").read_text())


@pytest.fixture(scope="module")
def root(folder, parse):
    panel = read_reward("harmless <b>", folder)
    return parse(render(lineage([folder]), [], rewards=[panel], title="Rewards", samples_per_kind=1))


def charts(root):
    return with_class(root, "svg", "points")


def test_the_page_has_the_section_and_says_who_was_measured(root, scores):
    assert [text_of(h) for h in root.iter("h2")] == ["Reward models", "What it cost", "What ran"]
    assert "1 reward model was measured on pairs: harmless <b>." in text_of(root)
    tile = with_class(root, "div", "tile")[0]
    assert f"{scores['accuracy']['accuracy']:.0%}" in text_of(tile)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert {a.get("href")[1:] for a in root.iter("a")} <= set(ids)


def test_the_reliability_diagram_shows_the_bins(root, scores):
    svg = charts(root)[0]
    x, y = axis(svg, "x"), axis(svg, "y")
    for series, name in ((1, "as_scored"), (2, "calibrated")):
        marks = [m for m in with_class(svg, "g", "mark") if with_class(m, "path", f"s{series}")]
        bins = scores[name]["bins"]
        assert len(marks) == len(bins) == 10
        for mark, row in zip(marks, bins, strict=True):
            bar = with_class(mark, "line", "reach")[0]
            assert x(float(bar.get("x1"))) == pytest.approx(100 * row["predicted"], abs=0.3)
            assert y(float(bar.get("y1"))) == pytest.approx(100 * row["low"], abs=0.02)
            assert y(float(bar.get("y2"))) == pytest.approx(100 * row["high"], abs=0.02)
            place = next(g for g in mark.iter("g") if g.get("transform")).get("transform")[10:-1].split(",")
            assert y(float(place[1])) == pytest.approx(100 * row["observed"], abs=0.02)
    (diagonal,) = with_class(svg, "path", "diagonal")
    for corner in diagonal.get("d")[1:].split("L"):
        place_x, place_y = map(float, corner.split(","))
        assert x(place_x) == pytest.approx(y(place_y), abs=0.01)


def test_the_score_by_length_shows_the_bins(root, scores):
    svg = charts(root)[1]
    x, y = axis(svg, "x"), axis(svg, "y")
    bars = with_class(svg, "line", "reach")
    for bar, row in zip(bars, scores["score_and_length"]["bins"], strict=True):
        assert x(float(bar.get("x1"))) == pytest.approx(row["mean_tokens"], abs=0.05)
        assert y(float(bar.get("y1"))) == pytest.approx(row["low"], abs=0.01)


def test_accuracy_by_length_stands_beside_the_rules(root, scores):
    (svg,) = with_class(root, "svg", "dots")
    marks = {m.get("data-row"): m for m in with_class(svg, "g", "mark")}
    expected = {text: scores["length_difference"][side] for side, text in SIDES.items()}
    expected |= {text: scores["rules"][rule] for rule, text in RULES.items()}
    expected["all pairs"] = scores["accuracy"]
    for label, row in expected.items():
        at = axis(svg, "x")(float(marks[label].find("svg").get("x").rstrip("%")))
        assert at == pytest.approx(100 * row["accuracy"], abs=0.01)
        assert f"{row['count']:,} pairs" in marks[label].get("data-tip")
    assert len(marks) == len(expected) + len(scores["length_difference"]["quantiles"])


def test_the_table_and_the_sentences_give_the_calibration(root, scores):
    cells = [cell.get("data-value") for cell in root.iter("td") if cell.get("data-value")][:8]
    names = ("nll", "brier", "ece", "ece_if_calibrated")
    assert [float(c) for c in cells] == [scores[when][n] for n in names for when in ("as_scored", "calibrated")]
    said = " ".join(text_of(li) for li in with_class(root, "ul", "found")[0])
    assert f"temperature is {plain(scores['temperature'])}" in said
    assert "more sure than it is right" in said
    assert "favours longer answers" in said
    assert plain(scores["score_and_length"]["within_pairs"]["estimate"]) in said


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.9, 1.2, "about as sure as"), (0.5, 0.9, "less sure than"), (1.1, 1.4, "more sure than")],
)
def test_sureness_is_judged_by_all_folds(tmp_path, low, high, words):
    at = write_reward(tmp_path / "run", inputs={}, prompts=30)
    found = json.loads((at / "scores.json").read_text())
    folds = {**found["calibrated"], "temperature_of_folds": {"low": low, "high": high}}
    rewrite(at / "scores.json", {"calibrated": folds})
    assert words in read_reward("m", at).findings[1]


def test_a_handful_of_pairs_makes_a_page_without_what_they_cannot_tell(tmp_path, parse):
    at = write_run(tmp_path / "run", "evaluate-reward")
    pairs = [Comparison(id=f"{i}", scores=(1.0, 0.0), ranks=(0, 1), lengths=(5, 5)) for i in range(2)]
    (at / "scores.json").write_text(json.dumps(reward_scores(pairs)))
    panel = read_reward("few", at)
    shown = text_of(parse(render(lineage([at]), [], rewards=[panel], title="Few", samples_per_kind=1)))
    assert "No temperature fits its scores" in shown
    assert "Within pairs" not in shown
    assert len(panel.charts[0].legend) == 1


@pytest.mark.parametrize("change", [{"accuracy": {}}, {"as_scored": None}, {"rules": 3}, {"length_difference": {}}])
def test_a_file_without_a_figure_is_refused_by_name(folder, tmp_path, change):
    (tmp_path / "scores.json").write_text((folder / "scores.json").read_text())
    rewrite(tmp_path / "scores.json", change)
    with pytest.raises(StoreError, match=r"scores\.json lacks a figure of a reward model.*Run its stage again"):
        read_reward("m", tmp_path)


def test_the_report_stage_knows_reward_models(folder, scores, tmp_path):
    stage = ReportStage(runs={"harmless": str(folder)})
    assert stage.plan().facts == {"stages": 1, "measured": ["harmless"]}
    stage.run(Work(out=tmp_path, say=lambda _: None, record=lambda _: None))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["harmless"] == scores
    assert metrics["seconds"] == {"measure harmless": 21.0}
    html = (tmp_path / "report.html").read_text()
    assert "Reward models" in html
    assert "No model was measured" not in html


def test_series_at_one_place_stand_apart():
    value = Interval(estimate=0.5, low=0.4, high=0.6, count=9)
    axes = Axes(title="t", hint="h", x_unit="x", y_unit="y", x_text=plain, y_text=plain, counted="pairs")
    both = [Series(label=name, series=i, points=(Point(at=1.0, value=value),)) for i, name in enumerate("ab")]
    first, second = point_chart(axes, both).spots
    assert first.x != second.x
    assert first.y == second.y
    assert first.text == "a: 0.5 (0.4 to 0.6) at 1, 9 pairs"
