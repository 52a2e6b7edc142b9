"""metrics.jsonl: a line per update, never one twice."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

import pytest

from burnish.errors import MissingExtra, StoreError
from burnish.training.record import CLOCKS, Record, peak_memory_bytes, tracker_named


class Listener:
    """A tracker that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, dict[str, float]]] = []
        self.closed = 0

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self.heard.append((step, dict(metrics)))

    def close(self) -> None:
        self.closed += 1


def test_a_line_per_update_is_there_at_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with Record(path) as record:
        for step in (1, 2):
            line = record.write(step, {"loss": 0.5 * step, "tokens": 7.0})
            rows = [json.loads(row) for row in path.read_text().splitlines()]
            assert len(rows) == step, "a line must be on disk before the next update begins"
            assert record.num_bytes == path.stat().st_size
            assert rows[-1] == dict(line)
    assert rows[0]["step"] == 1
    assert rows[0]["loss"] == 0.5
    assert rows[0]["peak_memory_bytes"] > 10**6


def test_what_does_not_belong_to_the_checkpoint_is_cut_off(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with Record(path) as record:
        record.write(1, {"loss": 1.0})
        keep = record.num_bytes
        record.write(2, {"loss": 2.0})
    with Record(path, keep_bytes=keep) as record:
        record.write(2, {"loss": 3.0})
    assert [json.loads(row)["loss"] for row in path.read_text().splitlines()] == [1.0, 3.0]


def test_a_fresh_run_begins_an_empty_file(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 9}\n')
    with Record(path) as record:
        record.write(1, {})
    assert [json.loads(row)["step"] for row in path.read_text().splitlines()] == [1]


def test_a_file_that_has_lost_lines_is_an_error(tmp_path):
    """It must not be filled up with zeros."""
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n')
    with pytest.raises(StoreError, match=r"metrics.jsonl has 12 bytes, but the checkpoint counts on 40.*--overwrite"):
        Record(path, keep_bytes=40)
    assert path.read_text() == '{"step": 1}\n'


def test_numbers_that_json_cannot_say_are_null(tmp_path):
    path, listener = tmp_path / "metrics.jsonl", Listener()
    with Record(path, trackers=[listener]) as record:
        record.write(1, {"odd": float("nan"), "large": float("inf"), "loss": 1.0})
    row = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert row["odd"] is None
    assert row["large"] is None
    assert listener.heard[0][1].keys() == {"step", "loss", "peak_memory_bytes"}


def test_trackers_hear_the_same_and_are_closed(tmp_path):
    listeners = [Listener(), Listener()]
    with pytest.raises(KeyError), Record(tmp_path / "m.jsonl", trackers=listeners) as record:  # noqa: PT012
        record.write(3, {"loss": 1.5})
        raise KeyError
    for listener in listeners:
        assert listener.heard[0][0] == 3
        assert listener.heard[0][1]["loss"] == 1.5
        assert listener.closed == 1


@pytest.mark.parametrize(
    ("name", "package"), [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb"), ("trackio", "trackio")]
)
def test_a_tracker_that_is_not_installed_names_its_install_command(tmp_path, monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'burnish\[{name}\]'"):
        tracker_named(name, folder=tmp_path, run="run")


def test_tensorboard_gets_the_numbers(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra 'tensorboard' is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = tracker_named("tensorboard", folder=tmp_path, run="run")
    for step in (1, 2):
        tracker.log({"loss": 0.5 * step}, step)
    tracker.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 0.5), (2, 1.0)]


def test_peak_memory_is_in_bytes():
    """This process holds torch, so more than 100 MB and less than 100 GB."""
    assert 10**8 < peak_memory_bytes() < 10**11


def test_clocks_are_the_names_that_two_equal_runs_do_not_share():
    assert set(CLOCKS) == {"seconds", "tokens_per_second", "peak_memory_bytes"}
