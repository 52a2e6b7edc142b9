"""Made-up texts: the same for the same keys, and answers that stand nowhere but in the needle."""

from __future__ import annotations

from itertools import islice

from burnish.synth.haystack import MOST_ANSWERS, haystack, needle


def test_keys_decide():
    assert needle(0, 64, 1, answers=8) == needle(0, 64, 1, answers=8)
    assert len({needle(0, 64, number, answers=8) for number in range(30)}) > 25
    assert list(islice(haystack(0, 1), 20)) == list(islice(haystack(0, 1), 20))
    assert list(islice(haystack(0, 1), 20)) != list(islice(haystack(0, 2), 20))


def test_the_needle_is_its_question_with_the_first_answer():
    for number in range(20):
        one = needle(number, answers=MOST_ANSWERS)
        assert one.sentence == one.question + one.answers[0] + "."
        assert len(set(one.answers)) == MOST_ANSWERS


def test_the_right_answer_is_any_word_as_often():
    firsts = [needle(number, answers=4).answers[0] for number in range(600)]
    assert len(set(firsts)) == MOST_ANSWERS
    assert max(firsts.count(one) for one in set(firsts)) < 60


def test_no_answer_stands_in_a_haystack():
    text = "".join(islice(haystack("all"), 3000))
    assert not any(answer in text for answer in needle(0, answers=MOST_ANSWERS).answers)
