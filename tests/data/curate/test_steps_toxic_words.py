"""Listed words: whole words and fragments, counts, shares, and lists that cannot be read."""

from __future__ import annotations

import gzip

import pytest

from burnish.config import load
from burnish.data.curate.steps.toxic_words import ToxicWords
from burnish.errors import ConfigError, DataError
from tests.data.curate.contract import check_row_step, run_steps


@pytest.fixture
def words(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("# made up\nGrumble\n\nbad egg  # a phrase\n  snorkel\nb-word\nc#\nsnorkel\n", encoding="utf-8")
    return str(path)


def listed(step, text):
    ((_, _, reason, _, note, _, count, share),) = check_row_step(step, [text])
    return reason, note, count, share


@pytest.mark.parametrize(
    ("text", "count", "note"),
    [
        ("Nothing to see here.", 0, None),
        ("A GRUMBLE, said he.", 1, "grumble (1)"),
        ("grumbles and ungrumbled", 0, None),
        ("The bad--egg; bad: egg! bad and egg", 2, "bad egg (2)"),
        ("snorkel snorkel grumble", 3, "snorkel (2), grumble (1)"),
        ("a B word or a b-word", 2, "b word (2)"),
        ("the letter c", 1, "c (1)"),
        ("", 0, None),
    ],
)
def test_whole_words_and_phrases_are_counted(words, text, count, note):
    reason, said, found, _ = listed(ToxicWords(lists=(words,)), text)
    assert (found, said) == (count, note)
    assert reason == ("listed-words" if count else None)


def test_fragments_are_found_anywhere(words, tmp_path):
    assert listed(ToxicWords(lists=(words,), whole_words=False), "ungrumbled snorkels")[2] == 2
    path = tmp_path / "zh.txt"
    path.write_text("坏话\n", encoding="utf-8")
    for whole in (True, False):  # no spaces say where a word begins
        step = ToxicWords(lists=(str(path),), whole_words=whole)
        assert listed(step, "他说了坏话吗")[1:] == ("坏话 (1)", 1, 1 / 6)
        assert listed(step, "他说了话坏吗")[2] == 0


def test_the_share_is_per_word_and_both_limits_hold(words):
    step = ToxicWords(lists=(words,), max_listed=2, max_share=0.25)
    assert listed(step, "a grumble in five words")[0] is None
    assert listed(step, "grumble of three")[::3] == ("listed-share", 1 / 3)
    assert listed(step, "grumble " * 3 + "x " * 50)[0] == "listed-words"
    assert listed(ToxicWords(lists=(words,), max_listed=None, max_share=0.5), "grumble " * 3 + "x " * 3)[0] is None


def test_a_note_names_the_most_frequent(tmp_path):
    path = tmp_path / "many.txt"
    path.write_text("\n".join(f"w{n}" for n in range(8)))
    _, note, _, _ = listed(ToxicWords(lists=(str(path),)), "w7 w7 " + " ".join(f"w{n}" for n in range(7)))
    assert note == "w7 (2), w0 (1), w1 (1), w2 (1), w3 (1) and 3 more"


def test_lists_are_read_packed_and_their_content_is_in_the_ledger(tmp_path):
    path = tmp_path / "words.txt.gz"
    path.write_bytes(gzip.compress("\ufeffgrumble\n".encode()))
    rows = [{"id": "bad", "text": "He may grumble."}, {"id": "good", "text": "He may sing."}]
    found = run_steps([ToxicWords(lists=(str(path),))], rows, tmp_path / "out")
    assert (found["bad"].reason, found["good"].fate) == ("listed-words", "keep")
    assert found["bad"].steps["toxic-words"]["note"] == "grumble (1)"


def test_lists_that_cannot_be_used_are_refused_with_their_line(tmp_path):
    path = tmp_path / "words.txt"
    with pytest.raises(DataError, match="no such file"):
        ToxicWords(lists=(str(path),)).check()
    for content, message in (
        (b"# nothing\n", "is empty"),
        (b"fine\n\xff\n", "not UTF-8"),
        (b"fine\n!!\n", r"words.txt, line 2: '!!' has no letter"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            ToxicWords(lists=(str(path),)).check()
    with pytest.raises(ConfigError, match="nothing would be dropped"):
        load(ToxicWords, {"lists": [str(path)], "max_listed": None})
