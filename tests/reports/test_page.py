"""The page: well-formed, self-contained, accessible, and its figures and tables show the numbers of the inputs."""

from __future__ import annotations

import json
import re

import pytest

from burnish.example import read_jsonl
from burnish.reports.invented import write_run, write_training
from burnish.reports.lineage import lineage
from burnish.reports.page import flat, render


def text_of(element) -> str:
    return " ".join("".join(element.itertext()).split())


def with_class(root, tag, name):
    return [element for element in root.iter(tag) if name in element.get("class", "").split()]


def by_id(root, name):
    (found,) = [element for element in root.iter() if element.get("id") == name]
    return found


def figure(root, title, name):
    return next(s for s in with_class(root, "svg", name) if text_of(s.find("title")).startswith(title))


def places(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.e+-]+),([\d.e+-]+)", path)]


def axis(svg, kind):
    """The function from a place on an axis to a value, read off its first and last tick."""
    ticks = [t for t in with_class(svg, "text", "tick") if kind in t.get("class").split()]
    numbers = [float(text_of(t).replace("−", "-").replace(",", "").rstrip("%")) for t in ticks]
    where = [float(t.get(kind).rstrip("%")) - (3.8 if kind == "y" else 0) for t in ticks]
    slope = (numbers[-1] - numbers[0]) / (where[-1] - where[0])
    return lambda place: numbers[0] + (place - where[0]) * slope


def test_everything_is_closed_and_nothing_is_fetched(html, page):
    assert html.startswith("<!DOCTYPE html>")
    for element in page.iter():
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            assert element.get(name, "#").startswith("#"), (element.tag, name, element.get(name))
        assert not {"link", "img", "iframe", "object"} & {element.tag}
    assert not re.search(r"url\(|@import|https?://|fetch\(|XMLHttpRequest|import\(", html)
    ids = [element.get("id") for element in page.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert {a.get("href")[1:] for a in page.iter("a")} <= set(ids)


def test_light_dark_phone_and_paper_are_provided_for(html):
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert 'name="viewport"' in html
    assert re.search(r"@media \(max-width: \d+px\)", html)


def test_colours_of_the_drawings_follow_the_scheme(html, page):
    style = next(page.iter("style")).text
    rules = re.sub(r":root \{[^}]*\}", "", style)
    fills = re.findall(r"(?:fill|stroke): ([^;}]+)", rules)
    assert fills
    assert all(value.strip().startswith("var(--") or value.strip() in ("none", "transparent") for value in fills)
    light, dark = (set(re.findall(r"(--s\d):", part)) for part in re.findall(r":root \{([^}]*)\}", style))
    assert light == dark == {f"--s{i}" for i in range(6)}
    for svg in page.iter("svg"):
        assert not any(element.get("fill") or element.get("stroke") for element in svg.iter())


def test_every_figure_has_a_title_and_a_description(page):
    figures = [svg for svg in page.iter("svg") if svg.get("role") == "img"]
    assert len(figures) >= 15
    for svg in figures:
        title, description = (text_of(by_id(page, name)) for name in svg.get("aria-labelledby").split())
        assert title
        assert len(description) > 30
    assert not [f for f in page.iter("figure") if not [s for s in f.iter("svg") if s.get("role") == "img"]]
    decorative = [s for s in page.iter("svg") if s.get("role") != "img" and s.get("aria-hidden") != "true"]
    assert {id(s) for s in decorative} <= {id(inner) for svg in figures for inner in svg.iter("svg")}


@pytest.mark.parametrize(
    ("stage", "title", "metric", "factor"),
    [
        ("sft", "Loss", "loss", 1),
        ("sft", "Loss", "held_out_loss", 1),
        ("dpo", "Reward margin", "margin", 1),
        ("dpo", "Accuracy", "accuracy", 100),
        ("dpo", "Log-probability", "logp_rejected", 1),
        ("dpo", "Length", "length_chosen", 1),
        ("dpo", "Peak memory", "peak_memory_bytes", 1e-9),
    ],
)
def test_a_curve_goes_through_the_logged_values(page, recipe, stage, title, metric, factor):
    rows = [json.loads(line) for line in (recipe[stage] / "metrics.jsonl").read_text().splitlines()]
    expected = [(row["step"], row[metric] * factor) for row in rows if metric in row]
    number = {"sft": "t1-", "dpo": "t2-"}[stage]
    charts = [s for s in with_class(page, "svg", "curves") if s.get("aria-labelledby").startswith(number)]
    svg = next(s for s in charts if text_of(s.find("title")).startswith(title))
    (line,) = [p for p in svg.iter("path") if p.get("data-metric") == metric]
    x, y = axis(svg, "x"), axis(svg, "y")
    drawn = [(x(px), y(py)) for px, py in places(line.get("d"))]
    height = abs(y(0) - y(100)) / 100
    assert [s for s, _ in drawn] == pytest.approx([s for s, _ in expected], abs=0.05)
    assert [v for _, v in drawn] == pytest.approx([v for _, v in expected], abs=0.05 * height)
    assert [float(s) for s in line.get("data-steps").split()] == [s for s, _ in expected]


def test_marks_and_tables_agree_with_the_answers(page, recipe):
    for model in ("start", "sft", "dpo"):
        for split, part in (("test", "test"), ("held_out_kinds", "held-out-kinds")):
            examples = [
                e for e in read_jsonl(recipe[f"{model}_scores"] / "examples.jsonl") if e.columns["split"] == split
            ]
            for kind in {e.columns["kind"] for e in examples}:
                scores = [c.score for e in examples if e.columns["kind"] == kind for c in e.completions]
                label = kind.replace("_", " ")
                svg = next(s for s in with_class(page, "svg", "dots") if s.get("aria-labelledby").startswith(part))
                mark = next(g for g in svg.iter("g") if (g.get("data-row"), g.get("data-label")) == (label, model))
                at = axis(svg, "x")(float(mark.find("svg").get("x").rstrip("%")))
                assert at == pytest.approx(100 * sum(scores) / len(scores), abs=0.01)
                bar = with_class(mark, "line", "reach")[0]
                assert float(bar.get("x1")[:-1]) <= at <= float(bar.get("x2")[:-1])
                row = next(r for r in page.iter("tr") if r.find("th") is not None and text_of(r.find("th")) == label)
                cell = row.findall("td")[1 + ["start", "sft", "dpo"].index(model)]
                assert float(cell.get("data-value")) == pytest.approx(sum(scores) / len(scores), abs=1e-6)


def test_gains_stand_where_metrics_json_says(page, recipe):
    metrics = json.loads((recipe["report"] / "metrics.json").read_text())
    svg = figure(page, "Gains", "dots")
    marks = list(with_class(svg, "g", "mark"))
    wanted = [*metrics["gains"].items(), *metrics["held_out_gains"].items()]
    assert [m.get("data-label").replace(" − ", "-") for m in marks] == [name for name, _ in wanted]
    to_points = axis(svg, "x")
    for mark, (_, gain) in zip(marks, wanted, strict=True):
        bar = with_class(mark, "line", "reach")[0]
        drawn = [float(v.rstrip("%")) for v in (mark.find("svg").get("x"), bar.get("x1"), bar.get("x2"))]
        expected = [100 * gain[name] for name in ("estimate", "low", "high")]
        assert [to_points(v) for v in drawn] == pytest.approx(expected, abs=0.01)


def test_models_differ_by_shape_as_well_as_colour(page):
    svg = figure(page, "Answers that pass", "dots")
    shapes = [next(iter(mark.find("svg"))).get("d") for mark in with_class(svg, "g", "mark")]
    assert len(shapes) == len(set(shapes)) == 3


def test_sample_answers_are_shown_with_their_marks(page, recipe):
    samples = with_class(page, "details", "sample")
    assert len(samples) == 10
    for sample in samples:
        prompt = text_of(with_class(sample, "span", "ask")[0])
        for article, model in zip(sample.iter("article"), ("start", "sft", "dpo"), strict=True):
            examples = read_jsonl(recipe[f"{model}_scores"] / "examples.jsonl")
            example = next(e for e in examples if e.prompt[0].content == prompt)
            assert text_of(with_class(article, "p", "answer")[0]) == example.completions[0].text
            assert ("passes" in text_of(article.find("h4"))) == (example.completions[0].score == 1)
            assert all(reason in text_of(article) for reason in example.completions[0].reasons)


def test_text_from_outside_is_shown_and_never_run(html, page):
    assert "<b>& other markup</b>" in text_of(page)
    assert not list(page.iter("b"))
    assert "<h1>A &amp; B</h1>" in html


def test_costs_are_those_of_the_records(page, recipe):
    rows = {
        text_of(r.find("th")): r for r in with_class(page, "table", "cost")[0].iter("tr") if r.find("th") is not None
    }
    for name in ("prompts", "sft", "dpo", "dpo_scores"):
        record = json.loads((recipe[name] / "run.json").read_text())
        assert float(rows[name].find("td").get("data-value")) == record["seconds"]
    tokens = sum(json.loads(line)["tokens"] for line in (recipe["sft"] / "metrics.jsonl").read_text().splitlines())
    assert f"{tokens:,.0f}" in text_of(rows["sft"])


def test_settings_keys_and_versions_are_listed(page, recipe):
    lineage_section = by_id(page, "lineage")
    shown = text_of(lineage_section)
    assert "train.learning_rate0.0002" in shown
    assert "torch 2.13.0" in shown
    assert json.loads((recipe["dpo"] / "run.json").read_text())["key"] in shown


def test_a_single_run_makes_a_page_without_scores(tmp_path, parse):
    folder = write_training(tmp_path / "out", "sft", inputs={"model": "some/model", "data": "rows.jsonl"})
    root = parse(render(lineage([folder]), [], title="One run", samples_per_kind=1))
    assert [text_of(h) for h in root.iter("h2")] == ["Learning curves", "What it cost", "What ran"]
    assert "No model was measured" in text_of(root)
    names = [text_of(t) for t in with_class(root, "text", "name")]
    assert names == ["model", "rows.jsonl", "sft"]


def test_an_unfinished_run_is_called_that(tmp_path, parse):
    folder = write_training(tmp_path / "out", "dpo", inputs={"data": "rows.jsonl"}, steps=12)
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "state": "running"}))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 13, "lo')
    shown = text_of(parse(render(lineage([folder]), [], title="One run", samples_per_kind=1)))
    assert "not finished: the last line of metrics is step 12" in shown


def test_a_run_that_trains_nothing_has_a_page_too(tmp_path, parse):
    folder = write_run(tmp_path / "out", "prompts", facts={"seconds": None, "peak_memory_bytes": None})
    shown = text_of(parse(render(lineage([folder]), [], title="Prompts", samples_per_kind=1)))
    assert "1 stage ran" in shown
    assert "Learning curves" not in shown


def test_nested_settings_become_dotted_names():
    assert flat({"a": {"b": 1e-4, "c": {}}, "d": "x"}) == [("a.b", "0.0001"), ("a.c", "{}"), ("d", "x")]
