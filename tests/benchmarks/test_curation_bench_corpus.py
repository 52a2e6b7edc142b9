"""The corpus of the data engine's benchmarks: what is planted, how alike it truly is, and the same bytes again."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations

import pytest

from benchmarks.curation.corpus import made, planted_in
from benchmarks.curation.sentences import sentences_of
from burnish.errors import DataError
from tests.benchmarks.curation_corpus import SIZE, plain_jaccard, write_topics


def test_as_many_are_planted_as_were_asked_for(corpus, texts):
    kinds = [one.kind for one in planted_in(corpus)]
    assert (len(texts), kinds.count("copy"), kinds.count("near")) == (500, 100, 50)
    assert len(set(texts.values())) == 400
    assert len(sorted((corpus / "documents").glob("*.jsonl"))) == 4


def test_copies_are_exact_and_the_jaccard_of_near_copies_is_true(corpus, texts):
    assert all(text.isascii() for text in texts.values())
    for one in planted_in(corpus):
        if one.kind == "copy":
            assert texts[one.id] == texts[one.of]
            assert one.jaccard == 1.0
        else:
            assert one.jaccard == pytest.approx(plain_jaccard(texts[one.id], texts[one.of]), abs=1e-12)


def test_near_copies_lie_on_both_sides_of_the_limit_and_each_has_an_original_of_its_own(corpus):
    near = [one for one in planted_in(corpus) if one.kind == "near"]
    above = sum(one.jaccard >= 0.8 for one in near)
    assert 0.3 * len(near) < above < 0.8 * len(near)
    assert all(0.5 < one.jaccard < 1 for one in near)
    assert len({one.of for one in near}) == len(near)


def test_what_was_not_planted_is_not_alike(corpus, texts):
    planted = {one.id for one in planted_in(corpus)}
    originals = [text for name, text in texts.items() if name not in planted]
    assert len(originals) == 350
    assert max(plain_jaccard(one, other) for one, other in combinations(originals, 2)) < 0.4


def test_the_same_settings_give_the_same_bytes_and_another_seed_others(corpus, tmp_path):
    sentences = sentences_of(write_topics(tmp_path / "topics"))
    made(tmp_path / "again", SIZE, sentences)
    made(tmp_path / "other", replace(SIZE, seed=1), sentences)
    files = {path.relative_to(corpus): path.read_bytes() for path in corpus.rglob("*") if path.is_file()}
    assert len(files) == 7
    assert files == {name: (tmp_path / "again" / name).read_bytes() for name in files}
    part = "documents/part-00.jsonl"
    assert (tmp_path / "other" / part).read_bytes() != (corpus / part).read_bytes()


def test_a_corpus_that_is_there_is_not_made_again_and_another_one_is(corpus, tmp_path):
    sentences = sentences_of(write_topics(tmp_path / "topics"))
    folder = tmp_path / "corpus"
    small = replace(SIZE, documents=20)
    made(folder, small, sentences)
    (folder / "documents" / "part-00.jsonl").unlink()
    made(folder, small, sentences)
    assert not (folder / "documents" / "part-00.jsonl").exists()
    assert made(folder, replace(small, seed=2), sentences)["documents"] == 20
    assert (folder / "documents" / "part-00.jsonl").exists()


def test_too_few_sentences_are_refused(tmp_path):
    rows = [{"text": "One sentence of eight words stands here alone."}, {"text": "x = {1: 2}"}]
    (tmp_path / "few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match="has 1 sentences in 1 files of text; a corpus needs 1000"):
        sentences_of(tmp_path)
