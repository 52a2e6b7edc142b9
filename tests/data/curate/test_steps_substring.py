"""Whole runs of `substring-dedup`: what is cut, who is named, the same bytes in any shards, kills, memory."""

from __future__ import annotations

import json
import random
import sys
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.data.curate.canonical import key_of
from burnish.data.curate.documents import document_batch
from burnish.data.curate.engine import Curation, curate
from burnish.data.curate.explain import explain
from burnish.data.curate.intake import Intake
from burnish.data.curate.passages import repeats_in
from burnish.data.curate.pool import InlinePool
from burnish.data.curate.record import Curated
from burnish.data.curate.registry import steps_from
from burnish.data.curate.removal import without
from burnish.data.curate.steps.exact import ExactDedup
from burnish.data.curate.steps.sample import Sample
from burnish.data.curate.steps.substring import BYTES_PER_DOCUMENT, BYTES_PER_PASSAGE, SubstringDedup
from burnish.data.curate.what_if import what_if
from burnish.errors import ConfigError, MissingExtra
from tests.data.curate.contract import bytes_of, check_settings, run_steps, write_rows

pytest.importorskip("pydivsufsort", reason="the extra 'data' is not installed")

STEP = "substring-dedup"
NOTICE = "All rights reserved; no part of this page may be used without the written consent of its owner. "


def rows_of(texts):
    return [{"id": f"d{number}", "text": text} for number, text in enumerate(texts)]


def test_a_passage_stays_where_it_stands_first_and_is_cut_out_elsewhere(tmp_path):
    texts = [f"Page {name} says this. {NOTICE}The end of page {name}." for name in "123"]
    found = run_steps([SubstringDedup(min_length=40)], rows_of(texts), tmp_path / "out", files=2, shard_bytes=150)
    first, *others = found  # the ledger is in canonical order
    assert found[first].fate == "keep"
    assert found[first].steps[STEP]["score"] == 0
    for name in others:
        row = found[name].steps[STEP]
        assert (row["fate"], row["reason"], row["note"]) == ("edit", "repeated-passage", first)
        assert "rights reserved" not in found[name].text
        assert found[name].text.startswith("Page ")
        given_text = texts[int(name[1:])]
        (passage,) = repeats_in([texts[int(first[1:])], given_text], 40)[1]
        assert found[name].text == without(given_text, [passage])[0]
        assert row["score"] == row["measure.repeated"] == (passage[1] - passage[0]) / len(given_text)
        assert row["measure.passages"] == 1
        assert row["measure.left"] == len("".join(found[name].text.split()))


def test_what_is_all_repeated_is_dropped_and_the_rest_of_a_document_may_be_too_little(tmp_path):
    rows = rows_of([NOTICE, NOTICE, f"Hi! {NOTICE}", "ab"])
    found = run_steps([SubstringDedup(min_length=40)], rows, tmp_path / "one")
    assert sum(fate.fate == "keep" for fate in found.values()) == 2
    assert {fate.reason for fate in found.values()} <= {None, "too-little-left", "repeated-passage"}
    assert found["d3"].fate == "keep"
    dropped = [fate for fate in found.values() if fate.fate == "drop"]
    assert [fate.steps[STEP]["measure.left"] for fate in dropped] == [0] * len(dropped)
    many = run_steps([SubstringDedup(min_length=40, min_left=4)], rows, tmp_path / "many")
    assert sum(fate.fate == "drop" for fate in many.values()) == 2
    assert many["d3"].fate == "keep", "nothing of it is repeated, so what is left of it does not count"
    assert many["d3"].steps[STEP]["measure.left"] is None


def test_a_document_that_repeats_itself_names_no_other(tmp_path):
    text = " ".join(f"word{number}" for number in range(20))
    found = run_steps([SubstringDedup(min_length=50)], rows_of([f"{text} and again {text}"]), tmp_path / "out")
    assert found["d0"].text == f"{text} and again "
    assert found["d0"].steps[STEP]["note"] is None
    assert found["d0"].steps[STEP]["reason"] == "repeated-passage"


def test_the_note_names_where_the_longest_passage_stands(tmp_path):
    long, short, middle = (
        "".join(random.Random(seed).choices("abcdefgh ", k=size)) for seed, size in ((1, 90), (2, 50), (3, 60))
    )
    names = sorted("abcdefgh", key=key_of)
    texts = {
        names[0]: short,
        names[1]: middle,
        names[2]: long,
        names[3]: f"{short}_{long}-{middle}+",
        names[4]: f"!{short}?",
    }
    rows = [{"id": name, "text": text} for name, text in texts.items()]
    found = run_steps([SubstringDedup(min_length=40)], rows, tmp_path / "out", shard_bytes=100)
    assert found[names[3]].steps[STEP]["note"] == names[2]
    assert found[names[4]].steps[STEP]["note"] == names[0]
    assert found[names[3]].steps[STEP]["measure.passages"] == 3
    assert found[names[3]].text.replace(" ", "") == "_-+"


def corpus_of(real, count=150):
    """Real texts, of which many have a passage of another planted in them, and some are copies."""
    draw = random.Random(1)
    texts = [json.loads(row)["text"][:1500] for row in (real / "domains" / "c4.jsonl").read_text().splitlines()[:count]]
    for number in range(0, count, 3):
        other = texts[draw.randrange(count)]
        at, start = draw.randrange(len(texts[number])), draw.randrange(max(len(other) - 400, 1))
        texts[number] = texts[number][:at] + other[start : start + 400] + texts[number][at:]
    return rows_of([*texts, *texts[:10]])


def test_order_files_shards_parts_and_processes_change_nothing(real, tmp_path, two_processes):
    rows = corpus_of(real)
    one = run_steps([SubstringDedup()], rows, tmp_path / "one", shard_bytes=60_000)
    assert sum(fate.fate == "edit" for fate in one.values()) >= 35
    assert sum(fate.fate == "drop" for fate in one.values()) == 10
    shuffled = random.Random(2).sample(rows, len(rows))
    step = SubstringDedup(array_bytes=100_000)
    run_steps([step], shuffled, tmp_path / "many", files=3, shard_bytes=60_000, pool=two_processes)
    assert bytes_of(tmp_path / "many", "documents", "ledger") == bytes_of(tmp_path / "one", "documents", "ledger")
    assert run_steps([SubstringDedup()], rows, tmp_path / "whole") == one


@given(
    texts=st.lists(st.text(st.sampled_from("ab é漢🙂"), min_size=1, max_size=12), min_size=1, max_size=6),
    length=st.integers(1, 5),
    unit=st.sampled_from(["bytes", "characters"]),
    shard_bytes=st.sampled_from([10, 1000]),
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tiny_corpora_lose_what_the_rule_says(tmp_path_factory, texts, length, unit, shard_bytes):
    step = SubstringDedup(min_length=length, unit=unit)
    texts = [text for text in texts if text.strip()] or ["a"]
    found = run_steps([step], rows_of(texts), tmp_path_factory.mktemp("tiny") / "out", shard_bytes=shard_bytes)
    ordered = [texts[int(name[1:])] for name in found]
    for name, text, passages in zip(found, ordered, repeats_in(ordered, length, unit), strict=True):
        left, taken = without(text, passages)
        assert found[name].fate == ("keep" if not taken else "edit" if left.strip() else "drop")
        assert found[name].text == (left if left.strip() else None)


def test_hardly_anything_is_repeated_in_what_is_left(real, tmp_path):
    found = run_steps([SubstringDedup(min_length=100)], corpus_of(real, 60), tmp_path / "out")
    left = [{"id": name, "text": fate.text} for name, fate in found.items() if fate.text]
    again = run_steps([SubstringDedup(min_length=100)], left, tmp_path / "again")
    cut = [sum(one.steps[STEP]["bytes"] * one.steps[STEP]["score"] for one in run.values()) for run in (found, again)]
    assert cut[0] > 6000
    assert cut[1] <= 0.02 * cut[0]


class Killed(BaseException):
    """Stands for a kill at a certain task."""


class StoppingPool(InlinePool):
    """Runs so many tasks and is then killed."""

    def __init__(self, tasks):
        self.left = tasks

    def run(self, tasks):
        found = []
        for task in tasks:
            if self.left == 0:
                raise Killed
            self.left -= 1
            found += super().run([task])
        return found


def test_a_run_that_is_killed_anywhere_ends_with_the_same_bytes(tmp_path):
    texts = [f"{NOTICE * (number % 3)} page {number}" for number in range(12)]
    inputs = write_rows(rows_of(texts), tmp_path / "in", 2)
    steps = (SubstringDedup(min_length=30, array_bytes=700), Sample(share=0.9))
    curation = Curation(inputs=inputs, intake=Intake(), steps=steps, shard_bytes=500)
    curate(curation, tmp_path / "whole", InlinePool(), lambda line: None)
    kills = 0
    for tasks in range(3, 24, 3):
        try:
            curate(curation, tmp_path / str(tasks), StoppingPool(tasks), lambda line: None)
        except Killed:
            kills += 1
            curate(curation, tmp_path / str(tasks), InlinePool(), lambda line: None)
        assert bytes_of(tmp_path / str(tasks), ".") == bytes_of(tmp_path / "whole", ".")
    assert kills >= 6
    assert not (tmp_path / "whole" / ".work").exists()


def test_explain_and_what_if_know_the_step(tmp_path):
    texts = [f"{'abcdefghi'[number] * number} {NOTICE}" for number in range(1, 9)]
    lines: list[str] = []
    curation = Curation(
        inputs=write_rows(rows_of(texts), tmp_path / "in"), intake=Intake(), steps=(SubstringDedup(min_length=50),)
    )
    curate(curation, tmp_path / "out", InlinePool(), lines.append)
    size = sum(map(len, texts)) + len(texts)
    said = (
        f"substring-dedup: {size:,} bytes of text; searches: 1, of at most {size:,} bytes, 14 bytes of memory for each"
    )
    assert said in lines
    run = Curated(tmp_path / "out")
    end = run.all_rows(STEP).to_pylist()[-1]
    said = "\n".join(explain(run, end["id"]))
    assert "substring-dedup: edit, repeated-passage (d" in said
    assert "left" in said
    assert f"repeated {end['score']:.4g}" in said
    for limit in (3, 6):
        then = run_steps([SubstringDedup(min_length=50, min_left=limit)], rows_of(texts), tmp_path / f"at-{limit}")
        change = what_if(run, STEP, limit)
        assert change.passed - change.go.documents == sum(fate.fate != "drop" for fate in then.values()) < 8
    with pytest.raises(ConfigError, match="no rule 'repeated-passage'"):
        what_if(run, STEP, 0.5, rule="repeated-passage")


def test_hostile_texts_stop_nothing(tmp_path):
    flags, marks = "🇩🇪🇫🇷" * 30, "e" + "\u0301" * 300
    texts = ["a" * 100_000, "ab" * 30_000, "\u0000" * 500, flags, flags, marks, marks + "x", "漢" * 400, "🙂" * 200,
             "x", "", " \n" * 300, "\ufeff\u2028 end", "👨\u200d👩\u200d👧" * 60]  # fmt: skip
    found = run_steps([SubstringDedup()], rows_of(texts), tmp_path / "out", shard_bytes=50_000)
    assert len(found) == len(texts)
    assert found["d9"].fate == "keep"
    for name, size in (("d0", 200), ("d1", 200), ("d7", 201 // 3)):
        assert len(found[name].text) == size, name
    with_nul = run_steps(
        [SubstringDedup(min_length=20)], rows_of(["a\x00b" * 50, "c a\x00b" * 50]), tmp_path / "nul",
        intake=Intake(damaged="mend"),
    )  # fmt: skip
    assert all("\x00" not in (fate.text or "") for fate in with_nul.values())
    assert sorted(fate.fate for fate in found.values() if fate.text and fate.text in (flags, marks)) == ["keep", "keep"]


def test_it_stands_between_other_steps_and_twice(tmp_path):
    rows = rows_of([f"{NOTICE}{name * 4} a few words {name * 4} {NOTICE}" for name in "abcdef"] + [NOTICE] * 3)
    steps = [
        ExactDedup(),
        SubstringDedup(min_length=60),
        Sample(share=1.0),
        SubstringDedup(min_length=9, unit="characters"),
    ]
    found = run_steps(steps, rows, tmp_path / "out", shard_bytes=300)
    assert sum(fate.reason == "copy" for fate in found.values()) == 2
    texts = [fate.text for fate in found.values() if fate.text is not None]
    assert sum(NOTICE.strip()[10:-10] in text for text in texts) == 1
    assert any(fate.steps["substring-dedup-2"]["fate"] == "edit" for fate in found.values() if len(fate.steps) > 4)


def test_settings_and_contract():
    check_settings(SubstringDedup(min_length=50, unit="characters", min_left=20, array_bytes=10**9))
    (step,) = steps_from([{"kind": STEP}])
    assert step == SubstringDedup()
    nothing = document_batch([], [])
    assert step.keys(nothing).num_rows == 0
    documents = document_batch(["a", "b"], ["漢漢漢", "kept"])
    lists = pa.large_list(pa.int64())
    spans = [pa.array([[4], []], lists), pa.array([[8], []], lists)]
    marks = pa.record_batch([*spans, pa.array(["z", None])], names=["starts", "stops", "first"])
    found = step.decide(documents, marks)
    assert found.mistakes(step, 2) == []
    assert (found.reasons.tolist(), dict(found.texts), dict(found.notes)) == ([-1, -1], {}, {}), "less than a character"


def test_a_missing_package_is_named_before_any_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydivsufsort", None)
    with pytest.raises(MissingExtra, match=r"burnish\[data\]"):
        SubstringDedup().check()


class _Known:
    """A corpus of one shard, of whose passages the search has been done."""

    num_shards = 1

    def __init__(self, sizes, folder):
        self.table, self.folder, self.said = pa.table({"bytes": sizes}), folder, []

    def keys(self, shard):
        return self.table

    def documents(self, shard):
        return iter(())

    def ids(self, shard):
        return ["id"] * self.table.num_rows

    def map(self, function, tasks):
        return []

    def say(self, line):
        self.said.append(line)


@pytest.mark.parametrize("passages", [0, 40_000])
def test_the_reducing_process_holds_what_is_said(tmp_path, monkeypatch, passages):
    count, size = 40_000, 99
    spans = np.arange(passages)[:, None] * (size + 1) + np.array([[10, 60, 0]])
    monkeypatch.setattr("burnish.data.curate.steps.substring.repeats_of", lambda *_: spans.astype(np.int64))
    corpus = _Known(np.full(count, size), tmp_path)
    tracemalloc.start()
    marks = next(SubstringDedup().reduce(corpus))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert marks.num_rows == count
    assert sum(map(len, marks.column("starts").to_pylist())) == passages
    assert peak <= BYTES_PER_DOCUMENT * count + BYTES_PER_PASSAGE * passages + 500_000
