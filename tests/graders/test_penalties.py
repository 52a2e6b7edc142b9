"""Penalties on length and repetition: worked numbers, ends, and what cannot be counted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.config import load
from burnish.errors import ConfigError, GraderError
from burnish.example import WORKED, Completion, assistant
from burnish.graders.penalties import LengthPenalty, RepetitionPenalty, repeated_share
from burnish.protocols import Grade

PENALTY = LengthPenalty(free=16384, limit=20480)
"""The lengths of the paper."""


def of_length(tokens: int) -> Completion:
    return Completion(messages=(assistant("a"),), token_ids=(7,) * tokens)


def said(text: str, penalty: LengthPenalty | RepetitionPenalty) -> Grade:
    return penalty.grade(WORKED, Completion(messages=(assistant(text),)))


@pytest.mark.parametrize(
    ("tokens", "score"), [(0, 0), (16384, 0), (16385, -1 / 4096), (18432, -0.5), (20480, -1), (20481, -1), (99999, -1)]
)
def test_the_length_penalty_of_dapo(tokens: int, score: float):
    """Equation 13 with L_max 20480 and L_cache 4096: halfway through the cache it is -1/2."""
    grade = PENALTY.grade(WORKED, of_length(tokens))
    assert grade.score == pytest.approx(score, abs=1e-12)
    assert grade.parts == {"tokens": tokens}
    assert bool(grade.reasons) == (score < 0)


@given(st.integers(0, 50), st.integers(1, 50), st.lists(st.integers(0, 200), min_size=2, max_size=2))
def test_longer_is_never_cheaper(free: int, more: int, lengths: list[int]):
    penalty = LengthPenalty(free=free, limit=free + more)
    short, long = (penalty.grade(WORKED, of_length(length)).score for length in sorted(lengths))
    assert -1 <= long <= short <= 0


def test_words_are_counted_where_that_is_asked_for():
    penalty = LengthPenalty(free=2, limit=4, unit="words")
    assert [said("a " * count, penalty).score for count in (0, 2, 3, 4, 5)] == [0, 0, -0.5, -1, -1]


def test_tokens_cannot_be_counted_in_a_text():
    with pytest.raises(GraderError, match=r"example 'worked' has no token ids.*unit: words"):
        said("some text", PENALTY)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"free": 4, "limit": 4}, "must be below the limit"), ({"free": -1}, "free"), ({"unit": "letters"}, "unit")],
)
def test_lengths_that_say_nothing_are_refused(values: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        load(LengthPenalty, values)


def test_the_share_of_repeated_n_grams():
    """Of the five pairs in "a b a b a b", two are distinct: 1 - 2/5."""
    assert repeated_share("ababab", 2) == pytest.approx(3 / 5)
    assert repeated_share("aaaa", 1) == pytest.approx(3 / 4)
    assert repeated_share("abcd", 2) == 0
    assert repeated_share("ab", 3) == repeated_share("", 1) == 0


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 4))
def test_the_share_is_the_number_of_grams_seen_before(items: list[int], size: int):
    grams = [tuple(items[i : i + size]) for i in range(len(items) - size + 1)]
    before = sum(gram in grams[:place] for place, gram in enumerate(grams))
    assert repeated_share(items, size) == pytest.approx(before / len(grams) if grams else 0.0)


def test_the_repetition_penalty_beyond_what_is_tolerated():
    penalty = RepetitionPenalty(size=2, tolerated=0.2)
    grade = said("Go on, go on, go on!", penalty)  # pairs: go on, on go, go on, on go, go on
    assert grade.score == pytest.approx(-(0.6 - 0.2) / 0.8)
    assert grade.parts == {"repeated": pytest.approx(0.6)}
    assert grade.reasons == ("60% of the 2-grams are repeated",)
    assert said("Nothing here is said twice.", penalty).score == 0
    assert said("", penalty).score == 0
    assert said("go " * 500, penalty).score == pytest.approx(-1, abs=0.01)
