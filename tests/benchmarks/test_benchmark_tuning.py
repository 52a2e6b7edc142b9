"""The peer's tuning: what is faster is kept, every trial is recorded, and the global batch never changes."""

from __future__ import annotations

import json

import pytest

from benchmarks import tune
from benchmarks.grids import grid, start
from benchmarks.processes import ProcessFailed
from benchmarks.records import start_settings, tuned_settings
from benchmarks.works import VERBS, WORKS

START = {"rows": 8, "free": False}


def trials(rates):
    """A trial whose rate is looked up; a limit that is too small fails it, as a process that is stopped does."""
    limits = []

    def trial(settings, limit_s):
        limits.append(limit_s)
        rate = rates[settings["rows"], settings["free"]]
        if rate is None or (limit_s is not None and 10 / rate > limit_s):
            raise ProcessFailed("it was stopped")
        return {"rows": 10, "seconds": 10 / rate, "process_seconds": 10 / rate, "peak_bytes": 5}

    return trial, limits


def test_each_choice_is_tried_on_top_of_the_best_so_far():
    rates = {(8, False): 1.0, (4, False): 2.0, (2, False): 1.5, (4, True): 3.0}
    choices = [("4", {"rows": 4}), ("2", {"rows": 2}), ("free", {"free": True})]
    trial, limits = trials(rates)
    best, made = tune.tuned(START, choices, trial)
    assert best == {"rows": 4, "free": True}
    assert [entry["rows_per_second"] for entry in made] == [1.0, 2.0, 1.5, 3.0]
    assert limits == [None, 20.0, 10.0, 10.0]
    assert START == {"rows": 8, "free": False}


def test_a_trial_that_fails_is_recorded_and_changes_nothing():
    best, made = tune.tuned(START, [("4", {"rows": 4})], trials({(8, False): 1.0, (4, False): None})[0])
    assert best == START
    assert made[1] == {"choice": "4", "settings": {"rows": 4, "free": False}, "error": "it was stopped"}


def test_a_start_that_fails_ends_the_tuning():
    with pytest.raises(ProcessFailed):
        tune.tuned(START, [], trials({(8, False): None})[0])


def test_the_record_holds_what_run_takes(tmp_path, monkeypatch, capsys):
    seen = []

    def launch_for(place, work, updates, limit_s):
        seen.append(dict(place.settings))
        found = {"rows": 8, "seconds": 8 - len(seen) * 0.1, "process_seconds": 9.0, "peak_bytes": 5}
        return lambda side, mode: found | {"versions": {"trl": "1.16.0"}}

    monkeypatch.setattr(tune, "launch_for", launch_for)
    monkeypatch.setattr(tune, "scratch_parent", lambda: tmp_path)
    (tmp_path / "python").touch()
    words = ["sft", "--records", str(tmp_path), "--peer", str(tmp_path / "python"), "--cases", str(tmp_path)]
    assert tune.main(words) == 0
    assert seen[0] == start_settings("sft", "cpu")
    assert len(seen) == 1 + len(grid("sft", "cpu"))
    assert json.loads(capsys.readouterr().out)["best"] == seen[-1]
    for work in ("sft", "load", "resume"):
        assert tuned_settings(work, "cpu", tmp_path) == seen[-1]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize(
    "work", [work for work in WORKS.values() if work.kind != "command"], ids=lambda work: work.name
)
def test_the_grid_changes_settings_that_there_are_and_keeps_the_global_batch(work, device):
    trainer = {"padding_free", "precompute_ref_log_probs", "precompute_ref_batch_size", "cache_implementation"}
    known = {*start(work.name, device), *trainer, "use_liger_kernel", "torch_compile"}
    for name, change in grid(work.name, device):
        assert name
        assert set(change) <= known
        assert any(start(work.name, device).get(key) != value for key, value in change.items()), name
        if "per_device_train_batch_size" in change:
            assert work.batch % change["per_device_train_batch_size"] == 0
        if "rows_at_a_time" in change:
            assert work.rows * work.batch % change["rows_at_a_time"] == 0


def test_everything_that_can_be_typed_is_a_work():
    assert sorted(name for names in VERBS.values() for name in names) == sorted(WORKS)
