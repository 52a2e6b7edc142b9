"""The comparison of methods: marks stand where the records say, in one figure and one table; runs apart are refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from burnish.errors import ConfigError, StoreError
from burnish.evals.divergence import kl_scores
from burnish.reports.compared import frontier_finding, read_compared
from burnish.reports.evaluations import read_evaluation
from burnish.reports.frontier import frontier_of
from burnish.reports.invented import rewrite, store_folder, write_run
from burnish.reports.invented_comparison import RUNS, write_comparison, write_measured
from burnish.reports.labels import PAGE, placed_labels
from burnish.stages.report import ReportStage
from burnish.stages.stage import Work


def text_of(element) -> str:
    return " ".join("".join(element.itertext()).split())


def with_class(root, tag, name):
    return [element for element in root.iter(tag) if name in element.get("class", "").split()]


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    return write_comparison(tmp_path_factory.mktemp("comparison") / "store")


@pytest.fixture(scope="module")
def written(at, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    stage = ReportStage(runs={"sft": str(at["sft"])}, frontier={name: str(at[name]) for name in RUNS})
    stage.run(Work(out=out, say=lambda _: None, record=lambda _: None))
    return out


@pytest.fixture(scope="module")
def root(written, parse):
    return parse((written / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def section(root):
    (found,) = [element for element in root.iter("section") if element.get("id") == "frontier"]
    return found


def scores_of(folder: Path) -> dict:
    return json.loads((folder / "scores.json").read_text())


def test_each_run_is_a_mark_where_its_scores_say(section, at):
    (svg,) = [s for s in section.iter("svg") if s.get("role") == "img"]
    ticks = {kind: [t for t in with_class(svg, "text", "tick") if kind in t.get("class").split()] for kind in "xy"}
    x = [(float(t.get("x").rstrip("%")), math.sqrt(float(text_of(t)))) for t in ticks["x"]]
    y = [(float(t.get("y")) - 3.8, float(text_of(t).rstrip("%")) / 100) for t in ticks["y"]]
    assert len(x) >= 4
    assert len(y) >= 3
    marks = with_class(svg, "svg", "mark")
    bars = {g.get("data-run"): with_class(g, "line", "reach") for g in with_class(svg, "g", "mark")}
    assert len(marks) == len(bars) == len(RUNS) + 1
    for mark, name in zip(marks, ("sft", *RUNS), strict=True):
        scores = scores_of(at[name])
        drawn_x, drawn_y = float(mark.get("x").rstrip("%")), float(mark.get("y"))
        slope_x, slope_y = x[-1][0] / x[-1][1], (y[-1][0] - y[0][0]) / (y[-1][1] - y[0][1])
        assert drawn_x == pytest.approx(slope_x * math.sqrt(max(0, scores["kl"]["mean"])), abs=0.02)
        assert drawn_y == pytest.approx(y[0][0] + slope_y * (scores["overall"]["pass_rate"] - y[0][1]), abs=0.05)
        upright, level = bars[name]
        assert float(upright.get("y2")) < drawn_y < float(upright.get("y1"))
        assert float(level.get("x1")[:-1]) <= drawn_x <= float(level.get("x2")[:-1])
        assert text_of(mark.find("text")) == name


def test_a_line_joins_the_strengths_of_a_method_and_no_others(section):
    (svg,) = [s for s in section.iter("svg") if s.get("role") == "img"]
    places = {text_of(m.find("text")): (m.get("x"), m.get("y")) for m in with_class(svg, "svg", "mark")}
    joined = {
        ((line.get("x1"), line.get("y1")), (line.get("x2"), line.get("y2"))) for line in with_class(svg, "line", "join")
    }
    methods = dict.fromkeys(name.partition(" ")[0] for name in RUNS)
    assert joined == {tuple(places[f"{method} {rate}"] for rate in ("1e-4", "4e-4")) for method in methods}


def test_methods_can_be_told_apart_without_colour(section):
    (legend,) = with_class(section, "ul", "legend")
    shapes = [next(iter(svg)).get("d") for svg in with_class(legend, "svg", "swatch")]
    assert len(shapes) == len(set(shapes)) == 8
    methods = dict.fromkeys(name.partition(" ")[0] for name in RUNS)
    assert [text_of(item) for item in legend] == ["sft", *methods]


def test_the_table_and_metrics_json_hold_the_figures(section, written, at):
    rows = {text_of(r.find("th")): r.findall("td") for r in section.iter("tr") if r.find("td") is not None}
    figures = json.loads((written / "metrics.json").read_text())["frontier"]
    assert list(rows) == list(figures) == ["sft", *RUNS]
    for name in RUNS:
        scores, cells = scores_of(at[name]), rows[name]
        assert float(cells[0].get("data-value")) == pytest.approx(scores["overall"]["pass_rate"], abs=1e-6)
        assert float(cells[2].get("data-value")) == pytest.approx(scores["kl"]["mean"], abs=1e-5)
        assert float(cells[3].get("data-value")) == pytest.approx(scores["kl_per_token"]["mean"], abs=1e-6)
        assert figures[name]["kl"] == {
            "estimate": scores["kl"]["mean"],
            "low": scores["kl"]["low"],
            "high": scores["kl"]["high"],
            "count": 180,
        }
        gain = scores["overall"]["pass_rate"] - scores_of(at["sft"])["overall"]["pass_rate"]
        assert figures[name]["gain"]["estimate"] == pytest.approx(gain)
    assert figures["sft"]["gain"] is None
    assert figures["dpo+sft 1e-4"] == {**figures["dpo+sft 1e-4"], "method": "dpo+sft", "strength": "1e-4"}


def test_what_is_on_the_frontier_is_said_and_bold(section, at):
    figures = {name: scores_of(at[name]) for name in RUNS}
    places = {name: (found["kl"]["mean"], found["overall"]["pass_rate"]) for name, found in figures.items()}
    ahead = {
        name
        for name, (kl, rate) in places.items()
        if not any(k <= kl and r >= rate and (k, r) != (kl, rate) for k, r in places.values())
    }
    assert 0 < len(ahead) < len(RUNS)
    bold = {text_of(row.find("th")) for row in with_class(section, "tr", "ahead")}
    assert bold - {"sft"} == ahead
    said = text_of(with_class(section, "ul", "found")[0])
    assert all(f"{name} (" in said for name in ahead)


def test_the_page_names_the_section_and_shows_the_kl_of_each_measured_model(root):
    assert [a.get("href") for a in root.iter("a") if text_of(a) == "Comparison"] == ["#frontier"]
    assert "KL from the reference model, nats per answer" in text_of(root)


def test_text_keeps_its_size_on_a_phone_and_stands_on_paper(section, root):
    (svg,) = [s for s in section.iter("svg") if s.get("role") == "img"]
    assert svg.get("viewBox") is None  # places are percentages, so that letters do not shrink with the drawing
    style = next(root.iter("style")).text
    assert ".label .method { display: none; }" in style[style.index("max-width: 600px") :]
    methods = with_class(svg, "tspan", "method")
    assert len(methods) == len(RUNS)
    assert not any(element.get("fill") or element.get("stroke") for element in svg.iter())


def test_without_a_start_on_the_page_there_are_no_gains(at):
    runs = read_compared({"dpo 1e-4": at["dpo 1e-4"]}, [read_evaluation("other", at["dpo 4e-4"])])
    assert [(run.name, run.gain, run.series) for run in runs] == [("dpo 1e-4", None, 1)]
    assert "gained" not in frontier_finding(runs)
    assert frontier_of(runs).lines == ()


def test_a_kl_below_zero_stands_at_zero(tmp_path, at):
    folder = write_measured(tmp_path / "evaluate-12", store_folder(tmp_path, "dpo", 4), at["sft"], 0.5, 1.0)
    scores = kl_scores([-1.0, -2.1], [-1.0, -2.0], [2, 2], ["a", "b"])
    rewrite(folder / "scores.json", scores)
    (mark,) = frontier_of(read_compared({"dpo": folder}, [])).marks
    assert (mark.run.kl.estimate, mark.x, mark.x_low) == (pytest.approx(-0.05), 0.0, 0.0)


def test_runs_measured_from_different_models_are_refused(tmp_path, at):
    other = write_measured(
        tmp_path / "evaluate-77", store_folder(tmp_path, "dpo", 4), store_folder(tmp_path, "sft", 9), 0.5, 1.0
    )
    with pytest.raises(StoreError, match="'ipo 1' has its KL from another model than 'dpo 1'"):
        read_compared({"dpo 1": at["dpo 1e-4"], "ipo 1": other}, [])


def test_runs_without_a_kl_are_refused(tmp_path, at):
    alone = write_run(tmp_path / "alone", "evaluate", inputs={"model": "x"})
    with pytest.raises(StoreError, match=r"'dpo' .* has no KL; expected a run of `burnish evaluate` with --reference"):
        read_compared({"dpo": alone}, [])
    old = write_measured(tmp_path / "old", store_folder(tmp_path, "dpo", 4), store_folder(tmp_path, "sft", 9), 0.5, 1.0)
    scores = scores_of(old)
    del scores["kl"]
    (old / "scores.json").write_text(json.dumps(scores))
    with pytest.raises(StoreError, match=r"has no 'kl'; .* Run its stage again"):
        read_compared({"dpo": old}, [])


def test_no_model_may_take_the_name_in_metrics_json(at):
    with pytest.raises(ConfigError, match="cannot be called 'frontier'"):
        ReportStage(runs={"frontier": str(at["sft"])}).plan()
    plan = ReportStage(runs={"sft": str(at["sft"])}, frontier={"dpo 1e-4": str(at["dpo 1e-4"])}).plan()
    assert "compared: dpo 1e-4" in plan.lines[0]
    assert plan.facts["stages"] == 4


def test_labels_of_neighbours_stand_apart():
    first, second = placed_labels([(50.0, 100.0), (52.0, 100.0)], ["dpo 1e-4", "ipo 1e-4"])
    assert (first.anchor, second.anchor) == ("end", "start")
    (last,) = placed_labels([(99.0, 100.0)], ["dpo 1e-4"])
    assert last.anchor == "end"  # to the right it would leave the drawing
    assert PAGE > 600
