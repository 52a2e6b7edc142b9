"""What another threshold would change is what a second run does change; why a document went is said in full."""

from __future__ import annotations

import pytest

from burnish.data.curate.explain import explain, limit_text, shortened
from burnish.data.curate.record import Curated
from burnish.data.curate.step import Rule
from burnish.data.curate.steps.c4 import C4
from burnish.data.curate.steps.exact import ExactDedup
from burnish.data.curate.steps.fineweb import FineWebQuality
from burnish.data.curate.steps.gopher_quality import GopherQuality
from burnish.data.curate.steps.sample import Sample
from burnish.data.curate.what_if import what_if
from burnish.errors import ConfigError, DataError, StoreError
from tests.data.curate.contract import run_steps

WORDS = [
    "the",
    "and",
    "of",
    "river",
    "mill",
    "wheel",
    "lamp",
    "winter",
    "people",
    "walk",
    "home",
    "that",
    "have",
    "been",
    "seen",
]


def rows() -> list[dict[str, object]]:
    made = [
        {"id": f"d{n}", "text": " ".join(WORDS[(n + k) % len(WORDS)] for k in range(n)) + ("." if n % 3 else "")}
        for n in range(1, 80)
    ]
    copies = [{"id": f"copy-of-{row['id']}", "text": row["text"]} for row in made[40:50]]
    return [*made, *copies]


def gopher(**limits) -> GopherQuality:
    return GopherQuality(max_word_length=20, min_stop_words=1, **limits)


@pytest.mark.parametrize(("now", "then"), [(20, 30), (30, 20), (30, 30), (10, 200)])
def test_what_if_is_what_a_second_run_does(tmp_path, now, then):
    """Only row-wise steps follow, so that going documents are known exactly, and coming ones are an upper bound."""
    after = [FineWebQuality(), Sample(share=0.7)]
    before = run_steps([Sample(share=0.9), gopher(min_words=now), *after], rows(), tmp_path / "now", shard_bytes=4000)
    second = run_steps([Sample(share=0.9), gopher(min_words=then), *after], rows(), tmp_path / "then", shard_bytes=4000)
    found = what_if(Curated(tmp_path / "now"), "gopher-quality", then, rule="few-words")
    assert found.reached == sum("gopher-quality" in fate.steps for fate in second.values())
    gone = {name for name, fate in before.items() if fate.fate == "keep" and second[name].fate == "drop"}
    come = {name for name, fate in second.items() if fate.fate == "keep" and before[name].fate == "drop"}
    assert found.go.documents == len(gone)
    assert found.go.bytes == sum(before[name].steps["gopher-quality"]["bytes"] for name in gone)
    assert found.come.documents >= len(come)
    passes = sum("fineweb-quality" in fate.steps for fate in second.values())
    assert found.passed + found.come.documents - found.go.documents - found.go_anyway.documents == passes
    assert (len(gone) > 0) == (then > now)
    assert (len(come) > 0) == (then < now)
    assert found.after == ("fineweb-quality", "sample-2")


def test_samples_are_the_nearest_to_the_new_limit(tmp_path):
    run_steps([gopher(min_words=20)], rows(), tmp_path / "out", shard_bytes=3000)
    found = what_if(Curated(tmp_path / "out"), "gopher-quality", 30, rule="few-words", samples=3)
    assert [sample.value for sample in found.go_samples] == [29.0, 28.0, 27.0]
    assert found.go_samples[0].id == "d29"
    assert found.go_samples[0].excerpt.startswith(WORDS[29 % len(WORDS)])
    lines = found.lines()
    assert lines[0] == "gopher-quality, few-words: words at least 20 is kept now; then at least 30"
    assert lines[2].startswith("would go: 10 documents (")
    back = what_if(Curated(tmp_path / "out"), "gopher-quality", 15, rule="few-words", samples=1)
    assert [sample.value for sample in back.come_samples] == [15.0]
    assert "at most so many more" not in "\n".join(back.lines()), "no step comes after"


def test_copies_of_what_would_go_are_counted(tmp_path):
    found = run_steps([gopher(min_words=20), ExactDedup()], rows(), tmp_path / "out", shard_bytes=3000)
    copies = [fate for fate in found.values() if fate.reason == "copy"]
    assert len(copies) == 10
    change = what_if(Curated(tmp_path / "out"), "gopher-quality", 100, rule="few-words")
    assert change.go.documents == 60
    assert change.go_anyway.documents == 10
    assert change.stand_ins == 10
    assert "10 documents were dropped later in favour of these" in "\n".join(change.lines())
    coming = what_if(Curated(tmp_path / "out"), "gopher-quality", 1, rule="few-words")
    assert "unknown is what exact-dedup would say" in "\n".join(coming.lines())


def test_reasons_that_are_no_rules_stay(tmp_path):
    texts = [
        "{ One. Two. Three. Four.",
        "One two three four five. Six.",
        "It is so. It is. It was so. And so on it goes.",
    ]
    found = run_steps(
        [C4(min_line_words=0)], [{"id": f"n{n}", "text": t} for n, t in enumerate(texts)], tmp_path / "out"
    )
    assert [found[f"n{n}"].reason for n in range(3)] == ["braces", "few-sentences", None]
    change = what_if(Curated(tmp_path / "out"), "c4", 0)
    assert (change.come.documents, change.go.documents) == (1, 0)
    assert [one.id for one in change.come_samples] == ["n1"]


@pytest.mark.parametrize(
    ("step", "rule", "message"),
    [
        ("gopher-qualty", "", "no step 'gopher-qualty'; did you mean 'gopher-quality'"),
        ("gopher-quality", "", "several rules; name one of them with --rule: few-words"),
        ("gopher-quality", "few", "no rule 'few'"),
        ("exact-dedup", "", "no threshold; its reasons are: copy"),
        ("read", "", "no threshold"),
    ],
)
def test_what_cannot_be_asked(tmp_path, step, rule, message):
    run_steps([gopher(), ExactDedup()], rows()[:3], tmp_path / "out")
    with pytest.raises(ConfigError, match=message):
        what_if(Curated(tmp_path / "out"), step, 1, rule=rule)


def test_a_document_is_explained_step_by_step(tmp_path):
    run_steps([gopher(min_words=20), ExactDedup()], rows(), tmp_path / "out", shard_bytes=2000)
    run = Curated(tmp_path / "out")
    short = explain(run, "d7")
    assert short[0] == "d7: dropped by 'gopher-quality' for 'few-words'"
    assert short[1] == "  from made/part-0.jsonl, row 7; source made"
    assert "    words 7, at least 20 is kept (few-words) <- decided" in short
    assert not any("exact-dedup" in line for line in short)
    dropped = [name for name in ("d45", "copy-of-d45") if "dropped by 'exact-dedup'" in explain(run, name)[0]]
    assert len(dropped) == 1
    (other,) = {"d45", "copy-of-d45"} - set(dropped)
    assert f"  exact-dedup: drop, copy ({other})" in explain(run, dropped[0])
    assert "    copies 2" in explain(run, other)
    assert explain(run, other)[0] == f"{other}: kept as it was"


def test_a_repeated_id_leads_to_its_new_names(tmp_path):
    run_steps([Sample(share=1.0)], [{"id": "a", "text": t} for t in ("x", "y")], tmp_path / "out")
    run = Curated(tmp_path / "out")
    assert "  read: keep, repeated-id (given as a)" in explain(run, "a~2")
    with pytest.raises(DataError, match="no document 'a~7'; there is a, a~2"):
        explain(run, "a~7")
    with pytest.raises(DataError, match="no document 'other'; ids are in ledger"):
        explain(run, "other")


def test_texts_of_a_crawl_cannot_drive_a_terminal():
    assert shortened("a\x1b[31mred\x07\n\tb") == "a�[31mred� b"
    assert shortened("x" * 200) == "x" * 99 + "…"


def test_limits_in_words():
    assert limit_text(Rule(reason="r", measure="m", at_least=50)) == "at least 50"
    assert limit_text(Rule(reason="r", measure="m", at_least=0.12, open=True)) == "above 0.12"
    assert limit_text(Rule(reason="r", measure="m", at_most=0.3)) == "at most 0.3"
    assert limit_text(Rule(reason="r", measure="m", at_most=0.67, open=True)) == "below 0.67"


def test_a_folder_that_is_no_curation_is_refused(tmp_path):
    with pytest.raises(StoreError, match="holds no finished curation"):
        _ = Curated(tmp_path).steps
