"""What a word is, and when a topic is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.graders.words import names_topic, noun_forms, occurrences, pieces, plain, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop, mother-in-law!", ["Don't", "stop", "mother-in-law"]),
        ("1,000 3.5 2 4-5", ["1,000", "3.5", "2", "4-5"]),
        ("a-b-c-d well-known", ["a", "b", "c", "d", "well-known"]),
        ("one—two…three/four_five", ["one", "two", "three", "four", "five"]),
        ("**bold** `code` - * •", ["bold", "code"]),
        ("end.Then", ["end", "Then"]),
        ("caf\u0065\u0301 na\u00efve", ["caf\u00e9", "na\u00efve"]),
        ("it’s ‘quoted’", ["it's", "quoted"]),
        ("", []),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


def test_plain_unifies_marks_and_keeps_text():
    assert plain(" \ufeff“A”\u00a0‘b’\r\nc\u200bd \n") == "\"A\" 'b'\ncd"


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("I like Dogs!", "dogs"),
        ("one dog", "dogs"),
        ("DOGS", "dogs"),
        ("a dog's nose", "dogs"),
        ("the dogs’ noses", "dogs"),
        ("a hot-dog stand", "dogs"),
        ("one library", "libraries"),
        ("a sewing machine", "sewing machines"),
        ("sewing-machines", "sewing machines"),
        ("a sewingmachine", "sewing machines"),
        ("a tea pot", "teapots"),
        ("a mouse", "mice"),
        ("one goose", "geese"),
        ("a firefighter and a wolf", "wolves"),
        ("a sharp knife", "knives"),
        ("fishermen", "fisherman"),
        ("a bus", "buses"),
        ("a potato", "potatoes"),
        ("**bread**", "bread"),
        ("breads of all sorts", "bread"),
        ("the glasses", "glass"),
    ],
)
def test_names_topic(text, topic):
    assert names_topic(text, topic)


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("I like cats", "dogs"),
        ("to be or not to be", "bees"),
        ("dogma and doggedness", "dogs"),
        ("the sewing of machines", "sewing machines"),
        ("a machine", "sewing machines"),
        ("tea and pots", "teapots"),
        ("giants", "ants"),
        ("an", "ants"),
        ("cycling", "bicycles"),
        ("", "dogs"),
        ("a plan", "planes"),
    ],
)
def test_does_not_name_topic(text, topic):
    assert not names_topic(text, topic)


def test_occurrences_are_whole_words_that_do_not_overlap():
    assert occurrences("time, TIME; time-saving but sometimes timely", "time") == 3
    assert occurrences("no no no", "no no") == 1
    assert occurrences("words", "!") == 0


@given(st.from_regex(r"[a-z]{3,10}", fullmatch=True))
def test_a_noun_names_itself_and_its_regular_plural(noun):
    assert noun in noun_forms(noun)
    assert names_topic(f"The {noun.upper()} is here", noun)
    assert names_topic(noun, noun + "s") or noun.endswith("s")


@given(st.text())
def test_words_and_pieces_cover_the_same_letters(text):
    from_words = [piece for word in words(text) for piece in pieces(word)]
    assert "".join(from_words) == "".join(pieces(text))
