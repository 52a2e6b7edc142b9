"""The promises of a run: same bytes however the input is cut and whoever works; a killed run ends the same."""

from __future__ import annotations

import errno
import gzip
import itertools
import json
import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.data.curate.atomic import whole
from burnish.data.curate.engine import Curation, curate
from burnish.data.curate.gathering import Input, inputs_of
from burnish.data.curate.intake import Intake
from burnish.data.curate.passes import Pass, passes_of
from burnish.data.curate.pool import InlinePool, ProcessPool
from burnish.data.curate.registry import steps_from
from burnish.data.curate.steps.exact import ExactDedup
from burnish.data.curate.steps.sample import Sample
from burnish.errors import ConfigError, DataError, StoreError
from tests.data.curate.contract import bytes_of, fates_in, read_texts, run_steps, write_rows

STEPS = (Sample(share=0.9), ExactDedup(), Sample(share=0.8, seed=1))
RESULTS = ("documents", "ledger")


def rows_of(count: int = 60) -> list[dict[str, object]]:
    """Rows with ids that repeat, without ids, equal to others, with other columns."""
    rows: list[dict[str, object]] = []
    for number in range(count):
        row: dict[str, object] = {"text": f"document {number % 37} says so", "id": f"id-{number % 41}"}
        if number % 5 == 0:
            del row["id"]
        if number % 7 == 0:
            row |= {"url": f"http://a.example/{number}", "year": 1900 + number, "source": "other"}
        rows.append(row)
    return [*rows, rows[3], rows[5]]


def run(rows, out: Path, **options) -> dict[str, bytes]:
    run_steps(STEPS, rows, out, **options)
    return bytes_of(out, *RESULTS)


@given(seed=st.integers(0, 2**32), files=st.integers(1, 5))
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_and_splitting_of_the_input_change_nothing(tmp_path, seed, files):
    rows = rows_of()
    plain = tmp_path / "plain"
    if not plain.exists():
        run(rows, plain, shard_bytes=500)
    random.Random(seed).shuffle(rows)
    shuffled = tmp_path / f"{seed}-{files}"
    assert run(rows, shuffled, files=files, shard_bytes=500) == bytes_of(plain, *RESULTS)
    assert len(list((plain / "documents").iterdir())) > 2


def test_processes_and_one_process_give_the_same_bytes(tmp_path, two_processes):
    many = run(rows_of(), tmp_path / "many", files=3, shard_bytes=700, pool=two_processes)
    assert many == run(rows_of(), tmp_path / "one", shard_bytes=700)


def test_shards_are_filled_in_canonical_order_whatever_their_number(tmp_path):
    run(rows_of(), tmp_path / "one")
    run(rows_of(), tmp_path / "many", shard_bytes=300)
    one, many = read_texts(tmp_path / "one"), read_texts(tmp_path / "many")
    assert one == many
    assert len(one) > 10


def test_kinds_of_input_give_the_same_documents(tmp_path):
    rows = [{"id": f"n{n}", "text": f"text {n}", "year": n} for n in range(9)]
    plain = run(rows, tmp_path / "plain")
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    files = tmp_path / "files"
    files.mkdir()
    (files / "a.jsonl.gz").write_bytes(gzip.compress(data))
    (files / "b.jsonl.zst").write_bytes(pa.compress(data, "zstd", asbytes=True))
    (files / "c.json").write_text(json.dumps(rows))
    pq.write_table(pa.Table.from_pylist(rows), files / "d.parquet")
    for path in sorted(files.iterdir()):
        inputs = (Input(path=path, name=path.name, source="made"),)
        out = tmp_path / f"out-{path.name}"
        curate(Curation(inputs=inputs, intake=Intake(), steps=STEPS), out, InlinePool(), lambda line: None)
        assert bytes_of(out, *RESULTS) == plain, path.name


def test_corpus_steps_cut_the_pipeline_into_passes():
    row, dedup = Sample(share=0.5), ExactDedup()
    assert passes_of([row, row]) == (Pass(rows=(0, 1)),)
    assert passes_of([dedup]) == (Pass(keys=0), Pass(opens=0))
    assert passes_of([row, row, dedup, row, dedup]) == (
        Pass(rows=(0, 1), keys=2),
        Pass(opens=2, rows=(3,), keys=4),
        Pass(opens=4),
    )


def test_the_ledger_holds_every_step_that_a_document_passed(tmp_path):
    found = run_steps((Sample(share=0.5), ExactDedup()), rows_of(), tmp_path / "out")
    assert len(found) == len(rows_of())
    for fate in found.values():
        if fate.step == "sample":
            assert list(fate.steps) == ["read", "sample"]
            assert fate.steps["sample"]["score"] == fate.steps["sample"]["measure.draw"] >= 0.5
        else:
            assert list(fate.steps) == ["read", "sample", "exact-dedup"]
            assert fate.steps["sample"]["score"] < 0.5
        assert (fate.text is None) == (fate.fate == "drop")
    assert {fate.reason for fate in found.values()} == {"not-drawn", "copy", None}


def test_the_summary_counts_what_the_ledger_holds(tmp_path):
    inputs = write_rows(rows_of(), tmp_path / "in", 2)
    curation = Curation(inputs=inputs, intake=Intake(), steps=STEPS, shard_bytes=600)
    summary = curate(curation, tmp_path / "out", InlinePool(), lambda line: None)
    found = fates_in(tmp_path / "out")
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [step["name"] for step in summary["steps"]] == ["read", "sample", "exact-dedup", "sample-2"]
    for step in summary["steps"]:
        rows = [fate.steps[step["name"]] for fate in found.values() if step["name"] in fate.steps]
        assert step["reached"]["documents"] == len(rows)
        assert step["reached"]["bytes"] == sum(row["bytes"] for row in rows)
        assert step["left"]["documents"] == sum(row["fate"] != "drop" for row in rows)
        dropped = sum(amount["documents"] for amount in step["dropped"].values())
        assert dropped == sum(row["fate"] == "drop" for row in rows)
    assert summary["steps"][-1]["left"]["documents"] == len(read_texts(tmp_path / "out"))
    assert summary["ids"] == {"given": 49, "derived": 13}
    assert not (tmp_path / "out" / ".work").exists()


class Killed(BaseException):
    """Stands for a kill at a certain task."""


class StoppingPool(InlinePool):
    """Runs so many tasks and is then killed."""

    def __init__(self, tasks: int) -> None:
        self.left = tasks

    def run(self, tasks):
        results = []
        for task in tasks:
            if self.left == 0:
                raise Killed
            self.left -= 1
            results += super().run([task])
        return results


def test_a_run_that_is_killed_anywhere_ends_with_the_same_bytes(tmp_path):
    inputs = write_rows(rows_of(30), tmp_path / "in", 2)
    curation = Curation(inputs=inputs, intake=Intake(), steps=STEPS, shard_bytes=400)
    curate(curation, tmp_path / "whole", InlinePool(), lambda line: None)
    whole = bytes_of(tmp_path / "whole", ".")
    kills = 0
    for tasks in (0, 1, 3, 5, 7, 9):
        out = tmp_path / f"killed-{tasks}"
        try:
            curate(curation, out, StoppingPool(tasks), lambda line: None)
        except Killed:
            kills += 1
            assert not (out / "summary.json").exists()
        curate(curation, out, InlinePool(), lambda line: None)
        assert bytes_of(out, ".") == whole
    assert kills == 6


def test_what_was_finished_is_not_done_again(tmp_path, monkeypatch):
    inputs = write_rows(rows_of(30), tmp_path / "in", 2)
    curation = Curation(inputs=inputs, intake=Intake(), steps=STEPS, shard_bytes=400)
    with pytest.raises(Killed):
        curate(curation, tmp_path / "out", StoppingPool(9), lambda line: None)

    def refuse(*_):
        raise AssertionError("a file was read again")

    monkeypatch.setattr("burnish.data.curate.pieces.documents_in", refuse)
    curate(curation, tmp_path / "out", InlinePool(), lambda line: None)
    monkeypatch.setattr("burnish.data.curate.engine.gathered", refuse)
    curate(curation, tmp_path / "out", InlinePool(), lambda line: None)


KILLED = """
from tests.data.curate.test_engine import *

def main():
    folder = Path(sys.argv[1])
    curation = Curation(inputs=inputs_of({"made": str(folder / "in")}), intake=Intake(), steps=STEPS, shard_bytes=400)
    said = []
    def say(line):
        said.append(line)
        if len(said) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
    curate(curation, folder / "out", ProcessPool(2), say)

if __name__ == "__main__":
    main()
"""


def test_sigkill_of_the_driver_leaves_a_run_that_can_go_on(tmp_path):
    write_rows(rows_of(30), tmp_path / "in", 2)
    script = tmp_path / "script.py"
    script.write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    ended = subprocess.run([sys.executable, str(script), str(tmp_path)], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "out" / "summary.json").exists()
    inputs = inputs_of({"made": str(tmp_path / "in")})
    curation = Curation(inputs=inputs, intake=Intake(), steps=STEPS, shard_bytes=400)
    curate(curation, tmp_path / "out", InlinePool(), lambda line: None)
    curate(curation, tmp_path / "whole", InlinePool(), lambda line: None)
    assert bytes_of(tmp_path / "out", ".") == bytes_of(tmp_path / "whole", ".")


def test_other_settings_start_over_and_leave_nothing_of_the_old_run(tmp_path):
    inputs = write_rows(rows_of(30), tmp_path / "in")
    first = Curation(inputs=inputs, intake=Intake(), steps=STEPS, shard_bytes=300)
    second = Curation(inputs=inputs, intake=Intake(), steps=STEPS[:1], shard_bytes=3000)
    curate(first, tmp_path / "out", InlinePool(), lambda line: None)
    curate(second, tmp_path / "out", InlinePool(), lambda line: None)
    curate(second, tmp_path / "fresh", InlinePool(), lambda line: None)
    assert bytes_of(tmp_path / "out", ".") == bytes_of(tmp_path / "fresh", ".")
    assert first.key != second.key


def test_the_key_follows_content_settings_and_order_of_steps(tmp_path):
    inputs = write_rows(rows_of(7), tmp_path / "in")
    keys = {Curation(inputs=inputs, intake=Intake(), steps=steps).key for steps in (STEPS, STEPS[::-1], STEPS[:2])}
    keys.add(Curation(inputs=inputs, intake=Intake(max_bytes=10), steps=STEPS).key)
    write_rows(rows_of(8), tmp_path / "in")
    keys.add(Curation(inputs=inputs, intake=Intake(), steps=STEPS).key)
    assert len(keys) == 5


def test_a_full_disk_is_an_error_and_no_half_file_is_taken_for_whole(tmp_path):
    rows = [{"id": str(n), "text": f"{n} " + "x" * 3000} for n in range(60)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        inputs = write_rows(rows, tmp_path / "in")
        curation = Curation(inputs=inputs, intake=Intake(), steps=STEPS)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        with pytest.raises(DataError, match=r"no space is left.*run the same command again"):
            curate(curation, tmp_path / "out", InlinePool(), lambda line: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list((tmp_path / "out").rglob("*.new"))
    assert not list((tmp_path / "out").rglob("*.arrow"))
    curate(curation, tmp_path / "out", InlinePool(), lambda line: None)
    curate(curation, tmp_path / "fresh", InlinePool(), lambda line: None)
    assert bytes_of(tmp_path / "out", *RESULTS) == bytes_of(tmp_path / "fresh", *RESULTS)


@pytest.mark.parametrize("files", [0, 1, 4, 9, 16, 22])
def test_a_disk_that_is_full_at_any_file_loses_nothing(tmp_path, monkeypatch, files):
    """The file of that number meets ENOSPC when it is written; with room again, the run ends with the same bytes."""
    inputs = write_rows(rows_of(20), tmp_path / "in", 2)
    curation = Curation(inputs=inputs, intake=Intake(), steps=STEPS, shard_bytes=600)
    curate(curation, tmp_path / "whole", InlinePool(), lambda line: None)
    written = itertools.count()

    @contextmanager
    def full(path):
        with whole(path) as beside:
            yield beside
            if next(written) >= files:
                raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("burnish.data.curate.atomic.whole", full)
        with pytest.raises((DataError, StoreError), match=r"no space is left \(No space left on device.*same command"):
            curate(curation, tmp_path / "out", InlinePool(), lambda line: None)
    assert next(written) > files
    assert not list((tmp_path / "out").rglob("*.new"))
    curate(curation, tmp_path / "out", InlinePool(), lambda line: None)
    assert bytes_of(tmp_path / "out", ".") == bytes_of(tmp_path / "whole", ".")


OWN = '''
import numpy as np
import os
import signal
from burnish.config import setting, settings
from burnish.data.curate.step import RowStep, kept


@settings
class Own(RowStep):
    """Fails, dies or breaks its contract."""

    kind: str
    how: str = setting("fail", "what it does")

    @property
    def reasons(self):
        return ("why",)

    def decide(self, documents):
        if "BAD" in "".join(documents.texts):
            if self.how == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "fail":
                raise KeyError("no such word")
            decisions = kept(len(documents))
            decisions.dropped[:] = True
            return decisions
        return kept(len(documents))
'''


def own(tmp_path: Path, how: str):
    (tmp_path / "own.py").write_text(textwrap.dedent(OWN))
    return steps_from([{"kind": f"{tmp_path}/own.py:Own", "how": how}])


def test_a_failing_step_names_itself_the_shard_and_the_document(tmp_path):
    rows = [{"id": f"n{n}", "text": "BAD" if n == 7 else f"fine {n}"} for n in range(20)]
    with pytest.raises(
        DataError, match=r"pass 1 \(Own\), shard \d: step 'Own' failed on document 'n7': KeyError: .*word"
    ):
        run_steps(own(tmp_path, "fail"), rows, tmp_path / "out", shard_bytes=60)


def test_a_step_that_breaks_its_contract_is_named(tmp_path):
    rows = [{"id": "n", "text": "BAD"}]
    with pytest.raises(
        DataError, match="step 'Own' breaks its contract: a document is dropped or edited without a reason"
    ):
        run_steps(own(tmp_path, "drop"), rows, tmp_path / "out")


def test_a_worker_that_dies_stops_the_run_and_names_the_task(tmp_path):
    rows = [{"id": f"n{n}", "text": "BAD" if n == 7 else f"fine {n}"} for n in range(20)]
    pool = ProcessPool(2)
    with pytest.raises(
        DataError, match=r"pass 1 \(Own\), shard \d: its process ended early: killed by SIGKILL; .*memory"
    ):
        run_steps(own(tmp_path, "die"), rows, tmp_path / "out", shard_bytes=60, pool=pool)


def test_a_step_of_ones_own_runs_in_other_processes(tmp_path, two_processes):
    found = run_steps(own(tmp_path, "fail"), [{"id": "a", "text": "fine"}], tmp_path / "out", pool=two_processes)
    assert found["a"].fate == "keep"


def test_inputs_that_are_not_there_are_listed(tmp_path):
    with pytest.raises(ConfigError) as caught:
        inputs_of({"a": str(tmp_path / "none.jsonl"), "b": str(tmp_path / "neither")})
    assert len(caught.value.mistakes) == 2


def test_no_document_at_all_is_an_error_that_says_why(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": "x"}\n')
    inputs = inputs_of({"a": str(tmp_path / "a.jsonl")})
    with pytest.raises(DataError, match=r"no document in 1 files: a/a.jsonl, row 1: no-text"):
        curate(Curation(inputs=inputs, intake=Intake(), steps=STEPS), tmp_path / "out", InlinePool(), print)
