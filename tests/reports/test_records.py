"""Reading run folders: what is missing or damaged is named with its file."""

from __future__ import annotations

import json

import pytest

from burnish.errors import StoreError
from burnish.reports.invented import rewrite, write_run, write_training
from burnish.reports.records import Input, figures_of, interval_of, read_run, read_steps
from burnish.stats import Interval


@pytest.fixture
def folder(tmp_path):
    return write_training(tmp_path / "sft", "sft", inputs={"model": "some/model"}, steps=8)


def test_a_run_is_read_as_it_was_written(folder):
    run = read_run(folder)
    assert (run.verb, run.finished, run.seconds, run.peak_memory_bytes) == ("sft", True, 104.0, 2_400_000_000)
    assert run.inputs == (Input(field="model", path="some/model", key=f"sha256:{'5e' * 32}"),)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [dict(row) for row in run.steps] == rows
    assert run.num_tokens == sum(row["tokens"] for row in rows)


def test_a_run_without_metrics_does_not_train(tmp_path):
    run = read_run(write_run(tmp_path / "grade", "grade"))
    assert (run.steps, run.num_tokens) == ((), None)


def test_several_inputs_under_one_setting_are_opened(folder):
    item = {"path": "a", "key": "k"}
    rewrite(folder / "run.json", {"inputs": {"runs": {"x": item}, "data": [item, item], "model": None}})
    assert [i.field for i in read_run(folder).inputs] == ["runs.x", "data[0]", "data[1]"]


def test_numbers_that_are_not_finite_are_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": NaN, "margin": null, "name": "x", "loud": true, "accuracy": 0.5}\n')
    assert read_steps(path) == ({"step": 1.0, "accuracy": 0.5},)


def test_a_folder_without_a_record_is_no_run(tmp_path):
    with pytest.raises(StoreError, match=r"is not a run folder: there is no .*run\.json"):
        read_run(tmp_path / "nothing")


@pytest.mark.parametrize("text", ["{", "[1]", "\x00"])
def test_a_damaged_record_is_named(folder, text):
    (folder / "run.json").write_text(text)
    with pytest.raises(StoreError, match=r"run\.json"):
        read_run(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"verb": None}, r"run\.json: 'verb' is None; expected a string"),
        ({"seconds": "long"}, r"run\.json: 'seconds' is 'long'; expected a number"),
        ({"settings": [1]}, r"run\.json: 'settings' is \[1\]; expected an object"),
        ({"inputs": {"model": 3}}, r"run\.json: 'inputs\.model' is 3; expected an object with path and key"),
    ],
)
def test_a_wrong_field_is_named(folder, changes, message):
    rewrite(folder / "run.json", changes)
    with pytest.raises(StoreError, match=message):
        read_run(folder)


@pytest.mark.parametrize("line", ['{"step": 9, "lo', "[]", '{"loss": 1.0}', '{"step": "nine"}'])
def test_a_damaged_line_of_metrics_is_named(folder, line):
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(line)
    with pytest.raises(StoreError, match=r"metrics\.jsonl, line 9: found"):
        read_run(folder)


def test_only_the_last_line_of_an_unfinished_run_may_be_cut(folder):
    rewrite(folder / "run.json", {"state": "running"})
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "lo')
    run = read_run(folder)
    assert not run.finished
    assert len(run.steps) == 8
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('\n{"step": 10}\n')
    with pytest.raises(StoreError, match="line 9"):
        read_run(folder)


def test_metrics_that_are_not_text_are_named(folder):
    (folder / "metrics.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(StoreError, match=r"metrics\.jsonl cannot be read as UTF-8"):
        read_run(folder)


def test_a_row_of_figures_is_an_interval():
    row = {"mean": 1, "estimate": 3, "low": "0.5", "high": 2.0, "count": 4.0}
    assert interval_of(row, "mean") == Interval(estimate=1.0, low=0.5, high=2.0, count=4)
    assert interval_of(row).estimate == 3.0


@pytest.mark.parametrize(
    ("row", "what"),
    [({"low": 0}, "KeyError: 'estimate'"), ({"estimate": None}, "TypeError"), ({"estimate": "x"}, "ValueError")],
)
def test_a_figure_that_is_missing_or_no_number_names_its_file(tmp_path, row, what):
    message = rf"scores\.json lacks a figure of a test \({what}.*Run its stage again"
    with pytest.raises(StoreError, match=message), figures_of("a test", tmp_path / "scores.json"):
        interval_of(row)


def test_a_file_that_cannot_be_opened_is_named_too(tmp_path):
    path = tmp_path / "none.jsonl"
    message = r"none\.jsonl lacks a figure of a test \(FileNotFoundError"
    with pytest.raises(StoreError, match=message), figures_of("a test", path):
        path.read_text()
