"""One stage into a folder: first and last record, resume, refusals, kill, two at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from burnish.errors import Busy, Changed, ConfigError, DataError, Finished, StoreError
from burnish.stages.run import make_artefact, run_stage, stage_identity, start_of
from burnish.store import Identity, locked, read_record
from tests.stages.counting import CountStage, Even, Growing, Pace

STAGE = f"{Path(__file__).with_name('counting.py')}:CountStage"


def numbers(out: Path) -> list[str]:
    return (out / "numbers.txt").read_text().split()


def record_of(out: Path) -> dict[str, Any]:
    record = read_record(out)
    assert record is not None
    return record


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "burnish", STAGE, *words]


def quietly(line: str) -> None:
    """Say nothing."""


def cut_short(out: Path, *, at: int = 3, **values: Any) -> None:
    """Leave an unfinished run, as a killed process does."""
    with pytest.raises(DataError):
        run_stage(CountStage(fail_at=at, **values), out, say=quietly)
    record = record_of(out)
    record["settings"]["fail_at"] = 0
    del record["error"]
    (out / "run.json").write_text(json.dumps(record))


def test_a_run_leaves_a_record_of_what_it_was(tmp_path: Path):
    data = tmp_path / "data.txt"
    data.write_text("12345")
    stage = CountStage(data=str(data), steps=2)
    said: list[str] = []
    assert run_stage(stage, tmp_path / "out", say=said.append) == tmp_path / "out"
    assert numbers(tmp_path / "out") == ["6", "7"]
    record = record_of(tmp_path / "out")
    assert record["state"] == "finished"
    assert record["settings"]["pace"] == {"pause": {"kind": "even", "seconds": 0.0}, "every": 1}
    assert record["inputs"]["data"]["path"] == str(data)
    assert record["inputs"]["data"]["key"].startswith("sha256:")
    assert set(record["versions"]) == {"burnish", "torch", "transformers"}
    assert record["numerics"]["threads"] >= 1
    assert record["numerics"]["dtype"] == "int"
    assert record["found"] == 0
    assert record["seconds"] >= 0
    assert record["peak_memory_bytes"] > 1_000_000
    assert Identity.read(record).key == record["key"] == stage_identity(stage).key
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_record_is_there_before_the_work(tmp_path: Path):
    out = tmp_path / "out"
    states: list[str] = []
    run_stage(CountStage(loud=True, steps=1), out, say=lambda line: states.append(record_of(out)["state"]))
    assert states == ["running"]


def test_an_error_is_recorded_and_the_run_goes_on_after_a_fix(tmp_path: Path):
    out = tmp_path / "out"
    stage = CountStage(fail_at=3, steps=4)
    with pytest.raises(DataError):
        run_stage(stage, out, say=quietly)
    record = record_of(out)
    assert (record["state"], record["error"]) == ("running", "DataError: step 3 fails")
    with pytest.raises(Changed, match="fail_at was 3, is 0; type --fail_at 3 to go on"):
        run_stage(CountStage(steps=4), out, say=quietly)


def test_an_unfinished_run_goes_on_and_ends_as_if_never_stopped(tmp_path: Path):
    cut_short(tmp_path / "cut", steps=5)
    said: list[str] = []
    run_stage(CountStage(steps=5), tmp_path / "cut", say=said.append)
    run_stage(CountStage(steps=5), tmp_path / "whole", say=quietly)
    assert numbers(tmp_path / "cut") == numbers(tmp_path / "whole")
    record = record_of(tmp_path / "cut")
    assert record["found"] == 2
    assert len(record["attempts"]) == 2
    assert record["key"] == record_of(tmp_path / "whole")["key"]
    assert "error" not in record
    assert said == [f"goes on with the unfinished run in {tmp_path / 'cut'}"]


def test_every_difference_is_named_with_what_to_type(tmp_path: Path):
    data = tmp_path / "data.txt"
    data.write_text("12345")
    cut_short(tmp_path / "out", data=str(data), steps=5)
    before = (tmp_path / "out" / "numbers.txt").read_text()
    data.write_text("123456")
    changed = CountStage(data=str(data), steps=4, seed=1, pace=Pace(pause=Growing(factor=3.0)))
    with pytest.raises(Changed) as caught:
        run_stage(changed, tmp_path / "out", say=quietly)
    message = str(caught.value)
    assert "steps was 5, is 4 (it may be raised, not lowered); type --steps 5 to go on" in message
    assert "seed was 0, is 1; type --seed 0 to go on" in message
    assert "pace.pause.kind was even, is growing" in message
    assert "pace.pause.factor was None, is 3.0" in message
    assert f"the content of data ({data}) has changed; put the old content back to go on" in message
    assert "--overwrite" in message
    assert (tmp_path / "out" / "numbers.txt").read_text() == before


def test_a_moved_input_is_no_change_and_another_one_is_named(tmp_path: Path):
    one, two, three = (tmp_path / name for name in ("one.txt", "two.txt", "three.txt"))
    one.write_text("same")
    two.write_text("same")
    three.write_text("other")
    cut_short(tmp_path / "out", data=str(one), steps=4)
    with pytest.raises(Changed, match=rf"data was {one}, is {three}, with other content"):
        run_stage(CountStage(data=str(three), steps=4), tmp_path / "out", say=quietly)
    run_stage(CountStage(data=str(two), steps=4), tmp_path / "out", say=quietly)
    assert numbers(tmp_path / "out") == ["5", "6", "7", "8"]


def test_a_try_that_made_nothing_holds_nobody_to_its_settings(tmp_path: Path):
    with pytest.raises(DataError):
        run_stage(CountStage(fail_at=1), tmp_path / "out", say=quietly)
    run_stage(CountStage(seed=7), tmp_path / "out", say=quietly)
    assert numbers(tmp_path / "out") == ["8", "9", "10"]
    assert record_of(tmp_path / "out")["grown"] == []


def test_steps_may_be_raised_on_an_unfinished_run(tmp_path: Path):
    cut_short(tmp_path / "out", steps=4)
    said: list[str] = []
    run_stage(CountStage(steps=6), tmp_path / "out", say=said.append)
    assert numbers(tmp_path / "out") == ["1", "2", "3", "4", "5", "6"]
    assert said == [f"goes on with the unfinished run in {tmp_path / 'out'}; steps was 4, is 6"]
    record = record_of(tmp_path / "out")
    assert record["grown"] == [{"setting steps": 4}]
    assert record["key"] != stage_identity(CountStage(steps=6)).key  # a run grown in steps is no straight one


def test_a_finished_run_is_left_alone(tmp_path: Path):
    out = tmp_path / "out"
    run_stage(CountStage(), out, say=quietly)
    for stage in (CountStage(), CountStage(steps=2), CountStage(steps=9), CountStage(steps=9, seed=1)):
        with pytest.raises(Finished, match="holds a finished run of 'count'; type --overwrite"):
            run_stage(stage, out, say=quietly)
    assert numbers(out) == ["1", "2", "3"]


def test_overwrite_keeps_the_old_run_beside(tmp_path: Path):
    out = tmp_path / "out"
    for seed in (0, 1, 2):
        run_stage(CountStage(seed=seed), out, overwrite=True, say=quietly)
    assert numbers(out) == ["3", "4", "5"]
    assert numbers(tmp_path / "out.replaced-1") == ["1", "2", "3"]
    assert numbers(tmp_path / "out.replaced-2") == ["2", "3", "4"]


def test_nothing_is_moved_for_a_run_that_cannot_succeed(tmp_path: Path):
    out = tmp_path / "out"
    run_stage(CountStage(), out, say=quietly)
    with pytest.raises(DataError, match="label is impossible"):
        run_stage(CountStage(label="impossible"), out, overwrite=True, say=quietly)
    assert numbers(out) == ["1", "2", "3"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, overwrite: bool):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(StoreError, match=r"is no run folder \(it has no run\.json\)"):
        run_stage(CountStage(), tmp_path, overwrite=overwrite, say=quietly)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_inputs_and_out_may_not_lie_in_each_other(tmp_path: Path):
    run_stage(CountStage(), tmp_path / "out", say=quietly)
    inside = CountStage(data=str(tmp_path / "out" / "numbers.txt"))
    with pytest.raises(ConfigError, match="one lies in the other"):
        run_stage(inside, tmp_path / "out", overwrite=True, say=quietly)
    with pytest.raises(ConfigError, match="one lies in the other"):
        run_stage(CountStage(data=str(tmp_path)), tmp_path / "new", say=quietly)
    assert numbers(tmp_path / "out") == ["1", "2", "3"]


def test_every_missing_input_is_listed(tmp_path: Path):
    stage = CountStage(data=str(tmp_path / "a.txt"), more=("pypi:no-such", str(tmp_path / "b.txt")))
    with pytest.raises(ConfigError) as caught:
        run_stage(stage, tmp_path / "out", say=quietly)
    assert [mistake.split(":")[0] for mistake in caught.value.mistakes] == ["'data'", "'more[0]'", "'more[1]'"]


def test_changed_code_is_refused_unless_it_mends_an_error(tmp_path: Path):
    def version(text: str) -> CountStage:
        path = tmp_path / "mine.py"
        path.write_text(f"from tests.stages.counting import *\n@settings\nclass Mine(CountStage):\n    {text}\n")
        from burnish.config import imported

        return imported(f"{path}:Mine")(steps=4)  # type: ignore[no-any-return]

    broken = "def code(self): return ()\n    def run(self, work):\n        super().run(work)\n        1 / 0"
    with pytest.raises(ZeroDivisionError):
        run_stage(version(broken), tmp_path / "out", say=quietly)
    mended = version("'''Mended.'''")
    assert "mine.py:Mine has changed since" in start_of(mended, tmp_path / "out").says
    record = record_of(tmp_path / "out")
    del record["error"]  # as if it had been killed
    (tmp_path / "out" / "run.json").write_text(json.dumps(record))
    with pytest.raises(Changed, match=r"the code of mine\.py:Mine has changed; put the old text back"):
        run_stage(mended, tmp_path / "out", say=quietly)


def test_a_stage_may_not_record_over_the_runner(tmp_path: Path):
    class Rude(CountStage):
        def run(self, work: Any) -> None:
            work.record({"state": "finished"})

    with pytest.raises(ValueError, match=r"run\.json holds state already"):
        run_stage(Rude(), tmp_path / "out", say=quietly)


def test_a_killed_process_goes_on_where_it_was(tmp_path: Path):
    out = tmp_path / "out"
    words = ("--steps", "6", "--kill_at", "4", "--out", str(out))
    killed = subprocess.run(command(*words), capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL
    assert record_of(out)["state"] == "running"
    assert numbers(out) == ["1", "2", "3"]
    again = subprocess.run(command(*words), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "goes on with the unfinished run" in again.stdout
    record = record_of(out)
    assert (record["state"], record["found"], len(record["attempts"])) == ("finished", 3, 2)
    assert numbers(out) == ["1", "2", "3", "4", "5", "6"]


def test_two_processes_on_one_folder_and_a_polite_end(tmp_path: Path):
    out = tmp_path / "out"
    words = ("--steps", "100", "--pace.pause.seconds", "0.2", "--out", str(out))
    first = subprocess.Popen(command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(200):
            if (out / "numbers.txt").exists():
                break
            time.sleep(0.05)
        with pytest.raises(Busy, match=f"in use by process {first.pid} on "):
            run_stage(CountStage(steps=100, pace=Pace(pause=Even(seconds=0.2))), out, say=quietly)
        second = subprocess.run(command(*words), capture_output=True, text=True)
        assert second.returncode == 1
        assert f"in use by process {first.pid}" in second.stderr
        assert "Traceback" not in second.stderr
        os.kill(first.pid, signal.SIGTERM)
        assert first.wait(10) == 143
    finally:
        first.kill()
        first.communicate()
    record = record_of(out)
    assert (record["state"], record["error"]) == ("running", "SystemExit: 143")
    assert record["attempts"][0]["seconds"] > 0


def test_an_artefact_appears_whole_or_not_at_all(tmp_path: Path):
    stage = CountStage(fail_at=2)
    made_of = stage_identity(stage)
    with pytest.raises(DataError):
        make_artefact(stage, made_of, tmp_path, name="a", say=quietly)
    assert not (tmp_path / made_of.folder).exists()
    assert numbers(tmp_path / f"{made_of.folder}.part") == ["1"]
    good = CountStage()
    folder = make_artefact(good, stage_identity(good), tmp_path, name="good", say=quietly)
    assert record_of(folder)["stage"] == "good"
    assert make_artefact(CountStage(), stage_identity(good), tmp_path, name="b", say=pytest.fail) == folder
    assert record_of(folder)["stage"] == "good"


def test_an_artefact_killed_before_its_name_was_final_only_needs_the_name(tmp_path: Path):
    stage = CountStage()
    folder = make_artefact(stage, stage_identity(stage), tmp_path, name="a", say=quietly)
    folder.rename(folder.with_name(f"{folder.name}.part"))
    make_artefact(stage, stage_identity(stage), tmp_path, name="b", say=quietly)
    assert record_of(folder)["stage"] == "a"
    with locked(folder), pytest.raises(Busy):
        make_artefact(stage, stage_identity(stage), tmp_path, name="c", say=quietly)
