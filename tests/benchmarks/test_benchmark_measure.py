"""Two sides are compared only if they agree: order of runs, medians, ratios, refusals, the line of JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import records, run
from benchmarks.agreement import Disagreement
from benchmarks.measure import compared
from benchmarks.processes import ProcessFailed
from benchmarks.works import VERBS, WORKS
from tests.benchmarks.fake_sides import TIMES, FakeSides


def changed(side, mode, **values):
    return lambda s, m, number: dict(values) if (s, m) == (side, mode) else {}


def test_agreement_comes_first_and_then_the_sides_take_turns(tmp_path):
    sides = FakeSides(tmp_path, TIMES)
    compared(WORKS["sft"], sides, repetitions=3)
    assert sides.log[:2] == [("ours", "agree"), ("peer", "agree")]
    assert [side for side, mode in sides.log if mode == "measure"] == ["ours", "peer", "peer", "ours", "ours", "peer"]


def test_the_line_has_medians_and_ratios(tmp_path):
    line, apart = compared(WORKS["sft"], FakeSides(tmp_path, TIMES), repetitions=3)
    assert set(line) == {"work", "ratio", "memory_ratio", "ours", "peer"}
    assert line["work"] == "sft"
    assert line["ours"]["rows_per_second"] == 16 / 2.0
    assert line["peer"]["rows_per_second"] == 16 / 8.0
    assert line["ratio"] == 4.0
    assert line["memory_ratio"] == 0.25
    assert line["ours"]["runs"] == [4.0, 16.0, 8.0]
    assert line["ours"]["share_of_product_rate"] == pytest.approx(8e9 / 2.0 / 1e10)
    assert "share_of_product_rate" not in line["peer"]
    assert apart == {"loss": 0.0, "numbers": 0.0, "gradient": 0.0}


def test_the_ratio_of_a_command_is_that_of_its_seconds_and_needs_no_agreement(tmp_path):
    sides = FakeSides(tmp_path, TIMES, changed("peer", "measure", same_bytes=True))
    line, apart = compared(WORKS["resume"], sides, repetitions=3)
    assert (line["ratio"], line["ours"]["seconds"], apart) == (4.0, 2.0, {})
    assert ("ours", "agree") not in sides.log
    assert line["peer"]["same_bytes"] is True


def test_one_resumed_run_with_other_bytes_is_told(tmp_path):
    def change(side, mode, number):
        return {"same_bytes": number != 1}

    line, _ = compared(WORKS["resume"], FakeSides(tmp_path, TIMES, change), repetitions=3)
    assert line["ours"]["same_bytes"] is False


@pytest.mark.parametrize(
    ("work", "values", "message"),
    [
        ("sft", {"loss": 2.001}, "the loss in float32 is 2 here and 2.001 at the peer"),
        ("sft", {"loss": float("nan")}, "the loss in float32"),
        ("dpo", {"numbers": [-40.0, -3.1]}, "log-probs, scores or advantages differ"),
        ("reward", {"numbers": [-40.0]}, "gave 2 log-probs or scores, the peer 1"),
        ("grpo", {"gradient": {"a": np.array([1, 1, 1, 1.01], np.float32)}}, "the gradients are 5.0e-03"),
        ("grpo", {"gradient": {"b": np.ones(4, np.float32)}}, "only one side has a gradient of a, b"),
        ("sample-groups", {"tokens": [[1, 2], [3, 5]]}, "the greedy answers to prompt 1 differ from token 1 on"),
        ("sample-prompts", {"tokens": [[1, 2]]}, "gave 2 answers, the peer 1"),
    ],
)
def test_sides_that_differ_are_refused_before_anything_is_timed(tmp_path, work, values, message):
    sides = FakeSides(tmp_path, TIMES, changed("peer", "agree", **values))
    with pytest.raises(Disagreement, match=message):
        compared(WORKS[work], sides, repetitions=3)
    assert all(mode == "agree" for _, mode in sides.log)


@pytest.mark.parametrize(
    ("work", "values", "message"),
    [
        ("sft", {"loss": 0.72}, "the loss of the first timed update is 0.7 here and 0.72 at the peer"),
        ("dpo", {"loss": 0.72}, "the loss of the first timed update"),
        ("grpo", {"rows": 8}, "ours worked on 16 rows, the peer on 8"),
    ],
)
def test_timed_runs_that_differ_have_no_ratio(tmp_path, work, values, message):
    sides = FakeSides(tmp_path, TIMES, changed("peer", "measure", **values))
    with pytest.raises(Disagreement, match=message):
        compared(WORKS[work], sides, repetitions=3)


def test_the_sampled_losses_of_grpo_need_not_be_the_same(tmp_path):
    sides = FakeSides(tmp_path, TIMES, changed("peer", "measure", loss=0.1))
    assert compared(WORKS["grpo"], sides, repetitions=3)[0]["ratio"] == 4.0


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """The words of a run whose sides are fakes; `change` says what they do differently."""

    def words(*more, change=lambda *_: {}):
        sides = {}

        def launch_for(place, work, updates):
            folder = tmp_path / work.name
            folder.mkdir(exist_ok=True)
            return sides.setdefault(work.name, FakeSides(folder, {s: t * 2 for s, t in TIMES.items()}, change))

        monkeypatch.setattr(run, "launch_for", launch_for)
        monkeypatch.setattr(run, "place_for", lambda *_: None)
        monkeypatch.setattr(run, "scratch_parent", lambda: tmp_path)
        return [*more, "--records", str(tmp_path)]

    return words


def tune(folder, work):
    records.write_record(records.tuning_file(work, "cpu", folder), {"best": {"attn_implementation": "sdpa"}})


def test_a_run_prints_one_line_and_writes_a_record(tmp_path, typed, capsys):
    tune(tmp_path, "sft")
    assert run.main(typed("sft")) == 0
    (line,) = capsys.readouterr().out.splitlines()
    record = json.loads((tmp_path / "sft.json").read_text(encoding="utf-8"))
    assert json.loads(line) == record["line"]
    assert record["line"]["peer"]["settings"] == {"attn_implementation": "sdpa"}
    assert record["agreement"]["gradient"] == 0.0
    assert record["origin"]["cores"] >= 1


def test_sampling_has_two_lines(tmp_path, typed, capsys):
    for work in VERBS["sample"]:
        tune(tmp_path, work)
    assert run.main(typed("sample")) == 0
    found = [json.loads(line)["work"] for line in capsys.readouterr().out.splitlines()]
    assert found == ["sample-groups", "sample-prompts"]


@pytest.mark.parametrize("more", [("--repetitions", "1"), ("--updates", "1"), ("--untuned",)])
def test_a_try_writes_no_record(tmp_path, typed, capsys, more):
    tune(tmp_path, "sft")
    assert run.main(typed("sft", *more)) == 0
    assert not (tmp_path / "sft.json").exists()
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_disagreement_prints_no_ratio(tmp_path, typed, capsys):
    tune(tmp_path, "sft")
    assert run.main(typed("sft", change=changed("peer", "agree", loss=3.0))) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "no ratio" in told.err
    assert not (tmp_path / "sft.json").exists()


def test_a_peer_that_was_not_tuned_is_refused(typed, capsys):
    assert run.main(typed("resume")) == 1
    assert "type python -m benchmarks.tune sft" in capsys.readouterr().err


def test_a_peer_that_is_not_installed_is_told(tmp_path, capsys):
    tune(tmp_path, "sft")
    words = ["sft", "--records", str(tmp_path), "--peer", str(tmp_path / "nothing"), "--cases", str(tmp_path)]
    assert run.main(words) == 1
    assert "type make .venv-peer/.made" in capsys.readouterr().err


def test_a_side_that_fails_ends_the_run(tmp_path):
    def fail(side, mode):
        raise ProcessFailed("out of memory")

    with pytest.raises(ProcessFailed):
        compared(WORKS["sft"], fail, repetitions=3)
