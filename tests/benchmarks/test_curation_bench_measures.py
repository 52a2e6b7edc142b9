"""What the data engine's benchmarks count: against brute force, on a small corpus, with both sides where they are."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

from benchmarks.curation import run, table
from benchmarks.curation.corpus import planted_in, texts_of
from benchmarks.curation.grid import CHOICES, START, shipped
from benchmarks.curation.judged import judged, most_alike, unplanted
from benchmarks.curation.parts import index_size, minhash, pipeline_steps, rates
from benchmarks.curation.place import MINHASH, Place
from benchmarks.curation.tree import watched
from benchmarks.processes import ProcessFailed
from tests.benchmarks.curation_corpus import plain_jaccard

PEER = Path(".venv-datatrove/bin/python")


@pytest.fixture
def place(tmp_path):
    return Place(data=tmp_path, folder=tmp_path, scratch=tmp_path, peer=PEER.absolute())


@pytest.mark.parametrize("seed", [0, 1])
def test_recall_and_false_removals_are_those_of_brute_force(corpus, texts, seed):
    rng = random.Random(seed)
    kept = {name for name in texts if rng.random() < 0.6}
    found = judged(corpus, kept, 0.8)
    planted = planted_in(corpus)
    near = [one for one in planted if one.kind == "near" and one.jaccard >= 0.8]
    same = {name: [other for other in texts if texts[other] == text] for name, text in texts.items()}
    assert found.near == len(near)
    assert found.near_found == sum(one.id not in kept or not kept & set(same[one.of]) for one in near)
    surplus = sum(max(0, len(kept & set(group)) - 1) for group in {tuple(group) for group in same.values()})
    assert found.copies_found == found.copies - surplus == 100 - surplus
    gone = [name for name in texts if name not in kept]
    alone = [g for g in gone if all(other == g or plain_jaccard(texts[g], texts[other]) < 0.8 for other in texts)]
    assert (found.removed, found.false_removals) == (len(gone), len(alone))
    assert found.false_removals > 20


def test_the_most_alike_are_those_of_brute_force(corpus, texts):
    names = sorted(texts)[:12]
    expected = {name: max(plain_jaccard(texts[name], texts[o]) for o in texts if o != name) for name in names}
    assert most_alike(corpus, names) == pytest.approx(expected, abs=1e-12)


def test_documents_that_were_not_planted_are_compared_with_all(corpus, texts):
    known = {name for one in planted_in(corpus) for name in (one.id, one.of)}
    others = [name for name in texts if name not in known]
    highest = max(plain_jaccard(texts[one], texts[other]) for one in others for other in texts if one != other)
    assert unplanted(corpus, len(others)) == pytest.approx(highest, abs=1e-12)
    assert 0 < unplanted(corpus, 5) <= highest < 0.4


def test_our_side_finds_what_was_planted_and_takes_nothing_without_a_reason(corpus, place):
    ran = place.ours(corpus, [MINHASH], workers=1)
    found = judged(corpus, ran["kept"], 0.8)
    assert (found.near_found, found.copies_found, found.false_removals) == (found.near, 100, 0)
    assert found.removed == found.near + 100
    assert ran["bytes"] == sum(len(text.encode()) for _, text in texts_of(corpus))
    assert ran["peak_bytes"] > ran["peak_own_bytes"] > 10_000_000
    assert index_size(ran["said"])["index_bytes"] > 96


def test_the_pipeline_of_the_benchmark_goes_through(corpus, place):
    ran = place.ours(corpus, pipeline_steps(corpus), workers=1)
    assert list(ran["steps"]) == ["read", *(step["kind"] for step in pipeline_steps(corpus))]
    assert ran["steps"]["read"] == 500
    assert 0 < ran["steps"]["pii"] < 400


@pytest.mark.skipif(not PEER.is_file(), reason="datatrove's environment is not there; type make .venv-datatrove/.made")
def test_datatrove_finds_what_was_planted(corpus, place):
    settings = {**START, **CHOICES[0][1], "tasks": 2, "start": "fork"}
    ran = place.theirs(corpus, settings)
    found = judged(corpus, ran["kept"], 0.8)
    assert (found.near_found, found.copies_found) == (found.near, 100)
    assert 0 < found.false_removals < 50
    assert set(ran["stages"]) == {"signatures", "buckets", "cluster", "filter"}
    assert ran["seconds"] == pytest.approx(sum(ran["stages"].values()))


class FakePlace:
    """A place whose sides take written times and keep what they are told."""

    def __init__(self, folder, kept):
        self.folder, self.kept, self.log = folder, kept, []
        self.seconds = {"ours": [1.0, 4.0, 2.0, 1.0], "theirs": [20.0, 10.0, 40.0, 50.0]}

    def corpus(self, documents):
        return self.folder

    def _run(self, side, extra):
        self.log.append(side)
        seconds = self.seconds[side].pop(0)
        return {
            "seconds": seconds,
            "peak_bytes": 4,
            "peak_own_bytes": 2,
            "peak_first_bytes": 1,
            "kept": self.kept,
            **extra,
        }

    def ours(self, corpus, steps):
        said = [[1.0, "minhash-dedup: index of 1,000 documents, 96 bytes each; 50 candidate pairs, 400 bytes each"]]
        return self._run("ours", {"said": said, "versions": {}})

    def theirs(self, corpus, settings):
        return self._run("theirs", {"stages": {}, "versions": {}, "settings": settings})


def test_sides_take_turns_and_the_line_has_medians(corpus, texts):
    place = FakePlace(corpus, list(texts))
    line = minhash(place, documents=500, part=100, repetitions=3, settings={**START, "words": "white space"})
    assert place.log == ["ours", "theirs", "theirs", "ours", "ours", "theirs", "ours", "theirs"]
    both = line["white_space"]
    assert (both["ours"]["documents_per_second"], both["peer"]["documents_per_second"]) == (250, 25)
    assert (both["ratio"], both["memory_ratio"]) == (10, 1)
    assert (line["shipped"]["ratio"], line["shipped"]["peer"]["settings"]["words"]) == (50, "eng")
    assert both["ours"]["index_bytes"] == 96 + 50 * 400 / 1000
    assert (both["ours"]["removed"], both["ours"]["recall"]) == (0, 0)


def test_runs_of_one_side_must_keep_the_same(corpus, texts):
    place = FakePlace(corpus, list(texts))
    place._run = lambda side, extra: {**FakePlace._run(place, side, extra), "kept": [str(len(place.log))]}
    with pytest.raises(ValueError, match="kept different documents"):
        minhash(place, documents=500, part=100, repetitions=2, settings=START)


HOLDS = "x = bytearray(60_000_000); x[::4096] = bytes([1]) * len(x[::4096]); print(1, flush=True); input()"
"""A process that holds 60 MB until it is let go."""

LETS_GO = f"""
import subprocess, sys, time
held = [
    subprocess.Popen([sys.executable, "-c", {HOLDS!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for _ in range(int(sys.argv[1]))
]
for process in held:
    process.stdout.readline()
time.sleep(0.5)
for process in held:
    process.communicate(b"1")
"""


def test_the_peak_is_that_of_all_processes_together():
    none, one, two = (watched([sys.executable, "-c", LETS_GO, str(count)], {}) for count in range(3))
    assert none.peak_own_bytes < 60e6
    assert 60e6 < one.peak_own_bytes - none.peak_own_bytes < 90e6
    assert 120e6 < two.peak_own_bytes - none.peak_own_bytes < 180e6
    assert two.peak_bytes > two.peak_own_bytes
    assert 0 < two.peak_first_bytes < 60e6


def test_a_run_that_takes_too_long_or_fails_is_told():
    with pytest.raises(ProcessFailed, match="stopped after 0 s"):
        watched([sys.executable, "-c", "import time; time.sleep(60)"], {}, 0.2)
    with pytest.raises(ProcessFailed, match="ended with 3"):
        watched([sys.executable, "-c", "raise SystemExit(3)"], {})


def test_rates_are_medians():
    held = {"peak_own_bytes": 1, "peak_first_bytes": 1}
    runs = [{"seconds": s, "peak_bytes": p, **held} for s, p in ((1, 10), (4, 30), (2, 20))]
    assert rates(8, runs) == {"documents_per_second": 4, "runs": [8, 2, 4], "peak_bytes": 20, **held}
    assert shipped({"words": "white space", "tasks": 2}) == {"words": "eng", "tasks": 2}


def test_only_a_whole_measurement_is_recorded():
    assert run.is_usual(run.parser().parse_args(["all"]))
    assert not run.is_usual(run.parser().parse_args(["all", "--documents", "99999"]))
    assert not run.is_usual(run.parser().parse_args(["minhash", "--repetitions", "1"]))


def test_without_the_peer_the_command_says_what_to_type(tmp_path, capsys):
    assert run.main(["minhash", "--peer", str(tmp_path / "no"), "--corpora", str(tmp_path)]) == 1
    assert "type make .venv-datatrove/.made" in capsys.readouterr().err


def test_the_page_has_what_the_records_say():
    page = table.PAGE.read_text(encoding="utf-8")
    assert table.placed(page, table.lines()) == page


def test_the_tables_have_both_sides_and_the_targets(tmp_path, corpus, texts):
    place = FakePlace(corpus, list(texts)[:300])
    settings = {**START, "words": "white space"}
    line = minhash(place, documents=500, part=100, repetitions=3, settings=settings)
    made = {"date": "2026-01-01", "machine": "M", "cores": 2, "memory_bytes": 2**30}
    speed = {"megabytes_per_second": 2.5, "runs": [2.5], "peak_bytes": 5e6, "peak_own_bytes": 4e6}
    size = {"documents": 9, "bytes": 7e6, "shards": 2, "index_bytes": 99.6, "documents_per_second": 1234.5}
    size |= {"peak_bytes": 5e6, "peak_own_bytes": 4e6, "peak_first_bytes": 3e6}
    passages = {"bytes": 27e6, "engine": speed, "step": speed, "search": speed, "versions": {"burnish": "1"}}
    trials = [{"choice": "fork", "rows_per_second": 321.0}, {"choice": "SHA-1", "error": "slow"}]
    for name, one in {
        "curation-minhash": line,
        "curation-substring": passages,
        "curation-pipeline": {"half": size, "whole": size, "versions": {"burnish": "1"}},
        "tuning-curation-minhash": {"documents": 400, "trials": trials},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"line": one, "origin": made}), encoding="utf-8")
    text = "\n".join(table.lines(tmp_path))
    assert "| datatrove as it ships, tuned | 100 | 100/s | 2/s | 50.0 (at least 10) |" in text
    assert "| datatrove with a splitter of ours, tuned | 500 | 250/s | 25/s | 10.0 |" in text
    assert (
        "| Repeated passages, the step in it | 27 MB of text, one core | 2.50 MB/s (at least 2) | 5 MB | 4 MB |" in text
    )
    assert "Of 300 documents that were not planted, none has a Jaccard above 0." in text
    assert "1,234 documents/s (at least 1,000); index 100 bytes a document, 3 MB in the process that reduces" in text
    assert "| fork | 321/s |" in text
    assert "| SHA-1 | took too long or failed |" in text
    assert table.lines(tmp_path / "nothing") == [table.OWED]
