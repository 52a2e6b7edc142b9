"""The figures of specialists: worked examples of each metric, and the refusal where a library is missing."""

from __future__ import annotations

import sys

import pytest

from burnish.errors import MissingExtra
from burnish.evals.answers import answer_scores, exact_match, normalised, word_f1
from burnish.evals.classes import class_scores
from burnish.evals.entities import Entity, are_entity_tags, entities, entity_scores
from burnish.evals.generated import generation_scores


def test_accuracy_and_macro_f1_of_a_worked_example():
    found = class_scores(["a", "a", "a", "b"], ["a", "a", "b", "b"])
    assert found["accuracy"] == 0.75
    assert found["classes"]["a"] == {
        "precision": 1.0,
        "recall": pytest.approx(2 / 3),
        "f1": pytest.approx(0.8),
        "count": 3,
    }
    assert found["classes"]["b"]["f1"] == pytest.approx(2 / 3)
    assert found["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert found["majority_accuracy"] == 0.75


def test_a_class_that_is_never_predicted_counts_0_in_macro_f1():
    found = class_scores(["a", "a", "a", "b"], ["a"] * 4)
    assert found["accuracy"] == found["majority_accuracy"] == 0.75
    assert found["macro_f1"] == pytest.approx((6 / 7) / 2)


def test_entities_begin_at_b_and_at_an_i_that_goes_on_with_nothing():
    assert entities(["B-PER", "I-PER", "O", "B-LOC"]) == [Entity("PER", 0, 2), Entity("LOC", 3, 4)]
    assert entities(["B-PER", "B-PER", "I-LOC", "I-LOC"]) == [
        Entity("PER", 0, 1), Entity("PER", 1, 2), Entity("LOC", 2, 4),
    ]  # fmt: skip
    assert entities(["I-PER", "O", "I-PER"]) == [Entity("PER", 0, 1), Entity("PER", 2, 3)]
    assert entities(["O", "O"]) == []
    assert are_entity_tags(["O", "B-X", "I-X"])
    assert not are_entity_tags(["O", "NOUN"])
    assert not are_entity_tags(["O"])


def test_an_entity_is_right_only_as_a_whole():
    truth = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC"]]
    found = entity_scores(truth, [["B-PER", "O", "O", "B-LOC"], ["O"]])
    assert (found["entity_precision"], found["entity_recall"]) == (0.5, pytest.approx(1 / 3))
    assert found["entity_f1"] == pytest.approx(2 * 0.5 / 3 / (0.5 + 1 / 3))
    assert found["types"]["PER"]["f1"] == 0.0
    assert found["types"]["LOC"] == {"f1": pytest.approx(2 / 3), "precision": 1.0, "recall": 0.5, "count": 2}
    assert entity_scores(truth, truth)["entity_f1"] == 1.0
    with pytest.raises(ValueError, match="text 0 has 4 tags and 1 predictions"):
        entity_scores(truth, [["O"], ["O"]])


def test_answers_are_compared_as_squad_does():
    assert normalised("The  Eiffel-Tower, a tower!") == "eiffeltower tower"
    assert exact_match("the Opal.", "opal") == 1.0
    assert word_f1("a red opal stone", "opal stone") == pytest.approx(0.8)
    assert word_f1("gem gem", "gem") == pytest.approx(2 / 3)
    assert (word_f1("", ""), word_f1("gem", ""), word_f1("gem", "ruby")) == (1.0, 0.0, 0.0)


def test_the_best_of_several_answers_counts_and_none_is_right_where_there_is_none():
    found = answer_scores([["ruby", "an opal"], [], []], ["opal", "", "gem"])
    assert found["exact_match"] == pytest.approx(2 / 3)
    assert found["with_answer"] == {"exact_match": 1.0, "f1": 1.0, "questions": 1}
    assert found["without_answer"] == {"exact_match": 0.5, "f1": 0.5, "questions": 2}


def test_rouge_and_bleu_of_worked_examples():
    found = generation_scores(["the cat sat on the mat", "gems shine"], ["the cat sat", "gems shine"])
    assert found["rouge1"] == pytest.approx((2 * 3 / 9 + 1) / 2)
    assert found["rouge2"] == pytest.approx((2 * 2 / 7 + 1) / 2)
    assert found["rougeL"] == pytest.approx((2 * 3 / 9 + 1) / 2)
    assert found["exact"] == 0.5
    same = generation_scores(["the cat sat on the mat"], ["the cat sat on the mat"])
    assert same["bleu"] == pytest.approx(100.0)
    assert "tok:13a" in same["signatures"]["bleu"]
    shorter = generation_scores(["the cat sat on the mat now"], ["the cat sat on the mat"])
    assert shorter["bleu"] == pytest.approx(
        100 * 2.718281828 ** (1 - 7 / 6)
    )  # precisions of 1, and the brevity penalty


@pytest.mark.parametrize(
    ("module", "work"),
    [
        ("sklearn.metrics", lambda: class_scores(["a"], ["a"])),
        ("sacrebleu.metrics.bleu", lambda: generation_scores(["a"], ["a"])),
    ],
)
def test_a_missing_library_names_the_extra(module, work, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r"burnish\[specialists\]"):
        work()
