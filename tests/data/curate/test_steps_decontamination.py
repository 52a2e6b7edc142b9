"""Overlap with evaluation sets: planted rows, against plain Python, in every form of file."""

from __future__ import annotations

import csv
import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from burnish.data.curate.documents import document_batch
from burnish.data.curate.engine import Curation, curate
from burnish.data.curate.intake import Intake
from burnish.data.curate.phrases import cut_phrases, normal_words, normalised, whole_phrases
from burnish.data.curate.pool import InlinePool
from burnish.data.curate.steps.decontamination import Decontamination
from burnish.errors import ConfigError, DataError
from tests.data.curate.contract import check_row_step, run_steps, write_rows

QUESTION = "A farmer has 17 sheep, and all but 9 run away; how many sheep does the farmer still have?"
CHOICES = ["Nine of them, because all but nine ran away.", "Eight"]
SHARED = 7  # runs of 13 in its 19 words
AROUND = "Yesterday I read this riddle in a book: {} I did not know."


@pytest.fixture
def quiz(tmp_path):
    path = tmp_path / "quiz.jsonl"
    rows = [{"id": "q1", "question": "Too short"}, {"id": "q2", "question": QUESTION, "choices": CHOICES}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def decided(step, texts, folder):
    step.check()
    step.prepare(folder, None)
    return check_row_step(step, texts, folder=folder)


def test_normalised_words():
    assert normalised("The END--of it! Straße ﬁne _x_ ２") == ["the", "end", "of", "it", "strasse", "fine", "x", "2"]


def test_a_planted_row_is_found_and_named(quiz, tmp_path):
    changed = QUESTION.upper().replace(" ", "\n").replace(",", " --")
    cut = " ".join(QUESTION.split()[2:15])
    texts = [AROUND.format(QUESTION), AROUND.format(changed), AROUND.format(cut), AROUND.format("None."), ""]
    rows = decided(Decontamination(sets={"quiz": str(quiz)}), texts, tmp_path)
    words = len(normalised(QUESTION))
    assert [row[2] for row in rows] == ["contaminated"] * 3 + [None] * 2
    assert [row[5] for row in rows] == [words - 12, words - 12, 1, 0, 0]
    assert rows[0][4] == f"quiz, row 2: {words - 12} of {words - 12} shared runs"
    assert rows[3][4] is None


def test_short_texts_are_looked_for_as_a_whole(quiz, tmp_path):
    texts = ["He said: nine of them because all but nine ran away!", "Nine of them, because all but nine ran", "Eight"]
    step = Decontamination(sets={"quiz": str(quiz)})
    assert [row[5] for row in decided(step, texts, tmp_path)] == [1, 0, 0]
    longer = Decontamination(sets={"quiz": str(quiz)}, least=10)
    assert [row[5] for row in decided(longer, texts, tmp_path)] == [0, 0, 0]
    fields = Decontamination(sets={"quiz": str(quiz)}, fields=("question",))
    assert [row[5] for row in decided(fields, [*texts, QUESTION], tmp_path)] == [0, 0, 0, SHARED]


def test_report_drops_nothing_and_the_limit_is_obeyed(quiz, tmp_path):
    twelve = " ".join(QUESTION.split()[:14])
    report = Decontamination(sets={"quiz": str(quiz)}, action="report")
    ((_, dropped, reason, _, note, _, shared),) = decided(report, [QUESTION], tmp_path)
    assert (dropped, reason, shared) == (False, None, SHARED)
    assert note.startswith("quiz, row 2")
    limit = Decontamination(sets={"quiz": str(quiz)}, max_shared=2)
    assert [row[1] for row in decided(limit, [twelve, QUESTION], tmp_path)] == [False, True]


def test_runs_never_cross_from_one_document_into_the_next(quiz, tmp_path):
    words = QUESTION.split()
    step = Decontamination(sets={"quiz": str(quiz)})
    assert [row[5] for row in decided(step, [" ".join(words[:9]), " ".join(words[9:])], tmp_path)] == [0, 0]


@pytest.mark.parametrize("form", ["json", "csv", "parquet", "txt", "folder"])
def test_sets_of_every_form(form, tmp_path):
    path = tmp_path / f"set.{form}"
    if form == "json":
        path.write_text(json.dumps([{"messages": [{"role": "user", "content": QUESTION}]}]))
    elif form == "csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["question", "answer"], [QUESTION, "9"]])
    elif form == "parquet":
        pq.write_table(pa.table({"question": [QUESTION]}), path)
    elif form == "txt":
        path.write_text(QUESTION)
    else:
        (path / "inner").mkdir(parents=True)
        (path / "inner" / "a.jsonl").write_text(json.dumps({"q": QUESTION}) + "\n")
        (path / "inner" / "b.jsonl").write_text(json.dumps({"q": "another one"}) + "\n")
    (row,) = decided(Decontamination(sets={"s": str(path)}), [QUESTION], tmp_path / "prepared")
    assert row[5] == SHARED
    assert row[4].startswith("s, inner/a.jsonl, row 1" if form == "folder" else "s, row ")


def test_sets_that_are_not_there_or_say_nothing_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        Decontamination(sets={"quiz": str(tmp_path / "quiz.jsonl")}).check()
    with pytest.raises(ConfigError, match=r"sets\.quiz: no such file or folder: owner/quiz"):
        Decontamination(sets={"quiz": "owner/quiz"}).check()
    path = tmp_path / "short.jsonl"
    path.write_text('{"q": "too short"}\n')
    with pytest.raises(DataError, match="no text of 8 words"):
        Decontamination(sets={"quiz": str(path)}).prepare(tmp_path, None)
    with pytest.raises(DataError, match="no text in the fields answer"):
        Decontamination(sets={"quiz": str(path)}, fields=("answer",)).prepare(tmp_path, None)


def test_a_whole_run_names_the_set_in_the_ledger(quiz, tmp_path):
    rows = [{"id": "bad", "text": AROUND.format(QUESTION)}, {"id": "good", "text": AROUND.format("Nothing.")}]
    found = run_steps([Decontamination(sets={"quiz": str(quiz)})], rows, tmp_path / "out", files=2, shard_bytes=60)
    assert (found["bad"].reason, found["good"].fate) == ("contaminated", "keep")
    assert found["bad"].steps["decontamination"]["note"].startswith("quiz, row 2")


def test_another_content_of_the_set_is_another_run(quiz, tmp_path):
    inputs = write_rows([{"id": "a", "text": AROUND.format(QUESTION)}, {"id": "b", "text": "kept"}], tmp_path / "in")
    curation = Curation(inputs=inputs, intake=Intake(), steps=(Decontamination(sets={"quiz": str(quiz)}),))
    first = curate(curation, tmp_path / "out", InlinePool(), lambda line: None)
    quiz.write_text(json.dumps({"question": "Which of these many words are not in the text that is looked at here?"}))
    second = curate(curation, tmp_path / "out", InlinePool(), lambda line: None)
    assert first["key"] != second["key"]
    assert [summary["steps"][-1]["left"]["documents"] for summary in (first, second)] == [1, 2]


def test_runs_are_those_of_plain_python():
    rng = random.Random(0)
    alphabet = ["a", "b-c", "d.", "--", "E", "é"]
    texts = [" ".join(rng.choices(alphabet, k=rng.randint(0, 12))) for _ in range(200)]
    listed = [" ".join(rng.choices(alphabet, k=rng.randint(1, 6))) for _ in range(40)]
    words = normal_words(document_batch([str(n) for n in range(200)], texts).words)
    assert words.counts.tolist() == [len(normalised(text)) for text in texts]
    wanted = {tuple(normalised(text)) for text in listed} - {()}
    for phrases in (whole_phrases(listed), cut_phrases(listed, range(40), 99, 1)):
        counts = np.zeros(200)
        for _, found, _ in phrases.found(words):
            counts += np.bincount(found, minlength=200)
        plain = [
            sum(tuple(w[a:b]) in wanted for a in range(len(w)) for b in range(a + 1, len(w) + 1))
            for w in map(normalised, texts)
        ]
        assert counts.tolist() == plain


def test_the_row_that_shares_the_most_is_named(tmp_path):
    path = tmp_path / "two.txt.jsonl"
    path.write_text("".join(json.dumps({"q": text}) + "\n" for text in ("w " * 13, QUESTION, "v " * 13)))
    (row,) = decided(Decontamination(sets={"two": str(path)}), ["w " * 13 + QUESTION + " v" * 14], tmp_path)
    assert row[4] == f"two, row 2: {SHARED} of {SHARED + 3} shared runs"
