"""Learned rewards: how ensembles combine, and what the grader says of scores that are no scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.config import load
from burnish.errors import ConfigError, GraderError
from burnish.example import WORKED
from burnish.graders.learned import Combination, RewardGrader, combined, deviation
from burnish.graders.registry import verdict
from burnish.protocols import Answer, Grader

CHOSEN, REJECTED = WORKED.completions
CAUTIOUS = Combination(kind="mean_minus_spread", spread=2.0)
SCORES = st.lists(st.floats(-50, 50), min_size=1, max_size=6)


def lengths(answers: Sequence[Answer]) -> list[list[float]]:
    """Two members: one scores by length, the other against it."""
    return [[float(len(completion.text)), -float(len(completion.text))] for _, completion in answers]


def test_the_worked_numbers():
    """Scores 1, 3, 8: mean 4, minimum 1, deviation sqrt((9 + 1 + 16) / 3) = 2.943920."""
    scores = (1.0, 3.0, 8.0)
    assert combined(scores, Combination()) == 4.0
    assert combined(scores, Combination(kind="minimum")) == 1.0
    assert deviation(scores) == pytest.approx(2.943920, abs=1e-6)
    assert combined(scores, CAUTIOUS) == pytest.approx(4 - 2 * 2.943920, abs=1e-5)


@given(SCORES, st.randoms())
def test_members_have_no_order_and_agreement_costs_nothing(scores: list[float], random):
    mixed = random.sample(scores, len(scores))
    for how in (Combination(), Combination(kind="minimum"), CAUTIOUS):
        assert combined(mixed, how) == pytest.approx(combined(scores, how))
        assert combined([scores[0]] * 4, how) == pytest.approx(scores[0])
        assert combined(scores, how) <= combined(scores, Combination()) + 1e-9


def test_no_spread_is_the_mean():
    assert combined((1.0, 5.0), Combination(kind="mean_minus_spread", spread=0.0)) == 3.0


def test_no_members_give_no_score():
    with pytest.raises(ValueError, match="without members"):
        combined((), Combination())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "mean_minus_spread"}, "needs a spread"),
        ({"kind": "minimum", "spread": 1.0}, "only mean_minus_spread reads it"),
        ({"spread": 0.5}, "only mean_minus_spread reads it"),
        ({"kind": "mean_minus_spread", "spread": -1}, "spread"),
        ({"kind": "median"}, "median"),
    ],
)
def test_settings_that_say_nothing_are_refused(given: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        load(Combination, given)


def test_an_ensemble_as_a_grader():
    grader: Grader = RewardGrader(lengths, CAUTIOUS)
    grade = verdict(grader, WORKED, CHOSEN)
    assert grade.score == pytest.approx(-2.0 * len("an opal."))
    assert grade.parts == {"head-0": 8.0, "head-1": -8.0, "spread": 8.0}


def test_a_single_reward_model_as_a_grader():
    grader = RewardGrader(lambda answers: [[float(len(c.text))] for _, c in answers])
    grade = grader.grade(WORKED, CHOSEN)
    assert (grade.score, dict(grade.parts)) == (8.0, {})


def test_many_answers_are_scored_together():
    calls = []

    def score(answers: Sequence[Answer]) -> list[list[float]]:
        calls.append(len(answers))
        return lengths(answers)

    grader = RewardGrader(score, Combination(kind="minimum"))
    grades = grader.grades([(WORKED, CHOSEN), (WORKED, REJECTED)])
    assert calls == [2]
    assert grades == [grader.grade(WORKED, CHOSEN), grader.grade(WORKED, REJECTED)]


@pytest.mark.parametrize("row", [[], [math.nan], [1.0, math.inf]])
def test_scores_that_are_no_scores_are_refused_by_name(row: list[float]):
    with pytest.raises(GraderError, match="scored an answer to example 'worked' as"):
        RewardGrader(lambda answers: [row for _ in answers]).grade(WORKED, CHOSEN)


def test_every_answer_must_be_scored():
    with pytest.raises(GraderError, match="scores for 0 answers, and 1 were asked"):
        RewardGrader(lambda answers: []).grade(WORKED, CHOSEN)
