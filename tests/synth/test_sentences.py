"""Sentences that a model's answer offers for use: whole, about the subject, and said once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.graders.words import words
from burnish.synth.sentences import LONGEST, SHORTEST, usable_sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dogs like to bark. They also run very", ["Dogs like to bark."]),
        ("Dogs bark at Mr. Smith. Do you think so?", ["Dogs bark at Mr. Smith.", "Do you think so?"]),
        ("However, dogs like to bark.", ["Dogs like to bark."]),
        ("In fact, overall, dogs like to bark.", ["Dogs like to bark."]),
        ("dogs like to bark. they sleep all day.", ["Dogs like to bark.", "They sleep all day."]),
        ("DOGS LIKE TO BARK. THEY SLEEP ALL DAY.", ["Dogs like to bark.", "They sleep all day."]),
        ("- Dogs like to bark.\n* **They** sleep all day.", ["Dogs like to bark.", "They sleep all day."]),
        ("1. Loyalty: Dogs stay with you.\n2) Dogs like to bark.", ["Dogs stay with you.", "Dogs like to bark."]),
        ("- Dogs like to bark all night\n- They sleep all day lo", ["Dogs like to bark all night."]),
        ("Dogs like to bark. Dogs like to bark!", ["Dogs like to bark."]),
        ("# Dogs\n\nDogs like to bark.", ["Dogs like to bark."]),
        (
            '{"fact": "Dogs like to bark.", "why": "They guard the house."}',
            ["Dogs like to bark.", "They guard the house."],
        ),
        ('"Dogs like to bark. They sleep all day."', ["Dogs like to bark.", "They sleep all day."]),
        ("Sure! Here is a list of dogs. Dogs like to bark.", ["Dogs like to bark."]),
        ("As an AI, I have no dogs. Dogs like to bark.", ["Dogs like to bark."]),
        ("This answer has no commas at all. Dogs like to bark.", ["Dogs like to bark."]),
        ("Dogs bark and bark and bark and bark and bark.", []),
        ("```python\nprint(dogs)\n```", []),
        ("Dogs bark... sometimes they do {not} bark.", []),
        ("Dogs bark.", []),
        ("", []),
        ("\n \n", []),
        ("A dog (or a wolf barks at night.", []),
    ],
)
def test_usable_sentences(text, expected):
    assert usable_sentences(text) == expected


def test_the_prompt_given_back_is_not_used():
    prompt = "What should a beginner know about dogs?"
    assert usable_sentences(f"{prompt} Dogs like to bark.", prompt=prompt) == ["Dogs like to bark."]


@given(st.text(alphabet=st.sampled_from("Dd og.!?\n-*\"'(){}:,;1é#I")))
def test_sentences_are_whole_and_said_once(text):
    sentences = usable_sentences(text)
    assert len(set(sentences)) == len(sentences)
    for sentence in sentences:
        assert SHORTEST <= len(words(sentence)) <= LONGEST
        assert sentence.rstrip("\"')")[-1] in ".!?"
        assert not sentence[0].islower()
        assert "\n" not in sentence
