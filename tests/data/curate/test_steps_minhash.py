"""Near-duplicates: brute force on tiny corpora, planted copies in real text, crowds, hostile texts, memory."""

from __future__ import annotations

import json
import random
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.data.curate.documents import document_batch
from burnish.data.curate.record import Curated
from burnish.data.curate.shingles import jaccard, shingle_sets, signature_bands
from burnish.data.curate.steps.minhash import BYTES_PER_CANDIDATE, BYTES_PER_DOCUMENT, MinHashDedup
from burnish.data.curate.what_if import what_if
from burnish.data.curate.words import Words
from tests.data.curate.contract import bytes_of, check_settings, run_steps

pytest.importorskip("rensa", reason="the extra 'data' is not installed")

STEP = "minhash-dedup"


def grams(text: str, size: int) -> set[tuple[str, ...]]:
    words = text.lower().split()
    size = min(size, len(words))
    return {tuple(words[at : at + size]) for at in range(len(words) - size + 1)} if size else set()


def alike(one: set, other: set) -> float:
    return len(one & other) / len(one | other) if one | other else 0.0


def by_brute_force(texts: dict[str, str], size: int, limit: float) -> dict[str, str]:
    """Each document's survivor; `texts` in canonical order, the longest stays."""
    sets = {name: grams(text, size) for name, text in texts.items()}
    group = {name: name for name in texts}
    for one in texts:
        for other in texts:
            if one != other and alike(sets[one], sets[other]) >= limit:
                old, new = group[one], group[other]
                group = {name: new if mine == old else mine for name, mine in group.items()}
    best: dict[str, str] = {}
    for name, text in texts.items():
        held = best.setdefault(group[name], name)
        if len(text) > len(texts[held]):
            best[group[name]] = name
    return {name: best[group[name]] for name in texts}


tiny = st.lists(
    st.lists(st.sampled_from(["to", "be", "or", "not", "is"]), max_size=9).map(" ".join), min_size=1, max_size=14
)


@given(texts=tiny, limit=st.sampled_from([0.5, 0.75, 1.0]), seed=st.integers(0, 9))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tiny_corpora_as_by_brute_force(tmp_path_factory, texts, limit, seed):
    out = tmp_path_factory.mktemp("tiny") / "out"
    rows = [{"id": f"d{n}", "text": text} for n, text in enumerate(texts) if text]
    step = MinHashDedup(jaccard=limit, ngram=2, bands=80, rows=1, comparisons=99, seed=seed)
    found = run_steps([step], rows or [{"id": "x", "text": "x"}], out, shard_bytes=60)
    given_texts = {row["id"]: row["text"] for row in rows or [{"id": "x", "text": "x"}]}
    ordered = {name: given_texts[name] for name in found}  # the ledger is in canonical order
    expected = by_brute_force(ordered, 2, limit)
    assert {name: fate.steps[STEP]["note"] or name for name, fate in found.items()} == expected
    for other in (0.4, 0.6, 0.9):  # the measure says what every other limit would drop
        gone = {name for name, fate in found.items() if (fate.steps[STEP]["score"] or 0.0) >= other}
        assert gone == {name for name, best in by_brute_force(ordered, 2, other).items() if best != name}, other


def planted(real, count: int = 600) -> tuple[list[dict[str, str]], dict[str, float]]:
    """Recombined real text with exact and near copies; the near ones' true Jaccard by id."""
    draw = random.Random(5)
    texts = [json.loads(row)["text"] for row in (real / "domains" / "c4.jsonl").read_text().splitlines()]
    lines = [line for text in texts for line in text.split("\n") if len(line.split()) > 25]
    pieces = [" ".join(line.split()[:60]) for line in lines]
    bases = [" ".join(draw.sample(pieces, 5)) for _ in range(count)]
    rows = [{"id": f"base-{n}", "text": text} for n, text in enumerate(bases)]
    rows += [{"id": f"same-{n}", "text": bases[n]} for n in range(0, count, 5)]
    near = {}
    for number in range(0, count, 3):
        words = bases[number].split()
        for at in draw.sample(range(3, len(words), 9), max(len(words) // 45, 1)):
            words[at] = f"word{draw.random()}"
        text = " ".join(words)
        near[f"near-{number}"] = alike(grams(bases[number], 5), grams(text, 5))
        rows.append({"id": f"near-{number}", "text": text})
    return rows, near


def test_planted_near_copies_go_and_nothing_else(real, tmp_path):
    rows, near = planted(real)
    found = run_steps([MinHashDedup()], rows, tmp_path / "out", files=3, shard_bytes=200_000)
    family = {name: name.split("-")[1] for name in found}
    gone = {name: fate.steps[STEP]["note"] for name, fate in found.items() if fate.reason == "near-copy"}
    left = {family[name] for name in found if name not in gone}
    at_limit = [name for name, value in near.items() if 0.8 <= value < 0.87]
    assert len(at_limit) > 80
    groups = {family[name]: [other for other in found if family[other] == family[name]] for name in at_limit}
    recalled = sum(sum(one not in gone for one in group) == 1 for group in groups.values())
    assert recalled / len(groups) >= 0.95
    false = sum(family[name] != family[survivor] for name, survivor in gone.items())
    assert false / len(rows) <= 0.005
    assert left == set(family.values())
    pairs = [name for name in at_limit if len(groups[family[name]]) == 2]
    scores = [max(found[one].steps[STEP]["score"] or 0.0 for one in groups[family[name]]) for name in pairs]
    assert scores == pytest.approx([near[name] for name in pairs], abs=0.02)  # punctuation is left aside there


def test_order_files_shards_and_processes_change_nothing(real, tmp_path, two_processes):
    rows, _ = planted(real, 60)
    step = MinHashDedup()
    one = run_steps([step], rows, tmp_path / "one", shard_bytes=20_000)
    shuffled = random.Random(1).sample(rows, len(rows))
    run_steps([step], shuffled, tmp_path / "many", files=4, shard_bytes=20_000, pool=two_processes)
    parts = ("documents", "ledger")
    assert bytes_of(tmp_path / "many", *parts) == bytes_of(tmp_path / "one", *parts)
    assert run_steps([step], rows, tmp_path / "whole") == one
    assert sum(fate.fate == "drop" for fate in one.values()) > 20


def test_the_survivor_is_the_longest_or_the_first(tmp_path):
    text = " ".join(f"w{n}" for n in range(100))
    rows = [{"id": f"n{n}", "text": f"{text} {'x' * n}"} for n in range(12)]
    longest = run_steps([MinHashDedup()], rows, tmp_path / "longest", shard_bytes=900)
    assert [name for name, fate in longest.items() if fate.fate == "keep"] == ["n11"]
    assert {fate.steps[STEP]["note"] for fate in longest.values()} == {None, "n11"}
    first = run_steps([MinHashDedup(survivor="first")], rows, tmp_path / "first", shard_bytes=900)
    assert [name for name, fate in first.items() if fate.fate == "keep"] == [next(iter(first))] != ["n11"]
    check_settings(MinHashDedup(survivor="first", ngram=3, seed=7))


def test_what_if_tells_what_another_limit_does(real, tmp_path):
    rows, _ = planted(real, 120)
    run_steps([MinHashDedup()], rows, tmp_path / "out")
    for limit in (0.7, 0.9, 1.0):
        then = run_steps([MinHashDedup(jaccard=limit)], rows, tmp_path / f"at-{limit}")
        change = what_if(Curated(tmp_path / "out"), STEP, limit)
        passes = change.passed + change.come.documents - change.go.documents
        assert passes == sum(fate.fate == "keep" for fate in then.values())
    assert passes > change.passed


def test_case_form_and_punctuation_do_not_tell_texts_apart():
    texts = ["The cat, it sat on the ﬁne mat.", "the CAT it sat on — the fine mat!", "the cat it sat on the fine mat"]
    one, other, plain = shingle_sets(document_batch(["a", "b", "c"], texts).words, 3)
    assert np.array_equal(one, plain)
    assert jaccard(other, plain) == alike(grams("the cat it sat on — the fine mat", 3), grams(texts[2], 3))
    assert not np.array_equal(*shingle_sets(document_batch(["a", "b"], ["a b c d", "a b d c"]).words, 2))


def test_sets_do_not_depend_on_neighbours_and_short_texts_are_one_shingle():
    texts = ["one two", "", "one two three four", "one", "two one", "one two"]
    sets = shingle_sets(Words([text.split() for text in texts]), 3)
    assert [len(one) for one in sets] == [1, 0, 2, 1, 1, 1]
    for text, found in zip(texts, sets, strict=True):
        assert np.array_equal(shingle_sets(Words([text.split()]), 3)[0], found)
    assert np.array_equal(sets[0], sets[5])
    assert not np.array_equal(sets[0], sets[4])


def test_bands_agree_as_often_as_the_jaccard_says():
    draw = np.random.default_rng(0)
    for share in (0.5, 0.8):
        for size in (9, 300):
            common = round(size * 2 * share / (1 + share))
            sets = []
            for _ in range(60):
                both = np.unique(draw.integers(0, 2**63, 2 * size - common, dtype=np.uint64))
                draw.shuffle(both)
                sets += [np.sort(both[:size]), np.sort(both[size - common :])]
            bands = signature_bands(sets, bands=100, rows=1, seed=3)
            seen = (bands[::2] == bands[1::2]).mean()
            assert seen == pytest.approx(common / (2 * size - common), abs=0.05)


def test_signatures_are_pinned():
    (shingles,) = shingle_sets(Words([["all", "that", "glitters", "is", "not", "gold"]]), 2)
    bands = signature_bands([shingles], bands=3, rows=2, seed=0)
    assert bands.tolist() == [[3104645146483979617, 14284400480146241398, 42544423343643971]]
    assert (signature_bands([shingles], bands=3, rows=2, seed=1) != bands).all()


def test_a_crowd_is_compared_in_proportion_to_its_size_and_hangs_together(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "burnish.data.curate.steps.minhash.jaccard", lambda one, other: calls.append(1) or jaccard(one, other)
    )
    text = " ".join(f"w{n}" for n in range(60))
    rows = [{"id": f"n{n}", "text": f"{text} unlike{n}"} for n in range(300)]
    step = MinHashDedup(comparisons=2)
    found = run_steps([step], rows, tmp_path / "out")
    assert sum(fate.fate == "keep" for fate in found.values()) == 1
    assert len(calls) <= 300 * step.comparisons * step.bands / 3


def test_hostile_texts_stop_nothing(tmp_path):
    texts = ["a " * 60_000, "x" * 200_000, "\u2028\u00a0 \u3000", "!!! ??? --- ...", "\u0000 \ufffe", "१२ क्षि की ",
             "漢字" * 3000, "🙂 🙃 " * 50, "\ud83d".encode("utf-8", "replace").decode(), "a", "a", "A!"]  # fmt: skip
    rows = [{"id": f"n{n}", "text": text} for n, text in enumerate(texts)]
    found = run_steps([MinHashDedup()], rows, tmp_path / "out", shard_bytes=100_000)
    assert len(found) == len(texts)
    assert sum(found[f"n{n}"].fate == "keep" for n in (9, 10, 11)) == 1
    assert all(found[f"n{n}"].reason != "near-copy" for n in (1, 2, 3, 6, 7))


def test_the_index_costs_what_is_said():
    count = 15_000
    draw = np.random.default_rng(2)
    step = MinHashDedup(bands=4)

    def peak(values: int) -> int:
        """Of a reduce in which bands take so many values."""
        bands = {f"band-{n}": pa.array(draw.integers(0, values, count, dtype=np.uint64)) for n in range(step.bands)}
        shingles = pa.array([[1, 2]] * count, pa.large_list(pa.uint64()))
        different = pa.array(np.arange(count, dtype=np.uint64))
        table = pa.table({"bytes": pa.array(np.ones(count, np.int64)), "shingles": shingles, "set": different, **bands})
        tracemalloc.start()
        corpus = _Keys(table)
        marks = list(step.reduce(corpus))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(marks) == 1
        pairs = int(corpus.said[0].split(";")[1].split()[0].replace(",", ""))
        return found - pairs * BYTES_PER_CANDIDATE

    assert peak(2**63) <= BYTES_PER_DOCUMENT * count + 300_000
    assert peak(count) <= BYTES_PER_DOCUMENT * count + 300_000


class _Keys:
    """A corpus of one shard whose keys are known."""

    num_shards = 1

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.said: list[str] = []

    def keys(self, shard: int) -> pa.Table:
        return self.table

    def ids(self, shard: int) -> list[str]:
        return ["id"] * self.table.num_rows

    def say(self, line: str) -> None:
        self.said.append(line)
