"""The published rules: each by name, with a worked number, and the counting of repetition against plain Python."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data.curate.documents import document_batch
from burnish.data.curate.lines import lines_of, paragraphs_of, repeated
from burnish.data.curate.ngrams import repetition
from burnish.data.curate.steps.c4 import C4, LINES
from burnish.data.curate.steps.fineweb import FineWebQuality
from burnish.data.curate.steps.gopher_quality import GopherQuality
from burnish.data.curate.steps.gopher_repetition import REPEATED, TOP, GopherRepetition
from burnish.data.curate.words import Words, split_words
from tests.data.curate.contract import check_row_step, run_steps

PROSE = (
    "It was the best of times, it was the worst of times, and the people of the town that have seen both were with us. "
    "They walked along the river to see what had become of the old mill, which nobody had used for many winters. "
    "A child asked why the wheel stood still; nobody could answer that, so they went home and lit their lamps."
)


def reason_of(step, text: str) -> str | None:
    return check_row_step(step, [text])[0][2]


def measures_of(step, text: str) -> dict[str, float]:
    row = check_row_step(step, [text])[0]
    return dict(zip(step.measures, row[6:], strict=True))


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (None, PROSE),
        ("few-words", " ".join(PROSE.split()[:49])),
        ("many-words", "the " * 100_001),
        ("short-words", "to be a " * 20),
        ("long-words", "incomprehensible straightforwardness of the straightforwardness " * 20),
        ("hashes", PROSE + " #" * 10),
        ("ellipses", PROSE + " … word..." * 5),
        ("bullet-lines", "\n".join(f"- the wheel of number {n} stood still" for n in range(10))),
        ("ellipsis-lines", PROSE + "\none…\ntwo..."),
        ("wordless", PROSE + " 12345" * 20),
        ("few-stop-words", "der Müller stand neben seinem alten Rad und schwieg " * 8),
    ],
)
def test_gopher_quality_by_rule(reason, text):
    assert reason_of(GopherQuality(), text) == reason


def test_gopher_quality_measures_a_worked_text():
    text = "The #1 end...\n• to 42 and\n"
    assert measures_of(GopherQuality(), text) == {
        "words": 7.0,
        "word_length": (3 + 2 + 6 + 1 + 2 + 2 + 3) / 7,
        "hashes_per_word": 1 / 7,
        "ellipses_per_word": 1 / 7,
        "bullet_lines": 0.5,
        "ellipsis_lines": 0.5,
        "words_with_letter": 4 / 7,
        "stop_words": 3.0,
    }


def test_the_limits_themselves_are_kept():
    assert reason_of(GopherQuality(min_words=7), " ".join(PROSE.split()[:7])) is None
    assert reason_of(GopherQuality(min_words=8), " ".join(PROSE.split()[:7])) == "few-words"


LINE = "The same line of text says the same thing as before, again."
DIFFERENT = [f"{n} {w}" for n, w in enumerate(PROSE.split())]


@pytest.mark.parametrize("number", range(13))
def test_every_rule_on_repetition_has_its_own_limit(number):
    text = "\n".join([PROSE, "", PROSE.replace(".", ".\n"), "", PROSE, "", "ah ah ah ah ah ah ah ah ah ah ah ah"])
    step = GopherRepetition()
    rule = step.rules[number]
    value = measures_of(step, text)[rule.measure]
    assert 0 < value < 1
    open_limits = {"max_top": (1.0,) * 3, "max_repeated": (1.0,) * 6}
    names = ["max_repeated_lines", "max_repeated_paragraphs", "max_repeated_line_chars", "max_repeated_paragraph_chars"]
    open_limits |= dict.fromkeys(names, 1.0)
    assert reason_of(GopherRepetition(**open_limits), text) is None
    for limit, reason in ((value, None), (value - 1e-9, rule.reason)):
        limits = dict(open_limits)
        if number < 4:
            limits[names[number]] = limit
        else:
            name, place = ("max_top", number - 4) if number < 7 else ("max_repeated", number - 7)
            limits[name] = tuple(limit if n == place else 1.0 for n in range(len(limits[name])))
        assert reason_of(GopherRepetition(**limits), text) == reason


def plain_repetition(words: list[str]) -> dict[str, float]:
    """The same measures, counted one n-gram after the other."""
    total = sum(map(len, words)) or 1
    found = {}
    for size in range(2, 11):
        grams = [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
        counts = Counter(grams)
        most = max(counts.values(), default=0)
        if size in TOP:
            longest = max((len("".join(gram)) for gram, count in counts.items() if count == most), default=0)
            found[f"top{size}"] = min(most * longest / total, 1.0) if most > 1 else 0.0
        if size in REPEATED:
            seen, covered = set(), set()
            for place, gram in enumerate(grams):
                if gram in seen:
                    covered.update(range(place, place + size))
                seen.add(gram)
            found[f"repeated{size}"] = sum(len(words[place]) for place in covered) / total
    return found


@given(st.lists(st.lists(st.sampled_from(["a", "b", "cc", "dddd"]), max_size=40), min_size=1, max_size=5))
def test_repetition_is_that_of_plain_counting(texts):
    found = repetition(Words(texts), top=TOP, repeated=REPEATED)
    for row, words in enumerate(texts):
        for name, value in plain_repetition(words).items():
            size = int(name.removeprefix("top").removeprefix("repeated"))
            mine = found.top[size] if name.startswith("top") else found.repeated[size]
            assert mine[row] == pytest.approx(value), (name, words)


def test_a_text_that_is_said_twice_scores_one_half():
    words = [f"w{n}" for n in range(100, 200)]
    found = repetition(Words([words * 2]), top=(2,), repeated=(10,))
    assert found.repeated[10][0] == pytest.approx(0.5)
    assert repeated(["a", "b", "a", "b"]) == (2, 2)
    assert repeated(["a", "b"]) == (0, 0)


def test_lines_and_paragraphs():
    assert lines_of(" a \n\n\t\nb\r\n") == ["a", "b"]
    assert paragraphs_of("a\nb\n \n\nc\n") == ["a\nb", "c"]


SENTENCES = "This line has a few words in it. So has the next one, which is longer!\nAnd is this the third line?"


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("A line that does not end", "unended-line"),
        ("A line that trails off and never ends...", "unended-line"),
        ("Too few words.", "short-line"),
        ("Please enable JavaScript to see this page.", "javascript-line"),
        ("By reading on you accept our Terms of Use.", "policy-line"),
        ("This site uses cookies to look after you.", "policy-line"),
        (f"A line with one long {'w' * 1001} in it.", "long-word-line"),
    ],
)
def test_c4_takes_lines_out(line, rule):
    step = C4()
    text = SENTENCES.replace("\n", f"\n{line}\n")
    row = check_row_step(step, [text])[0]
    assert row[1:4] == (False, "cleaned", SENTENCES)
    gone = dict(zip(step.measures, row[6:], strict=True))
    assert gone == {"sentences": 3.0, **dict.fromkeys(LINES, 0.0), rule: 1.0}


def test_c4_drops_pages():
    assert reason_of(C4(), SENTENCES) is None
    assert reason_of(C4(), SENTENCES + "\nif (a) { b; }") == "braces"
    assert reason_of(C4(), SENTENCES + "\nLorem IPSUM dolor sit amet consectetur.") == "lorem-ipsum"
    assert reason_of(C4(), "One sentence of five words. A second one is here, too.") == "few-sentences"
    assert reason_of(C4(min_sentences=2), "One sentence of five words. A second one is here, too.") is None
    assert reason_of(C4(braces=False), SENTENCES + " Write {x} in the box.") is None


def test_c4_keeps_paragraphs_and_takes_citations_out():
    text = "This is said by some of them.[1] And by others.[citation needed]\n\n\nBack\n\nThis is the end of it all."
    row = check_row_step(C4(), [text])[0]
    assert row[3] == "This is said by some of them. And by others.\n\nThis is the end of it all."
    assert check_row_step(C4(citations=False, min_line_words=0, terminal_punctuation=False), [text])[0][3] is None
    spaced = "Nothing goes out of this text here.\n\n\n\nNot even its many blank lines. Is that so?"
    assert check_row_step(C4(), [spaced])[0][3] is None


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (None, PROSE.replace(". ", ".\n")),
        ("unpunctuated-lines", "\n".join(["a line of more than thirty characters here"] * 1 + DIFFERENT[:9])),
        ("repeated-line-chars", "\n".join([LINE, LINE, *PROSE.split(". ")]) + "."),
        ("short-lines", "\n".join(["Short one."] + [f"{n}." for n in range(9)] + [LINE])),
    ],
)
def test_fineweb_by_rule(reason, text):
    assert reason_of(FineWebQuality(), text) == reason


def test_fineweb_drops_at_the_limit_itself():
    lines = [f"line number {n} is long enough not to be short{'.' if n < 12 else ''}" for n in range(100)]
    assert measures_of(FineWebQuality(), "\n".join(lines))["punctuated_lines"] == 0.12
    assert reason_of(FineWebQuality(), "\n".join(lines)) == "unpunctuated-lines"
    lines[12] += "."
    assert reason_of(FineWebQuality(), "\n".join(lines)) is None


HOSTILE = {
    "spaces": " " * 1_000_000,
    "breaks": "\n" * 1_000_000,
    "breaks and spaces": ("\n" + " " * 999) * 1000,
    "brackets": "[" * 500_000 + "1" * 500_000,
    "citations": "[12345" * 150_000,
    "dots": "." * 1_000_000,
    "one word": "a" * 1_000_000,
    "same word": "a " * 500_000,
    "quotes": '."' * 500_000,
    "marks": "!?" * 500_000,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("step", [GopherQuality(), GopherRepetition(), C4(), FineWebQuality()], ids=lambda s: s.kind)
def test_hostile_text_of_a_megabyte_takes_bounded_time(step, name):
    start = time.process_time()
    step.decide(document_batch(["x"], [HOSTILE[name]]))
    assert time.process_time() - start < 5


@given(st.lists(st.text(max_size=60), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_no_text_breaks_a_rule(texts):
    for step in (GopherQuality(min_words=0), GopherRepetition(), C4(), FineWebQuality()):
        check_row_step(step, texts)


def test_the_rules_run_as_one_pass_and_each_has_its_ledger(tmp_path):
    rows = [{"id": str(n), "text": text} for n, text in enumerate([PROSE, "short", PROSE + "\nBack", PROSE * 2])]
    steps = [GopherQuality(), GopherRepetition(), C4(), FineWebQuality()]
    found = run_steps(steps, rows, tmp_path / "out")
    assert {name: fate.step for name, fate in found.items()} == {
        "0": None,
        "1": "gopher-quality",
        "2": None,
        "3": "gopher-repetition",
    }
    assert found["2"].fate == "edit"
    assert found["2"].text == PROSE
    assert found["2"].steps["fineweb-quality"]["bytes"] == len(PROSE)
    assert found["3"].reason == "top-2-gram" or found["3"].reason.startswith("repeated")


def test_words_are_made_once_and_carried_on():
    documents = document_batch(["a", "b", "c"], ["x y", "z", "x x"])
    assert documents.words.codes.tolist() == [0, 1, 2, 0, 0]
    some = documents.taken(np.array([2, 0]))
    assert [some.words.different[code] for code in some.words.codes] == ["x", "x", "x", "y"]
    assert some.words.hashes.tolist() == Words([["x", "x"], ["x", "y"]]).hashes.tolist()
    assert some.words.sums(some.words.lengths).tolist() == [2.0, 2.0]
    assert some.taken(np.array([], dtype=int)).words.codes.tolist() == []
    left = documents.edited({2: "new one"}).taken(np.array([0, 2]))
    assert left.words.split[0] is documents.words.split[0]
    assert left.words.split[1] == ["new", "one"]
    assert left.words.starts.tolist() == [0, 2, 4]
    assert np.array_equal(Words([["y"]]).hashes, documents.words.hashes[1:2])
    assert split_words(" a\tb\u00a0c ") == ["a", "b", "c"]
