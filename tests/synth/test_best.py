"""The best of a prompt's samples: order, ties by chance, threshold, cut answers, duplicates."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import DataError
from burnish.example import Completion, Example, assistant, user
from burnish.synth.best import Best


def answer(score: float | None, text: str = "", **fields) -> Completion:
    return Completion(messages=(assistant(text or f"answer {score}"),), score=score, **fields)


def example(*completions: Completion, id: str = "p") -> Example:
    return Example(id=id, prompt=(user("Hi"),), completions=completions, columns={"kind": "x"})


def scores(found: list[Example]) -> list[float | None]:
    return [one.completions[0].score for one in found]


def test_the_highest_score_is_kept_with_everything_that_was_sampled():
    best = answer(0.9, token_ids=(5, 6), logps=(-0.1, -0.2), finish="stop", reasons=("fine",), policy_version="v")
    samples = example(answer(0.1), best, answer(0.5))
    (kept,), outcome = Best().of(samples)
    assert (kept.completions, outcome) == ((best,), "kept")
    assert (kept.id, kept.prompt, kept.columns) == (samples.id, samples.prompt, samples.columns)


def test_more_are_kept_best_first_under_names_of_their_own():
    found, _ = Best(keep=2).of(example(answer(0.1), answer(0.9), answer(0.5)))
    assert [(one.id, one.completions[0].score) for one in found] == [("p", 0.9), ("p/2", 0.5)]
    assert len(Best(keep=9).of(example(answer(0.1), answer(0.9)))[0]) == 2


def test_the_same_answer_is_kept_once():
    found, _ = Best(keep=3).of(example(answer(1.0, "a"), answer(1.0, "a"), answer(0.5, "a"), answer(0.2, "b")))
    assert [one.completions[0].text for one in found] == ["a", "b"]
    assert scores(found) == [1.0, 0.2]


def test_a_threshold_drops_prompts_and_answers_below_it():
    samples = example(answer(0.2), answer(0.7), answer(0.9))
    assert scores(Best(keep=3, at_least=0.7).of(samples)[0]) == [0.9, 0.7]
    assert Best(at_least=0.95).of(samples) == ([], "below")
    assert scores(Best(at_least=0.0).of(example(answer(0.0)))[0]) == [0.0]


def test_a_cut_answer_is_passed_over_unless_allowed():
    samples = example(answer(0.9, finish="length"), answer(0.5, finish="stop"), answer(0.7))
    assert scores(Best().of(samples)[0]) == [0.7]
    assert scores(Best(allow_cut=True).of(samples)[0]) == [0.9]
    cut = example(answer(0.9, finish="length"), answer(0.1))
    assert Best(at_least=0.5).of(cut) == ([], "cut")
    assert Best(at_least=0.95).of(cut) == ([], "below")
    keys = [Best().key(completion, completion.score or 0.0) for completion in samples.completions]
    assert sorted(keys)[-1] == keys[2]
    allowed = [Best(allow_cut=True).key(completion, completion.score or 0.0) for completion in samples.completions]
    assert max(allowed) == allowed[0]


def test_chance_decides_between_equals_by_the_seed_and_the_prompt_and_evenly():
    tied = [answer(1.0, name) for name in "abc"]
    by_prompt = Counter(Best().of(example(*tied, id=f"p{i}"))[0][0].completions[0].text for i in range(600))
    by_seed = Counter(Best(seed=i).of(example(*tied))[0][0].completions[0].text for i in range(600))
    for counts in (by_prompt, by_seed):
        assert all(150 < counts[name] < 250 for name in "abc")


def test_a_prompt_without_answers_and_scores_that_are_none_are_told():
    assert Best().of(example()) == ([], "unanswered")
    with pytest.raises(DataError, match=r"example 'p' has 1 completion\(s\) without a score.*burnish grade"):
        Best().of(example(answer(1.0), answer(None)))
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(DataError, match=f"example 'p' has a completion with the score {wrong}"):
            Best().of(example(answer(1.0), answer(wrong)))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["stop", "length"])), min_size=1, max_size=8),
    st.integers(1, 4),
    st.sampled_from([None, 1.0, 2.0]),
    st.booleans(),
)
def test_what_is_kept_is_what_the_key_puts_first(rows, keep, at_least, allow_cut):
    completions = [answer(float(score), f"text {i}", finish=finish) for i, (score, finish) in enumerate(rows)]
    best = Best(keep=keep, at_least=at_least, allow_cut=allow_cut)
    found, outcome = best.of(example(*completions))
    assert best.of(example(*completions)) == (found, outcome)
    usable = [
        float(score)
        for score, finish in rows
        if (allow_cut or finish == "stop") and (at_least is None or score >= at_least)
    ]
    assert scores(found) == sorted(usable, reverse=True)[:keep]
    assert (outcome == "kept") == bool(usable)
    if found and at_least is None:
        first = found[0].completions[0]
        assert best.key(first, first.score) == max(best.key(c, c.score) for c in completions)
