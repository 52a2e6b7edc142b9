"""Preference pairs: highest against lowest, ties skipped, lengths balanced, cut answers kept from winning."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import DataError
from burnish.example import Completion, Example, assistant
from burnish.synth.preferences import FLIPPED, Pairing, flipped, paired


def _example(*completions, id="p"):
    return Example(id=id, completions=completions)


def _completion(score, text="", **fields):
    """An answer; without a text of its own it has three words, of which one tells its score."""
    said = text or f"one two {score}".replace(".", "")
    return Completion(messages=(assistant(said),), score=score, **fields)


def test_the_highest_score_is_paired_with_the_lowest():
    low, middle, high = (_completion(score) for score in (0.1, 0.5, 0.9))
    (pair,) = Pairing().pairs(_example(middle, low, high))
    assert [(c.score, c.rank) for c in pair.completions] == [(0.9, 0), (0.1, 1)]
    assert pair.id == "p"


def test_token_ids_and_log_probs_come_along():
    sampled = _completion(1.0, token_ids=(5, 6), logps=(-0.1, -0.2), finish="stop", reasons=("fine",))
    (pair,) = Pairing().pairs(_example(sampled, _completion(0.0)))
    chosen = pair.completions[0]
    assert (chosen.token_ids, chosen.logps, chosen.reasons) == ((5, 6), (-0.1, -0.2), ("fine",))


def test_among_equal_gaps_the_most_similar_lengths_win():
    long, short = "w " * 40, "w " * 8
    example = _example(
        _completion(0.0, long), _completion(0.0, short), _completion(1.0, "w " * 9), _completion(1.0, "w " * 20)
    )
    (pair,) = Pairing(seed=3).pairs(example)
    assert [len(c.text.split()) for c in pair.completions] == [9, 8]
    chances = {
        tuple(len(c.text.split()) for c in Pairing(balance_length=False, seed=s).pairs(example)[0].completions)
        for s in range(40)
    }
    assert len(chances) == 4


def test_length_is_counted_in_tokens_where_both_have_them():
    near, far = _completion(0.0, "w " * 30, token_ids=(1, 2, 3)), _completion(0.0, "w", token_ids=tuple(range(30)))
    (pair,) = Pairing().pairs(_example(_completion(1.0, "w", token_ids=(1, 2)), far, near))
    assert pair.completions[1].token_ids == (1, 2, 3)


def test_a_better_answer_must_not_be_cut_unless_allowed():
    example = _example(_completion(1.0, finish="length"), _completion(0.0, finish="length"))
    assert Pairing().pairs(example) == []
    assert Pairing().why_none(example) == "cut"
    assert len(Pairing(allow_cut=True).pairs(example)) == 1


def test_ties_and_single_answers_give_no_pair():
    tied, single = _example(_completion(1.0), _completion(1.0)), _example(_completion(1.0))
    assert Pairing().pairs(tied) == Pairing().pairs(single) == []
    assert (Pairing().why_none(tied), Pairing().why_none(single)) == ("tied", "single")


def test_the_same_answer_with_two_scores_gives_no_pair():
    """A judge may score the same text twice differently; training would refuse such a pair."""
    twins = _example(_completion(1.0, "same"), _completion(0.0, "same"))
    assert Pairing().pairs(twins) == []
    assert Pairing().why_none(twins) == "tied"
    (pair,) = Pairing().pairs(_example(*twins.completions, _completion(0.5, "other")))
    assert {c.text for c in pair.completions} == {"same", "other"}


def test_a_score_that_is_not_finite_is_named():
    with pytest.raises(DataError, match="example 'p' has a completion with the score nan; expected finite numbers"):
        Pairing().pairs(_example(_completion(1.0), _completion(float("nan"))))


def test_an_answer_stands_in_one_pair_and_ids_stay_unique():
    example = _example(*(_completion(float(i % 2), f"text {i}") for i in range(6)))
    pairs = Pairing(pairs_per_prompt=9).pairs(example)
    texts = [completion.text for pair in pairs for completion in pair.completions]
    assert sorted(texts) == [f"text {i}" for i in range(6)]
    assert [pair.id for pair in pairs] == ["p", "p/2", "p/3"]
    assert len(Pairing(pairs_per_prompt=2).pairs(example)) == 2


@given(st.lists(st.integers(0, 3), min_size=2, max_size=8), st.integers(1, 4), st.integers(0, 5), st.booleans())
def test_every_pair_is_ordered_and_the_first_has_the_widest_gap(scores, most, seed, balance):
    example = _example(*(_completion(float(score), "w " * (i + 1)) for i, score in enumerate(scores)))
    pairing = Pairing(pairs_per_prompt=most, seed=seed, balance_length=balance)
    pairs = pairing.pairs(example)
    assert pairs == pairing.pairs(example)
    assert len(pairs) <= most
    assert bool(pairs) == (len(set(scores)) > 1)
    for pair in pairs:
        assert pair.completions[0].score > pair.completions[1].score
    if pairs:
        assert [c.score for c in pairs[0].completions] == [max(scores), min(scores)]


def test_an_ungraded_completion_is_named():
    with pytest.raises(DataError, match=r"example 'p' has 1 completion\(s\) without a score.*burnish grade"):
        Pairing().pairs(_example(_completion(1.0), _completion(None)))


def test_the_answer_against_a_given_one_is_the_worst_of_similar_length():
    example = _example(_completion(0.5, "w " * 9), _completion(0.0, "w " * 30), _completion(0.0, "w " * 12))
    chosen = _completion(1.0, "w " * 10)
    rejected = Pairing().rejected_for(example, chosen)
    assert len(rejected.text.split()) == 12
    assert [c.rank for c in paired(example, chosen, rejected).completions] == [0, 1]


def _pairs(count):
    example = _example(_completion(1.0, "good"), _completion(0.0, "bad"))
    return [Pairing().pairs(replace(example, id=f"p{i}"))[0] for i in range(count)]


def test_a_share_of_pairs_is_turned_round_and_marked_while_scores_stay_with_their_answers():
    pairs = _pairs(2000)
    turned = flipped(pairs, 0.25, seed=1)
    marked = [pair for pair in turned if FLIPPED in pair.columns]
    assert len(marked) == pytest.approx(500, abs=4 * (2000 * 0.25 * 0.75) ** 0.5)
    for pair in marked:
        assert [(c.text, c.rank, c.score) for c in pair.completions] == [("bad", 0, 0.0), ("good", 1, 1.0)]
        assert pair.columns == {FLIPPED: True}
    left = [pair for pair in turned if FLIPPED not in pair.columns]
    assert left == [pair for pair, other in zip(pairs, turned, strict=True) if pair == other]
    assert flipped(pairs, 0.0, seed=1) == pairs


def test_which_pairs_are_turned_depends_on_the_seed_and_on_each_pair_alone():
    pairs = _pairs(400)

    def ids(some, seed):
        return {pair.id for pair in flipped(some, 0.25, seed=seed) if FLIPPED in pair.columns}

    one, other = ids(pairs, 1), ids(pairs, 2)
    assert ids(pairs[::-1], 1) == one
    assert ids(pairs[:100], 1) == {name for name in one if int(name[1:]) < 100}
    shared = len(one & other)  # two annotators err apart: a sixteenth of the pairs in common
    assert shared == pytest.approx(25, abs=4 * 25**0.5)
