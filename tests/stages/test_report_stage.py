"""The stage: its settings as words, mappings and references, its plan, its two files, and its refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from burnish.config import dump, load, sources
from burnish.errors import ConfigError, StoreError
from burnish.reports.invented import PASS_RATES, key_of, write_evaluation, write_recipe, write_training
from burnish.reports.lineage import lineage
from burnish.stages.report import ReportStage
from burnish.stages.run import run_stage
from burnish.stages.stage import Work


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    return write_recipe(tmp_path_factory.mktemp("recipe") / "store")


def written(out: Path, stage: ReportStage) -> dict:
    out.mkdir()
    stage.run(Work(out=out, say=lambda _: None, record=lambda _: None))
    assert (out / "report.html").stat().st_size > 10_000
    return json.loads((out / "metrics.json").read_text())


@pytest.mark.parametrize(
    ("value", "runs"),
    [
        ({"a": "x/1", "b": "x/2"}, {"a": "x/1", "b": "x/2"}),
        (["a=x/1", "b=x/2"], {"a": "x/1", "b": "x/2"}),
        (["x/1", "x/2"], {"1": "x/1", "2": "x/2"}),
        ("runs/sft", {"sft": "runs/sft"}),
    ],
)
def test_runs_are_given_as_a_mapping_or_as_words(value, runs):
    stage = load(ReportStage, {"runs": value})
    assert stage.runs == runs
    assert sources(stage) == {f"runs.{name}": folder for name, folder in runs.items()}
    assert load(ReportStage, dump(stage)) == stage


@pytest.mark.parametrize("value", [["a=x", "a=y"], ["=x"], ["a="], 3, None])
def test_runs_that_cannot_be_told_apart_are_refused(value):
    with pytest.raises(ConfigError, match="runs"):
        load(ReportStage, {"runs": value})


def test_a_recipe_gives_rates_gains_and_the_time_of_every_stage(at, tmp_path):
    runs = {name: str(at[f"{name}_scores"]) for name in PASS_RATES}
    metrics = written(tmp_path / "out", ReportStage(runs=runs))
    assert set(metrics["seconds"]) == set(at)
    assert metrics["seconds"]["sft"] == 104.0
    assert metrics["peak_memory_bytes"] == 2_400_000_000
    assert set(metrics["dpo"]["overall"]) == {"pass_rate", "low", "high", "count"}
    assert metrics["gains"]["sft-start"]["low"] > 0.3


def test_order_of_the_models_is_that_of_the_settings(at, tmp_path):
    runs = {name: str(at[f"{name}_scores"]) for name in ("dpo", "start")}
    assert list(written(tmp_path / "out", ReportStage(runs=runs))["gains"]) == ["start-dpo"]


def test_a_single_run_gives_its_cost(tmp_path):
    folder = write_training(tmp_path / "mine", "dpo", inputs={"model": "some/model"}, steps=9)
    metrics = written(tmp_path / "out", ReportStage(runs=str(folder)))
    assert metrics == {"seconds": {"mine": 141.0}, "peak_memory_bytes": 2_400_000_000}


def test_no_samples_are_shown_when_none_are_wanted(at, tmp_path):
    written(tmp_path / "out", ReportStage(runs=f"dpo={at['dpo_scores']}", samples_per_kind=0, title="Only <one>"))
    html = (tmp_path / "out" / "report.html").read_text()
    assert "Sample answers" not in html
    assert "Only &lt;one&gt;" in html


def test_the_page_is_the_same_every_time(at, tmp_path):
    stage = ReportStage(runs={"start": str(at["start_scores"])})
    written(tmp_path / "a", stage)
    written(tmp_path / "b", stage)
    assert (tmp_path / "a" / "report.html").read_bytes() == (tmp_path / "b" / "report.html").read_bytes()


def test_the_plan_reads_everything_before_any_work(at, tmp_path):
    plan = ReportStage(runs={"start": str(at["start_scores"]), "sft": str(at["sft_scores"])}).plan()
    assert plan.facts == {"stages": 6, "measured": ["start", "sft"]}
    with pytest.raises(StoreError, match="is not a run folder"):
        ReportStage(runs=str(tmp_path / "nothing")).plan()
    broken = write_evaluation(tmp_path / "broken", "sft", inputs={})
    (broken / "scores.json").unlink()
    with pytest.raises(StoreError, match=r"scores\.json"):
        ReportStage(runs=str(broken)).plan()


@pytest.mark.parametrize("runs", [{}, {"gains": "x"}, {"seconds": "x"}])
def test_names_that_metrics_json_needs_are_refused(runs):
    with pytest.raises(ConfigError, match="report:"):
        ReportStage(runs=runs).plan()


def test_its_code_is_that_of_the_page():
    files = {cls.__module__ for cls in ReportStage(runs="x").code()}
    assert {"burnish.reports.page", "burnish.reports.evaluations", "burnish.reports.curves"} <= files


def test_the_runner_makes_it_and_its_key_follows_what_it_reports_on(at, tmp_path):
    stage = ReportStage(runs={name: str(at[f"{name}_scores"]) for name in ("start", "sft")})
    run_stage(stage, tmp_path / "out", say=lambda _: None)
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["state"] == "finished"
    assert record["inputs"]["runs.sft"]["key"] == f"artefact:{key_of(at['sft_scores'])}"
    (again,) = [node for node in lineage([tmp_path / "out"]) if node.name == "report"]
    assert len(again.parents) == 2  # a report on a report shows what it was about
