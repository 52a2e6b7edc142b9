"""Fresh processes: their peak of memory, their errors, their limits, and runs that are killed and resumed."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import commands
from benchmarks.processes import ROOT, Place, Process, ProcessFailed, finished, launcher
from benchmarks.works import WORKS


def python(code):
    return [sys.executable, "-S", "-c", code]


PEAKS = """
import os, sys
from benchmarks.processes import finished
for code in ("pass", "held = b'1' * 200_000_000; del held"):
    print(finished([sys.executable, "-S", "-c", code], os.environ).peak_bytes)
"""


def test_the_peak_holds_what_the_process_held_at_most():
    """Measured from a small process, as `run` is one: a child's peak begins with what its parent held."""
    shown = subprocess.run([sys.executable, "-c", PEAKS], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    small, large = map(int, shown.split())
    assert small < 150e6
    assert 150e6 < large - small < 260e6


def test_what_starts_processes_is_small():
    code = "import sys, benchmarks.run, benchmarks.tune; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"


def test_an_error_shows_the_end_of_what_was_written():
    with pytest.raises(ProcessFailed, match="ended with 3:\nno such thing"):
        finished(python("import sys; sys.stderr.write('no such thing'); sys.exit(3)"), os.environ)


def test_a_process_that_takes_too_long_is_stopped():
    process = Process(python("import time; time.sleep(60)"), os.environ)
    with pytest.raises(ProcessFailed, match="stopped after 0 s"):
        process.wait(0.1)
    assert process.kill().code == -9


@pytest.fixture
def place(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "cases").mkdir()
    return Place(
        device="cpu",
        peer=Path(sys.executable),
        folder=tmp_path / "cases",
        scratch=tmp_path,
        settings={"environment": {"SPOON": "silver"}, "per_device_train_batch_size": 8, "padding_free": True},
    )


def test_the_peers_variables_are_the_peers_alone(place):
    assert place.environment("peer")["SPOON"] == "silver"
    assert "SPOON" not in place.environment("ours")
    assert place.environment("ours")["HF_DATASETS_CACHE"] != place.environment("ours")["HF_DATASETS_CACHE"]


def interpreter(path, code):
    """A file that can stand for the peer's interpreter: whatever it is told to run, it runs `code`."""
    path.write_text(f"#!{sys.executable} -S\n{code}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


ANSWERS = """
import json, os, pathlib, sys
asked = json.loads(pathlib.Path(sys.argv[3]).read_text())
found = {"words": sys.argv[1:3], "work": asked["work"], "rows": asked["updates"], "spoon": os.environ["SPOON"]}
(pathlib.Path(asked["out"]) / "result.json").write_text(json.dumps(found))
"""


def test_a_side_reads_its_request_and_leaves_its_result(place, tmp_path):
    place = replace(place, peer=interpreter(tmp_path / "python", ANSWERS))
    found = launcher(place, WORKS["sft"], updates=3)("peer", "measure")
    assert found["words"] == ["-m", "benchmarks.peer"]
    assert (found["work"], found["rows"], found["spoon"]) == ("sft", 3, "silver")
    assert found["peak_bytes"] > 1e6
    assert found["process_seconds"] > 0


def test_a_side_that_fails_is_told(place, tmp_path):
    place = replace(place, peer=interpreter(tmp_path / "python", "raise SystemExit('there is no TRL')"))
    with pytest.raises(ProcessFailed, match=r"-m benchmarks\.peer .* ended with 1:\nthere is no TRL"):
        launcher(place, WORKS["sft"], updates=1)("peer", "measure")


def test_both_commands_have_the_same_batch_steps_and_rows(place):
    work = replace(WORKS["resume"], batch=2)
    ours = commands.command(place, work, "ours", Path("out"))
    assert ours[ours.index("--train.batch_size") + 1] == "2"
    assert ours[ours.index("--steps") + 1] == str(work.updates)
    assert ours[ours.index("--train.checkpoint_every") + 1] == "2"
    told = commands.script_settings(place, work, 2)
    assert told["per_device_train_batch_size"] * told["gradient_accumulation_steps"] == 2
    assert (told["max_steps"], told["save_steps"], told["max_length"]) == (work.updates, 2, 512)
    assert not {"environment", "padding_free"} & set(told)
    assert commands.script_settings(place, WORKS["load"], 0)["save_strategy"] == "no"


TRAINING = """
import json, pathlib, sys, time
out, breaks = pathlib.Path(sys.argv[1]), sys.argv[2]
lines = out / "metrics.jsonl"
(out / "model").mkdir(parents=True, exist_ok=True)
kept = lines.read_text().splitlines()[:2] if lines.exists() else []
lines.write_text("".join(line + "\\n" for line in kept))
if breaks == "fails" and kept: sys.exit("no checkpoint")
for step in range(len(kept) + 1, 7):
    time.sleep(0.15)
    line = {"step": step, "seconds": time.time(), "peak_memory_bytes": 1000 + step}
    with lines.open("a") as file: file.write(json.dumps(line) + "\\n")
(out / "model" / "model.safetensors").write_text(breaks if kept else "whole")
"""
"""A run of six updates with a checkpoint at the second, which goes on from there; its model says how it was made."""


@pytest.fixture
def run_with(monkeypatch):
    def run_with(breaks):
        monkeypatch.setattr(commands, "command", lambda place, work, side, out: [*python(TRAINING), str(out), breaks])

    return run_with


@pytest.mark.parametrize(("breaks", "same"), [("whole", True), ("other", False)])
def test_a_killed_run_is_resumed_and_its_bytes_compared(place, run_with, breaks, same):
    run_with(breaks)
    found = commands.resumed(place, WORKS["resume"], "ours")
    assert found["same_bytes"] is same
    assert 0.1 < found["seconds"] < 30  # a stale line of the killed run would be seen at once
    assert found["peak_bytes"] > 1e6


def test_a_resumed_run_that_fails_is_told(place, run_with):
    run_with("fails")
    with pytest.raises(ProcessFailed, match="no checkpoint"):
        commands.resumed(place, WORKS["resume"], "ours")


def test_the_start_of_a_run_is_timed_to_its_first_update(place, run_with, monkeypatch):
    run_with("whole")
    monkeypatch.setattr(commands, "IMPORTS", {"ours": "import json", "peer": "import json"})
    found = commands.loaded(place, WORKS["load"], "ours")
    assert found["seconds"] > 0.1
    assert found["import_seconds"] > 0
    assert found["training_seconds"] > 5


def test_on_a_gpu_memory_is_what_the_last_update_says(place, run_with, monkeypatch):
    run_with("whole")
    monkeypatch.setattr(commands, "IMPORTS", {"ours": "import json", "peer": "import json"})
    there = replace(place, device="cuda")
    assert commands.loaded(there, WORKS["load"], "ours")["peak_bytes"] == 1006
    assert commands.resumed(there, WORKS["resume"], "ours")["peak_bytes"] == 1006


def test_a_line_that_is_being_written_is_not_read(tmp_path):
    (tmp_path / "lines").write_text('{"step": 1}\n{"st', encoding="utf-8")
    assert commands._lines(tmp_path / "lines") == ['{"step": 1}']
