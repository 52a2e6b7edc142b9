"""Exact deduplication, and the sample step."""

from __future__ import annotations

import numpy as np
import pytest

from burnish.data.curate.documents import document_batch
from burnish.data.curate.steps.exact import ExactDedup
from burnish.data.curate.steps.sample import Sample
from tests.data.curate.contract import check_row_step, check_settings, run_steps

ROWS = [
    {"id": "a", "text": "The same  text."},
    {"id": "b", "text": "the same text."},
    {"id": "c", "text": "The same\n\n\ntext.   "},
    {"id": "d", "text": "Another text."},
    {"id": "e", "text": "Another text."},
    {"id": "f", "text": "ﬁne Straße"},
    {"id": "g", "text": "FINE STRASSE"},
]


@pytest.mark.parametrize("shard_bytes", [20, 1000])
def test_the_longest_of_the_same_texts_survives_and_is_named(tmp_path, shard_bytes):
    found = run_steps([ExactDedup()], ROWS, tmp_path / "out", shard_bytes=shard_bytes)
    assert [name for name in "abc" if found[name].fate == "keep"] == ["c"]
    for name in "ab":
        assert found[name].reason == "copy"
        assert found[name].steps["exact-dedup"]["note"] == "c"
        assert found[name].steps["exact-dedup"]["score"] == 3
    assert sorted(found[name].fate for name in "de") == ["drop", "keep"]
    assert found["f"].fate == "keep"
    assert found["g"].steps["exact-dedup"]["note"] == "f"


def test_settings_say_what_is_the_same(tmp_path):
    kept = {}
    for name, step in {
        "plain": ExactDedup(ignore_case=False, ignore_space=False),
        "case": ExactDedup(ignore_space=False),
        "space": ExactDedup(ignore_case=False),
    }.items():
        found = run_steps([step], ROWS, tmp_path / name)
        kept[name] = {one for one in "abcfg" if found[one].fate == "keep"}
    assert kept == {"plain": set("abcfg"), "case": set("abcf"), "space": set("bcfg")}


def test_the_first_in_canonical_order_survives_where_asked(tmp_path):
    rows = [{"id": f"n{n}", "text": "same" + " " * n} for n in range(20)]
    first = run_steps([ExactDedup(survivor="first")], rows, tmp_path / "first", shard_bytes=100)
    survivor = next(iter(first))  # the ledger is in canonical order
    assert [name for name, fate in first.items() if fate.fate == "keep"] == [survivor]
    longest = run_steps([ExactDedup()], rows, tmp_path / "longest", shard_bytes=100)
    assert [name for name, fate in longest.items() if fate.fate == "keep"] == ["n19"]
    assert survivor != "n19"
    check_settings(ExactDedup(survivor="first"))


def test_shares_that_begin_elsewhere_split_a_corpus():
    texts = [f"text number {number}" for number in range(400)]
    halves = (Sample(share=0.7), Sample(share=0.3, start=0.7))
    dropped = [np.array([row[1] for row in check_row_step(step, texts)]) for step in halves]
    assert (dropped[0] != dropped[1]).all(), "each text stands on one side"
    assert 0.2 < (~dropped[1]).mean() < 0.4
    with pytest.raises(ValueError, match=r"start is 0.8 and share is 0.3, together over 1; take 0.2 or less"):
        Sample(share=0.3, start=0.8)


def test_a_share_is_kept_and_a_smaller_one_is_part_of_it():
    texts = [""] * 400
    decided = {share: check_row_step(Sample(share=share), texts) for share in (0.2, 0.5, 1.0)}
    kept = {share: {row[0] for row in rows if not row[1]} for share, rows in decided.items()}
    assert kept[0.2] < kept[0.5] < kept[1.0]
    assert 50 < len(kept[0.2]) < 110
    assert len(kept[1.0]) == 400


def test_draws_follow_id_seed_and_name_alone():
    documents = document_batch(["a", "b"], ["x", "y"])
    draws = documents.draws(0, "one")
    assert np.array_equal(draws, document_batch(["b", "a"], ["z", "w"]).draws(0, "one")[::-1])
    assert not np.array_equal(draws, documents.draws(1, "one"))
    assert not np.array_equal(draws, documents.draws(0, "two"))
    assert ((draws >= 0) & (draws < 1)).all()


def test_marks_stay_with_their_documents_over_many_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("burnish.data.curate.documents.BATCH_DOCUMENTS", 7)
    rows = [{"id": f"n{n}", "text": f"text {n % 60}" + " " * (n // 60)} for n in range(100)]
    found = run_steps([Sample(share=0.9), ExactDedup()], rows, tmp_path / "out")
    for name, fate in found.items():
        group = [other for other in found.values() if other.steps["read"]["id"] and _number(other) == _number(fate)]
        reached = [other for other in group if "exact-dedup" in other.steps]
        assert sum(other.fate == "keep" for other in reached) == min(len(reached), 1), name
        if fate.reason == "copy":
            survivor = found[fate.steps["exact-dedup"]["note"]]
            assert survivor.fate == "keep"
            assert _number(survivor) == _number(fate)


def _number(fate) -> int:
    return int(fate.steps["read"]["id"].removeprefix("n")) % 60
