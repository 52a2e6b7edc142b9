"""The language step: what is kept, what is refused, and real texts."""

from __future__ import annotations

import json

import pytest

from burnish.config import load
from burnish.data.curate.documents import document_batch
from burnish.data.curate.steps.language import Language
from burnish.errors import ConfigError, MissingExtra
from tests.data.curate.contract import check_row_step, run_steps

ENGLISH = "The dog runs through the garden and barks at the birds that sit in the old tree."
GERMAN = "Der Hund läuft durch den Garten und bellt die Vögel an, die im alten Baum sitzen."
CHINESE = "我们今天去公园散步, 天气很好, 孩子们都很高兴。"
NUMBERS = "3.14 2.71 1.41 42 17 0 0 1 9 8 7"


def test_languages_are_kept_and_the_likeliest_is_noted():
    rows = check_row_step(Language(), [ENGLISH, GERMAN, CHINESE, NUMBERS, "", ENGLISH.upper()])
    assert [row[2] for row in rows] == [None, *["other-language"] * 4, None]
    assert [row[4].split()[0] for row in rows[:4]] == ["en", "de", "zh", "zxx"]
    both = check_row_step(Language(keep=("en", "de", "en")), [ENGLISH, GERMAN, CHINESE])
    assert [row[1] for row in both] == [False, False, True]
    assert all(row[5] == row[6] <= 1 for row in both), "the score is the probability"


def test_probabilities_of_the_languages_to_keep_are_added():
    step = Language(keep=("da", "no"), min_probability=0.6)
    guesses = {"a": {"da": 0.4, "no": 0.3, "sv": 0.3}, "b": {"da": 0.5, "sv": 0.5}, "c": {"da": 0.6, "sv": 0.4}}
    decisions = step.decided(document_batch(list("abc"), list("abc")), guesses.__getitem__)
    assert decisions.measures["probability"].tolist() == [0.7, 0.5, 0.6]
    assert decisions.dropped.tolist() == [False, True, False], "the limit itself passes"
    assert decisions.notes == {0: "da 0.40", 1: "da 0.50", 2: "da 0.60"}


def test_only_the_beginning_is_looked_at():
    mixed = ENGLISH + " " + GERMAN * 20
    assert [row[1] for row in check_row_step(Language(max_characters=80), [mixed])] == [False]
    assert [row[1] for row in check_row_step(Language(), [mixed])] == [True]


def test_unknown_languages_and_a_missing_package_are_refused(monkeypatch):
    with pytest.raises(ConfigError, match="no language 'english' is known"):
        Language(keep=("english", "de")).check()
    Language(keep=("en", "de")).check()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"burnish\[data\]"):
        Language().check()
    assert Language().code() == ()
    with pytest.raises(ConfigError, match="keep"):
        load(Language, {"kind": "language", "keep": []})


def test_a_run_records_the_probability(tmp_path):
    found = run_steps([Language()], [{"id": "e", "text": ENGLISH}, {"id": "g", "text": GERMAN}], tmp_path / "out")
    assert (found["e"].fate, found["g"].reason) == ("keep", "other-language")
    assert found["g"].steps["language"]["score"] < 0.01 < 0.9 < found["e"].steps["language"]["score"]


def test_english_web_text_is_kept(real):
    lines = (real / "text" / "c4_300.jsonl").read_text(encoding="utf-8").splitlines()[:60]
    rows = check_row_step(Language(max_characters=400), [json.loads(line)["text"] for line in lines])
    assert sum(not row[1] for row in rows) >= 57
